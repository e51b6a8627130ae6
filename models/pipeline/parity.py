"""How far the service's pixels and first classes are from those of Pillow, torchvision and PyTorch."""

import io
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image, ImageOps
from torchvision import transforms

from pipeline import export
from pipeline.faults import Fault
from pipeline.labels import read_labels
from pipeline.pixel import float_table, to_float_input
from pipeline.steps import Context, progress


def parity(context: Context, rows: list[dict], pixels: np.ndarray, served: dict[str, str]) -> dict[str, float | None]:
    """How far the service's pixels and first classes are from those of torchvision and PyTorch on the same files."""
    recipe = context.recipe.input
    expected_pixels = reference(recipe.resize, recipe.crop, recipe.kernel)
    torch.set_num_threads(1)  # as ONNX Runtime's in this step
    model = export.torch_model(context)
    floats = float_table(recipe.mean, recipe.std)
    classes = [label["class"] for label in read_labels(context.recipe)]
    found: dict[str, list[float]] = {"parity_larger": [], "parity_smaller": [], "path_agreement": []}
    show = progress("parity", len(rows))
    for done, (row, image, encoded) in enumerate(zip(rows, pixels, originals(context.options.data, rows), strict=True)):
        expected = expected_pixels(encoded)
        is_larger = min(int(row["width"]), int(row["height"])) >= recipe.resize
        difference = float(np.abs(image.astype(np.int16) - expected).mean())
        found["parity_larger" if is_larger else "parity_smaller"].append(difference)
        if row["image"] in served:
            with torch.inference_mode():
                best = int(model(torch.from_numpy(to_float_input(expected, floats)))[0].argmax())
            found["path_agreement"].append(classes[best] == served[row["image"]])
        show(done + 1)
    return {name: statistics.mean(values) if values else None for name, values in found.items()}


def reference(resize: int, crop: int, kernel: str) -> Callable[[bytes], np.ndarray]:
    """A function from an encoded image to torchvision's pixels, uint8 [crop, crop, 3], upright as in the service."""
    modes = {"linear": transforms.InterpolationMode.BILINEAR, "cubic": transforms.InterpolationMode.BICUBIC}
    transform = transforms.Compose([transforms.Resize(resize, modes[kernel]), transforms.CenterCrop(crop)])

    def to_pixels(encoded: bytes) -> np.ndarray:
        return np.asarray(transform(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")))

    return to_pixels


def originals(data: Path, rows: list[dict]) -> Iterator[bytes]:
    """The encoded images of a folder or a Parquet file by the names that the service's tools give them."""
    if data.is_dir():
        for row in rows:
            places = [folder / row["image"] for folder in (data, data / "images", data / "val" / "images")]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise Fault(f"Expected a file for {places[0]} but received none")
            yield found.read_bytes()
        return
    images = pyarrow.parquet.read_table(data, columns=["image"])["image"]
    for row in rows:
        yield images[int(row["image"])].as_py()
