"""Generated images on which graphs are compared, and the normalization of the models' input; needs numpy alone.

    normalized(probes(5, 72), mean, std)        float32 [5, 3, 72, 72], the golden image first
"""

from collections.abc import Sequence

import numpy as np

PROBE_SEED = 1


def golden(side: int) -> np.ndarray:
    """uint8 [side, side, 3]: the image of a card's golden case; byte i is (167 i + 59 floor(i / 64)) mod 256."""
    i = np.arange(side * side * 3)
    return ((167 * i + 59 * (i // 64)) % 256).astype(np.uint8).reshape(side, side, 3)


def generated(count: int, side: int, seed: int) -> np.ndarray:
    """uint8 [count, side, side, 3] RGB: colored waves, edges and grain, to a first layer much like photos."""
    random = np.random.RandomState(seed)  # its numbers are the same in every version of numpy
    y, x = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    images = np.empty((count, side, side, 3), np.uint8)
    for image in images:
        edge = np.floor((x + y) * 8 * random.rand()) % 2
        coarseness = random.rand()
        for channel in range(3):
            across, down = 2 + 28 * random.rand(2)
            wave = np.sin(across * x + down * y + 6.3 * random.rand())
            light = random.rand() + 0.3 * wave + 0.2 * edge + coarseness * (random.rand(side, side) - 0.5)
            image[..., channel] = np.rint(255 * np.clip(light, 0, 1))
    return images


def probes(count: int, side: int) -> np.ndarray:
    """uint8 [count, side, side, 3]: the golden image and generated ones."""
    return np.concatenate([golden(side)[None], generated(count - 1, side, PROBE_SEED)])


def normalized(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 [n, side, side, 3] as the models' input: float32 [n, 3, side, side]."""
    return np.ascontiguousarray(((pixels / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2))
