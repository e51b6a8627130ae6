"""Measurements and parity; needs torch and onnxruntime: python -m unittest tests/models/pipeline/test_check.py"""

import io
import json

import numpy as np
import pyarrow
import pyarrow.parquet
from folder import FolderTest
from PIL import Image
from pipeline.check import load_ms, node_counts, products_left, service_runtime, share_of_same, size_of
from pipeline.parity import originals, reference
from pipeline.recipe import MODELS
from tiny import tiny_images, write_tiny


class CheckTest(FolderTest):
    def test_the_nodes_of_a_graph_are_counted_and_products_are_those_that_were_not_excluded(self) -> None:
        file = write_tiny(self.folder / "tiny.onnx")
        counts = node_counts(file)
        self.assertEqual((counts["Conv"], counts["Relu"], counts["Gemm"], counts["QLinearConv"]), (2, 3, 1, 0))
        self.assertEqual([products_left(counts, excluded) for excluded in (0, 2, 3, 4)], [3, 1, 0, 0])
        self.assertGreater(load_ms(file, "all"), 0)

    def test_the_size_is_that_of_the_graph_and_of_its_weights(self) -> None:
        (self.folder / "a.onnx").write_bytes(bytes(10))
        (self.folder / "a.bin").write_bytes(bytes(5))
        self.assertEqual(size_of(self.folder, {"file": "a.onnx", "externalData": [{"file": "a.bin"}]}), 15)
        self.assertEqual(size_of(self.folder, {"file": "a.onnx"}), 10)

    def test_the_share_is_of_the_images_that_both_have_of_which_there_must_be_one(self) -> None:
        one, other = {"1": "cat", "2": "dog", "3": "cat"}, {"1": "cat", "2": "cat", "4": "cat"}
        self.assertEqual(share_of_same(one, other), 0.5)
        self.assert_fault("Expected the same images", share_of_same, {"1": "cat"}, {"2": "cat"})

    def test_the_service_s_version_is_the_one_that_package_json_pins(self) -> None:
        package = json.loads((MODELS.parent / "package.json").read_text(encoding="utf-8"))
        self.assertEqual(service_runtime(), package["dependencies"]["onnxruntime-node"])


class ParityTest(FolderTest):
    def test_images_are_found_by_the_names_that_the_service_s_tools_give_them(self) -> None:
        for place in ("plain", "images/images", "val/val/images"):
            root, _, below = place.partition("/")
            (self.folder / root / below).mkdir(parents=True)
            (self.folder / root / below / "a.jpg").write_bytes(b"content")
            with self.subTest(place=place):
                self.assertEqual(list(originals(self.folder / root, [{"image": "a.jpg"}])), [b"content"])
        gone = [{"image": "gone.jpg"}]
        self.assert_fault("Expected a file for .*gone.jpg", lambda: list(originals(self.folder, gone)))

    def test_images_of_a_parquet_file_are_found_by_their_row(self) -> None:
        file = self.folder / "images.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"image": [b"zero", b"one", b"two"], "wnid": ["a", "b", "c"]}), file)
        self.assertEqual(list(originals(file, [{"image": "2"}, {"image": "0"}])), [b"two", b"zero"])

    def encode(self, orientation: int = 1) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = io.BytesIO()
        Image.fromarray(np.resize(tiny_images(9), (40, 60, 3))).save(encoded, "png", exif=exif)
        return encoded.getvalue()

    def test_the_pixels_are_the_middle_of_the_upright_resized_image(self) -> None:
        pixels = reference(20, 16, "linear")(self.encode())
        self.assertEqual((pixels.shape, pixels.dtype), ((16, 16, 3), np.uint8))
        self.assertFalse(np.array_equal(pixels, reference(20, 16, "cubic")(self.encode())))
        turned = reference(20, 16, "linear")(self.encode(orientation=3))
        np.testing.assert_array_equal(turned, pixels[::-1, ::-1])
