"""python -m unittest tests/models/pipeline/test_optimize.py, with models/ on PYTHONPATH; needs onnxruntime."""

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from folder import FolderTest, sha256
from pipeline.__main__ import main
from pipeline.images import golden
from pipeline.optimize import TOLERANCE, add_variants, difference_within, int8_variants, logits_of, optimized
from pipeline.processor import classes_here
from pipeline.pixel import card_input, float_table
from pipeline.quantize import Choice, quantize
from pipeline.ranges import observe
from pipeline.rewrite import prepare
from pipeline.recipe import Input, Quantize
from tiny import MEAN, SIDE, STD, tiny_images, write_tiny

INPUT = Input(resize=SIDE, crop=SIDE, mean=MEAN, std=STD)
HERE = ("x64-avx512-vnni", "x64-avx512")  # the names alone: ONNX Runtime writes for the processor that it runs on


class TinyTest(FolderTest):
    """A float32 graph and its int8 candidates of both schemes."""

    @classmethod
    def setUpClass(cls) -> None:
        root = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.portable = write_tiny(root / "model.onnx")
        source, floats = prepare(cls.portable, root / "prepared.onnx"), float_table(MEAN, STD)
        counts = observe(source, tiny_images(20), floats)
        cls.candidates = {}
        for scheme in ("u8s8", "s8s8"):
            model, lookup = quantize(source, counts, Choice(scheme, "minmax", ()), Quantize(), floats)
            file = root / f"int8-{scheme}.onnx"
            onnx.save(model, file)
            cls.candidates[scheme] = {"onnx": str(file), "input": card_input(INPUT, lookup)}

    def sha256(self, name: str) -> str:
        return sha256((self.folder / name).read_bytes())


class VariantsTest(TinyTest):
    def test_a_variant_names_its_files_and_gives_the_logits_of_its_source(self) -> None:
        variant = optimized(self.portable, card_input(INPUT), "x64-avx512", "float32", self.folder)
        before = logits_of(self.portable, card_input(INPUT), "all")
        after = logits_of(self.folder / variant["file"], variant["input"], "disabled")
        np.testing.assert_allclose(after, before, atol=TOLERANCE)
        np.testing.assert_allclose(variant["golden"]["logits"], after[0], atol=1e-5)

        name = "x64-avx512-float32"
        self.assertEqual((variant["name"], variant["optimizedBy"]), (name, onnxruntime.__version__))
        self.assertEqual(variant["sha256"], self.sha256(f"{name}.onnx"))
        self.assertEqual(variant["externalData"], [{"file": f"{name}.bin", "sha256": self.sha256(f"{name}.bin")}])

    def test_the_golden_image_is_that_of_the_service(self) -> None:
        self.assertEqual([int(byte) for byte in golden(SIDE).ravel()[[0, 1, 2, 64, 65]]], [0, 167, 78, 251, 162])

    def test_a_difference_above_the_limit_or_not_a_number_is_refused(self) -> None:
        files = Path("source.onnx"), Path("file.onnx")
        zeros = np.zeros((2, 3), np.float64)
        for difference in (0.0, -0.25, 0.5):
            self.assertEqual(difference_within(0.5, zeros, zeros + difference, *files), abs(difference))
        for difference in (0.5 + 1e-9, -0.6, np.nan):
            with self.subTest(difference=difference):
                expected = "source.onnx.* for file.onnx"
                self.assert_fault(expected, difference_within, 0.5, zeros, zeros + difference, *files)

    def test_this_processor_s_int8_variant_comes_first_and_the_others_are_plain_graphs(self) -> None:
        own = ("x64-avx512-vnni-int8", True, "x64-avx512-vnni-int8.onnx")
        others = [("x64-avx2-vnni-int8", False, "int8-u8s8.onnx"), ("arm64-int8", False, "int8-s8s8.onnx")]
        vnni = ("x64-avx512-vnni-int8", False, "int8-u8s8.onnx")
        for here, expected in ((HERE, [own, *others]), (("x64-avx2",), [vnni, *others])):
            variants = int8_variants(self.candidates, self.folder, here)
            found = [(entry["name"], entry["optimizedBy"] is not None, entry["file"]) for entry in variants]
            with self.subTest(here=here):
                self.assertEqual(found, expected)
            for entry in variants[1:]:
                # A plain graph may differ by more than integers and float32 do here.
                rounding = entry["measured"]["largestDifferenceToFloatArithmetic"]
                self.assertGreaterEqual(entry["golden"]["tolerance"], max(TOLERANCE, 3 * rounding))


class AddVariantsTest(TinyTest):
    def packed(self, here: tuple[str, ...] = ()) -> Path:
        shutil.copyfile(self.portable, self.folder / "model.onnx")
        variants = int8_variants(self.candidates, self.folder, here)
        card = {
            "name": "tiny",
            "file": "model.onnx",
            "sha256": self.sha256("model.onnx"),
            "labels": "labels.json",
            "input": card_input(INPUT),
            "variants": variants,
        }
        (self.folder / "labels.json").write_text("[]", encoding="utf-8")
        (self.folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
        return self.folder / "model.json"

    def names(self) -> list[str]:
        card = json.loads((self.folder / "model.json").read_text(encoding="utf-8"))
        return [f"{entry['name']} {'optimized' if entry['optimizedBy'] else 'plain'}" for entry in card["variants"]]

    def test_the_processor_s_variants_take_the_place_of_the_plain_one_and_are_added_once(self) -> None:
        card = self.packed()
        self.assertEqual(add_variants(self.folder, ()), [])
        self.assertEqual(add_variants(self.folder, HERE), ["x64-avx512-float32", "x64-avx512-vnni-int8"])
        self.assertEqual(
            self.names(),
            [
                "x64-avx512-vnni-int8 optimized",
                "x64-avx2-vnni-int8 plain",
                "arm64-int8 plain",
                "x64-avx512-float32 optimized",
            ],
        )
        before = card.read_bytes()
        self.assertEqual(add_variants(self.folder, HERE), [])
        self.assertEqual(card.read_bytes(), before)

    def test_a_variant_by_another_version_is_written_anew(self) -> None:
        card = self.packed(HERE)
        card.write_text(card.read_text().replace(f'"{onnxruntime.__version__}"', '"1.2.3"'), encoding="utf-8")
        self.assertIn("x64-avx512-vnni-int8", add_variants(self.folder, HERE))
        self.assertIn("x64-avx512-vnni-int8 optimized", self.names())
        self.assertNotIn('"1.2.3"', card.read_text(encoding="utf-8"))

    def test_the_command_adds_what_this_processor_can_and_says_so_when_nothing_is_left(self) -> None:
        self.packed()
        said = []
        for _ in range(2):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                self.assertEqual(main(["optimize", "--folder", str(self.folder)]), 0)
            said.append(out.getvalue())

        added = [name.split()[0] for name in self.names() if name.endswith("optimized")]
        self.assertEqual(bool(added), bool(classes_here()))
        nothing = f"{self.folder} has all that this processor can add\n"
        self.assertEqual(sorted(said[0].splitlines()), sorted(added) if added else [nothing.strip()])
        self.assertEqual(said[1], nothing)

    def test_a_folder_without_a_whole_card_is_refused_by_name(self) -> None:
        no_card = f"Expected a model folder with model.json .* for {self.folder} "
        cards: list[tuple[str | None, str]] = [(None, no_card), ("no JSON", no_card), ("{}", no_card)]
        for key in ("file", "sha256", "input"):
            card = json.loads(self.packed().read_text(encoding="utf-8"))
            del card[key]
            cards.append((json.dumps(card), f"Expected {key} for .*model.json but received nothing"))
        (self.folder / "model.json").unlink()
        for content, expected in cards:
            with self.subTest(expected=expected):
                if content is not None:
                    (self.folder / "model.json").write_text(content, encoding="utf-8")
                self.assert_fault(expected, add_variants, self.folder, HERE)

    def test_no_variant_is_made_of_a_file_that_is_not_the_card_s(self) -> None:
        for name in ("model.onnx", "int8-u8s8.onnx"):
            before = self.packed().read_bytes()
            with open(self.folder / name, "ab") as file:
                file.write(b"more")
            with self.subTest(name=name):
                expected = f"Expected SHA-256 [0-9a-f]{{64}} for .*{name} but received"
                self.assert_fault(expected, add_variants, self.folder, HERE)
                self.assertEqual((self.folder / "model.json").read_bytes(), before)
