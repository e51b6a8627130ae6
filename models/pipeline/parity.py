"""How far the service's pixels and first classes are from those that Pillow and ONNX Runtime give in Python."""

import io
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.labels import read_labels
from pipeline.pixel import float_table, to_float_input
from pipeline.recipe import INPUT_NAME
from pipeline.steps import Context, progress


def parity(context: Context, rows: list[dict], pixels: np.ndarray, served: dict[str, str]) -> dict[str, float | None]:
    """How far the service's pixels and first classes are from Pillow's and from the portable graph's on the same files."""
    recipe = context.recipe.input
    expected_pixels = reference(recipe.resize, recipe.crop, recipe.kernel)
    session = open_session(Path(context.result("export")["onnx"]))
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
            best = int(session.run(None, {INPUT_NAME: to_float_input(expected, floats)})[0].argmax())
            found["path_agreement"].append(classes[best] == served[row["image"]])
        show(done + 1)
    return {name: statistics.mean(values) if values else None for name, values in found.items()}


def reference(resize: int, crop: int, kernel: str) -> Callable[[bytes], np.ndarray]:
    """A function from an encoded image to torchvision's pixels, uint8 [crop, crop, 3], upright as in the service: the
    shorter side resized, the longer one cut off to whole pixels, and the middle, half a pixel to the even side."""
    kernels = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}

    def to_pixels(encoded: bytes) -> np.ndarray:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")
        width, height = (int(resize * side / min(image.size)) for side in image.size)
        left, top = round((width - crop) / 2), round((height - crop) / 2)
        return np.asarray(image.resize((width, height), kernels[kernel]).crop((left, top, left + crop, top + crop)))

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
    import pyarrow.parquet

    images = pyarrow.parquet.read_table(data, columns=["image"])["image"]
    for row in rows:
        yield images[int(row["image"])].as_py()
