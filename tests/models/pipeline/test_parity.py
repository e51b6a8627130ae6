"""Pixels by Pillow; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_parity.py"""

import io

import numpy as np
import pyarrow
import pyarrow.parquet
from folder import FolderTest
from PIL import Image
from pipeline.parity import originals, reference
from tiny import tiny_images
from torchvision import transforms


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

    def encode(self, orientation: int = 1, height: int = 40, width: int = 60) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = io.BytesIO()
        Image.fromarray(np.resize(tiny_images(9), (height, width, 3))).save(encoded, "png", exif=exif)
        return encoded.getvalue()

    def test_the_pixels_are_the_middle_of_the_upright_resized_image(self) -> None:
        pixels = reference(20, 16, "linear")(self.encode())
        self.assertEqual((pixels.shape, pixels.dtype), ((16, 16, 3), np.uint8))
        self.assertFalse(np.array_equal(pixels, reference(20, 16, "cubic")(self.encode())))
        turned = reference(20, 16, "linear")(self.encode(orientation=3))
        np.testing.assert_array_equal(turned, pixels[::-1, ::-1])

    def test_the_pixels_are_torchvision_s(self) -> None:
        modes = {"linear": transforms.InterpolationMode.BILINEAR, "cubic": transforms.InterpolationMode.BICUBIC}
        for height, width in ((40, 60), (61, 43), (333, 500), (12, 17), (20, 20)):
            encoded = self.encode(height=height, width=width)
            for kernel, mode in modes.items():
                theirs = transforms.Compose([transforms.Resize(20, mode), transforms.CenterCrop(17)])
                with self.subTest(height=height, width=width, kernel=kernel):
                    expected = np.asarray(theirs(Image.open(io.BytesIO(encoded))))
                    np.testing.assert_array_equal(reference(20, 17, kernel)(encoded), expected)
