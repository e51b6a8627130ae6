"""Pixels as the input of a graph: normalized float32, or bytes by a table."""

from collections.abc import Iterable

import numpy as np

from pipeline.recipe import Input


def float_table(mean: Iterable[float], std: Iterable[float]) -> np.ndarray:
    """float32 [3, 256]: what the service makes of each value of red, green and blue for a float32 input."""
    values = np.arange(256) / 255
    return np.stack([(values - m) / s for m, s in zip(mean, std, strict=True)]).astype(np.float32)


def to_float_input(image: np.ndarray, floats: np.ndarray) -> np.ndarray:
    """uint8 [crop, crop, 3] to float32 [1, 3, crop, crop]."""
    return np.stack([floats[channel][image[:, :, channel]] for channel in range(3)])[None]


def to_byte_input(image: np.ndarray, lookup: list[list[int]]) -> np.ndarray:
    """uint8 [crop, crop, 3] to uint8 [1, crop, crop, 3]."""
    table = np.array(lookup, dtype=np.uint8)
    return np.stack([table[channel][image[:, :, channel]] for channel in range(3)], axis=-1)[None]


def card_input(recipe: Input, lookup: list[list[int]] | None = None) -> dict:
    """What a card says of the input: bytes by a lookup, or float32 as the portable file has it."""
    kernel = {} if recipe.kernel == "linear" else {"kernel": recipe.kernel}
    size = {"resize": recipe.resize, "crop": recipe.crop, **kernel}
    if lookup is None:
        normalized = {"mean": list(recipe.mean), "std": list(recipe.std)}
        return {"name": "image", "elementType": "float32", "layout": "NCHW", **size, **normalized}
    return {"name": "pixels", "elementType": "uint8", "layout": "NHWC", **size, "lookup": lookup}
