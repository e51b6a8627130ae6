"""Weights read without PyTorch and without running code: python -m unittest tests/models/pipeline/test_checkpoint.py"""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
from folder import FolderTest
from pipeline.checkpoint import read_checkpoint
from pipeline.unpickle import MOST_DIMENSIONS
from saved import dictionary, joined, pickled, save, storage, tensor, value, write_zip

NUMBERS = np.arange(12, dtype=np.float32)
BYTES = {"0": NUMBERS.tobytes()}


class CheckpointTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "weights.pth"

    def read(self, operations: bytes, storages: dict[str, bytes] = BYTES, **more: object) -> dict[str, np.ndarray]:
        write_zip(self.file, pickled(operations), storages, **more)
        return read_checkpoint(self.file)[0]

    def assert_refused(self, received: str, operations: bytes, storages: dict[str, bytes] = BYTES, **more: object) -> None:
        write_zip(self.file, pickled(operations), storages, **more)
        expected = f"^Expected weights in PyTorch's format for {self.file} but received {received}$"
        self.assert_fault(expected, read_checkpoint, self.file)


class ReadTest(CheckpointTest):
    def test_tensors_come_back_by_name_with_shape_and_type(self) -> None:
        tensors = {
            "weight": NUMBERS.reshape(3, 4),
            "half": NUMBERS.astype(np.float16),
            "double": NUMBERS.astype(np.float64),
            "num_batches_tracked": np.array(2**40),
            "none": np.zeros((0, 3), np.float32),
        }
        save(self.file, tensors)
        found, rest = read_checkpoint(self.file)
        self.assertEqual((list(found), rest), (list(tensors), {}))
        for name, expected in tensors.items():
            np.testing.assert_array_equal(found[name], expected, strict=True)
            self.assertFalse(found[name].flags.writeable)

    def test_of_a_checkpoint_the_average_is_read_and_the_rest_is_told(self) -> None:
        save(self.file, {"weight": NUMBERS}, wnids=["n1", "n2"], images=7, minutes=1.5, note="short", flags=[True, None, (1, "a")])
        found, rest = read_checkpoint(self.file)
        np.testing.assert_array_equal(found["weight"], NUMBERS)
        self.assertEqual((rest["wnids"], rest["images"], rest["minutes"]), (["n1", "n2"], 7, 1.5))
        self.assertEqual(rest["flags"], [True, None, (1, "a")])

    def test_shared_storages_strides_and_views_are_read_right(self) -> None:
        found = self.read(
            dictionary({
                "whole": tensor("0", 12, shape=(12,)),
                "turned": tensor("0", 12, shape=(4, 3), strides=(1, 4)),
                "part": tensor("0", 12, offset=5, shape=(2, 2), strides=(4, 1)),
                "last": tensor("0", 12, offset=11),
                "spread": tensor("0", 12, offset=3, shape=(2, 3), strides=(0, 0)),
            })
        )
        np.testing.assert_array_equal(found["turned"], NUMBERS.reshape(3, 4).T)
        np.testing.assert_array_equal(found["part"], [[5, 6], [9, 10]])
        np.testing.assert_array_equal(found["spread"], np.full((2, 3), 3))
        self.assertEqual(found["last"], 11)

    def test_a_parameter_and_what_a_module_says_of_its_version_are_let_pass(self) -> None:
        parameter = b"ctorch._utils\n_rebuild_parameter\n(" + tensor("0", 12, shape=(12,)) + b"\x88" + dictionary({}) + b"tR"
        versions = dictionary({"_metadata": dictionary({"": value({"version": 1})})})
        np.testing.assert_array_equal(self.read(dictionary({"weight": parameter}) + versions + b"b")["weight"], NUMBERS)

    def test_bfloat16_and_the_other_byte_order_are_read_right(self) -> None:
        upper = (NUMBERS.view(np.uint32) >> 16).astype(np.uint16)
        short = tensor("0", 12, shape=(12,), kind="BFloat16Storage")
        np.testing.assert_array_equal(self.read(dictionary({"weight": short}), {"0": upper.tobytes()})["weight"], NUMBERS)
        big = self.read(dictionary({"weight": tensor("0", 12, shape=(12,))}), {"0": NUMBERS.astype(">f4").tobytes()}, order="big")
        np.testing.assert_array_equal(big["weight"], NUMBERS)

    def test_a_file_from_before_zip_archives_is_read(self) -> None:
        entries = {"one": tensor("a", 12, shape=(3, 4), more=b"N"), "two": tensor("b", 2, shape=(2,), kind="LongStorage", more=b"N")}
        content = pickled(dictionary(entries))
        self.file.write_bytes(joined(content, {"b": (2, struct.pack("<2q", 5, 6)), "a": (12, NUMBERS.tobytes())}))
        found, _ = read_checkpoint(self.file)
        np.testing.assert_array_equal(found["one"], NUMBERS.reshape(3, 4))
        np.testing.assert_array_equal(found["two"], [5, 6])


class RefuseTest(CheckpointTest):
    def test_code_is_refused_by_its_name_and_not_run(self) -> None:
        class Evil:
            def __reduce__(self) -> tuple:
                return os.mkdir, (str(marker),)

        marker = self.folder / "run"
        for protocol in (0, 2, 4):
            stored = io.BytesIO(pickle.dumps({"weight": Evil()}, protocol)).getvalue()
            write_zip(self.file, stored, BYTES)
            self.assert_fault("but received the (name posix.mkdir|operation \\w+)$", read_checkpoint, self.file)
            self.file.write_bytes(joined(stored, {}))
            self.assert_fault("but received the (name posix.mkdir|operation \\w+)$", read_checkpoint, self.file)
        self.assertFalse(marker.exists())

    def test_every_other_name_operation_and_call_is_refused(self) -> None:
        for operations, received in (
            (b"cos\nsystem\n" + value("true") + b"\x85R", "the name os.system"),
            (b"cbuiltins\neval\n" + value("1") + b"\x85R", "the name builtins.eval"),
            (b"ctorch\nload\n", "the name torch.load"),
            (b"ctorch._utils\n_rebuild_tensor_v3\n", "the name torch._utils._rebuild_tensor_v3"),
            (b"(ios\nsystem\n", "the operation INST"),
            (b"(cos\nsystem\no", "the name os.system"),
            (value("os") + value("system") + b"\x93", "the operation STACK_GLOBAL"),
            (b"ccollections\nOrderedDict\n)\x81", "the operation NEWOBJ"),
            (b"\x82\x01", "the operation EXT1"),
            (b"P1\n", "the operation PERSID"),
            (b"\x95" + bytes(8), "the operation FRAME"),
            (b"ccollections\nOrderedDict\n]\x85R", "a call of collections.OrderedDict"),
            (b"ctorch\nFloatStorage\n)R", "a call of torch.FloatStorage"),
            (value("text") + b")R", "a str in the place of a Name"),
            (b"}" + b"]" + value(1) + b"s", "a list in the place of a str"),
            (b"}" + value((1, 2)) + value(1) + b"s", "a tuple in the place of a str"),
            (b"}" + b"}" + b"b" + b"]" + b"}" + b"b", "a list in the place of a dict"),
        ):
            with self.subTest(received=received):
                self.assert_refused(received, operations)

    def test_tensors_beyond_their_storage_or_of_another_form_are_refused(self) -> None:
        form, odd = "a tensor of another form", "a storage of another kind"
        for entry, received in (
            (tensor("0", 12, shape=(13,)), "a tensor that ends at 12 of 12 numbers"),
            (tensor("0", 12, offset=12), "a tensor that ends at 12 of 12 numbers"),
            (tensor("0", 12, shape=(2, 2), strides=(11, 1)), "a tensor that ends at 12 of 12 numbers"),
            (tensor("0", 12, offset=-1), form),
            (tensor("0", 12, shape=(-1,)), form),
            (tensor("0", 12, shape=(2,), strides=(-1,)), form),
            (tensor("0", 12, shape=(2,), strides=()), form),
            (tensor("0", 12, shape=(2.0,), strides=(1,)), form),
            (tensor("0", 12, shape=(1,) * (MOST_DIMENSIONS + 1)), form),
            (tensor("0", 12, shape=(2**70,), strides=(0,)), "a file cut short or of another kind"),
            (tensor("0", 12, kind="UntypedStorage"), "the name torch.UntypedStorage"),
            (tensor("0", -1), odd),
            (tensor("0", 12, more=value(("view", 0, 1))), odd),
            (tensor("0", 12, more=value((1,) * 9)), odd),
            (tensor("1", 12), "a file cut short or of another kind"),
            (tensor("0", 11), "48 bytes for a storage of 44"),
            (tensor("0", 13), "48 bytes for a storage of 52"),
            (tensor("0", 2**60), "48 bytes for a storage of \\d+"),
        ):
            with self.subTest(received=received):
                self.assert_refused(received, dictionary({"weight": entry}))
        two = dictionary({"one": tensor("0", 12), "two": tensor("0", 6, kind="DoubleStorage")})
        self.assert_refused("two kinds of the storage 0", two)

    def test_a_view_of_billions_takes_no_memory(self) -> None:
        found = self.read(dictionary({"weight": tensor("0", 12, shape=(2**20, 2**20), strides=(0, 0))}))
        self.assertEqual(found["weight"].shape, (2**20, 2**20))

    def test_nested_values_do_not_multiply(self) -> None:
        doubled = value(1) + b"q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(200))
        named = value("storage") + b"ctorch\nFloatStorage\n" + value("0") + b"h\x00" + value(-1)
        self.assert_refused("a storage of another kind", doubled + b"(" + named + b"tQ")
        self.assert_refused("a tuple in the place of a str", doubled + b"}h\x00" + value(1) + b"s")

    def test_compressed_entries_and_entries_that_overlap_are_refused(self) -> None:
        entry = dictionary({"weight": tensor("0", 2**24, shape=(2**24,))})
        self.assert_refused("the compressed entry weights/data.pkl", entry, {"0": bytes(2**26)}, packed=True)
        self.read(dictionary({"weight": tensor("0", 2**10)}), {"0": bytes(2**12)})
        whole = self.file.read_bytes()
        with zipfile.ZipFile(self.file) as archive:
            begin, count = archive.start_dir, len(archive.namelist())
        entries = whole[begin : whole.rindex(b"PK\x05\x06")]
        last = entries[entries.rindex(b"PK\x01\x02") :]
        many = entries + b"".join(last[:-1] + bytes([place]) for place in range(100))  # data/0 under other names
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count + 100, count + 100, len(many), begin, 0)
        self.file.write_bytes(whole[:begin] + many + end)
        self.assert_fault("but received entries of more bytes than the file has$", read_checkpoint, self.file)

    def test_files_cut_short_damaged_or_of_another_kind_are_refused(self) -> None:
        content = pickled(dictionary({"weight": tensor("0", 12, shape=(12,))}))
        write_zip(self.file, content, BYTES)
        whole = self.file.read_bytes()
        place = whole.index(NUMBERS.tobytes())
        flipped = whole[:place] + b"\x01" + whole[place + 1 :]
        old = joined(content, {"0": (12, NUMBERS.tobytes())})
        damaged = [flipped, b"", b"plain text", b"PK\x03\x04", b"\x80\x02.", pickle.dumps([1], 2), pickle.dumps(5, 2) * 3]
        damaged += [whole[:end] for end in range(0, len(whole), 7)] + [old[:end] for end in range(0, len(old), 7)]
        damaged += [joined(content, {"0": (11, NUMBERS.tobytes())}), joined(content, {"1": (12, NUMBERS.tobytes())})]
        for part in damaged:
            self.file.write_bytes(part)
            self.assert_fault("^Expected weights in PyTorch's format for ", read_checkpoint, self.file)
        self.assert_refused('the byte order "middle"', dictionary({}), order="middle")

    def test_what_is_no_map_of_tensors_is_refused(self) -> None:
        for operations in (value([1, 2]), value({"a": 1}), tensor("0", 12), storage("0", 12), b"ctorch\nFloatStorage\n"):
            write_zip(self.file, pickled(operations), BYTES)
            self.assert_fault("^Expected tensors by name for .* but received something else$", read_checkpoint, self.file)
