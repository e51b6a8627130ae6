"""python -m unittest discover tests/models/pipeline test_check.py, with models/ on PYTHONPATH; needs torch and onnxruntime."""

import io
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image
from pipeline.check import (
    load_ms,
    node_counts,
    originals,
    products_left,
    reference,
    service_runtime,
    share_of_same,
    size_of,
)
from pipeline.faults import Fault
from pipeline.recipe import MODELS
from tiny import tiny_images, write_tiny


class FilesTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_nodes_of_a_graph_are_counted_by_operator(self) -> None:
        counts = node_counts(write_tiny(self.folder / "tiny.onnx"))

        self.assertEqual((counts["Conv"], counts["Relu"], counts["Gemm"], counts["QLinearConv"]), (2, 3, 1, 0))

    def test_products_in_float32_are_those_that_were_not_excluded(self) -> None:
        counts = node_counts(write_tiny(self.folder / "tiny.onnx"))

        self.assertEqual([products_left(counts, excluded) for excluded in (0, 2, 3, 4)], [3, 1, 0, 0])

    def test_the_size_is_that_of_the_graph_and_of_its_weights(self) -> None:
        (self.folder / "a.onnx").write_bytes(bytes(10))
        (self.folder / "a.bin").write_bytes(bytes(5))

        self.assertEqual(size_of(self.folder, {"file": "a.onnx", "externalData": [{"file": "a.bin"}]}), 15)
        self.assertEqual(size_of(self.folder, {"file": "a.onnx"}), 10)

    def test_loading_takes_time(self) -> None:
        self.assertGreater(load_ms(write_tiny(self.folder / "tiny.onnx"), False), 0)

    def test_images_are_found_by_the_names_that_the_service_s_tools_give_them(self) -> None:
        for place in ("", "images", "val/images"):
            with self.subTest(place=place):
                folder = self.folder / (place.replace("/", "-") or "plain")
                (folder / place).mkdir(parents=True)
                (folder / place / "a.jpg").write_bytes(b"content")

                self.assertEqual(list(originals(folder, [{"image": "a.jpg"}])), [b"content"])

    def test_images_of_a_parquet_file_are_found_by_their_row(self) -> None:
        import pyarrow
        import pyarrow.parquet

        file = self.folder / "images.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"image": [b"zero", b"one", b"two"], "wnid": ["a", "b", "c"]}), file)

        self.assertEqual(list(originals(file, [{"image": "2"}, {"image": "0"}])), [b"two", b"zero"])

    def test_an_image_that_is_gone_is_named(self) -> None:
        with self.assertRaisesRegex(Fault, "Expected a file for .*gone.jpg"):
            list(originals(self.folder, [{"image": "gone.jpg"}]))


class AgreementTest(unittest.TestCase):
    def test_the_share_is_of_the_images_that_both_have(self) -> None:
        one = {"1.jpg": "cat", "2.jpg": "dog", "3.jpg": "cat"}
        other = {"1.jpg": "cat", "2.jpg": "cat", "4.jpg": "cat"}

        self.assertEqual(share_of_same(one, other), 0.5)

    def test_evaluations_of_different_images_are_refused(self) -> None:
        with self.assertRaisesRegex(Fault, "Expected the same images"):
            share_of_same({"1.jpg": "cat"}, {"2.jpg": "cat"})


class ReferenceTest(unittest.TestCase):
    def encode(self, size: tuple[int, int], orientation: int = 1) -> bytes:
        pixels = np.resize(tiny_images(9), (size[1], size[0], 3))
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "png", exif=exif)
        return encoded.getvalue()

    def test_the_pixels_are_the_middle_of_the_resized_image(self) -> None:
        pixels = reference(20, 16, "linear")(self.encode((60, 40)))

        self.assertEqual((pixels.shape, pixels.dtype), ((16, 16, 3), np.uint8))

    def test_the_kernels_differ(self) -> None:
        image = self.encode((60, 40))

        self.assertFalse(np.array_equal(reference(20, 16, "linear")(image), reference(20, 16, "cubic")(image)))

    def test_an_image_on_its_side_is_turned_upright(self) -> None:
        upright, turned = self.encode((60, 40)), self.encode((60, 40), orientation=3)
        to_pixels = reference(20, 20, "linear")

        np.testing.assert_array_equal(to_pixels(turned), to_pixels(upright)[::-1, ::-1])


class RuntimeTest(unittest.TestCase):
    def test_the_service_s_version_is_the_one_that_package_json_pins(self) -> None:
        package = json.loads((MODELS.parent / "package.json").read_text(encoding="utf-8"))

        self.assertEqual(service_runtime(), package["dependencies"]["onnxruntime-node"])
        self.assertRegex(service_runtime(), r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
