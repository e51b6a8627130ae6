"""Invented scenes for the cloud network: land, water, snow, sand and towns under clouds whose shadows are known.

    scene = make_scene(numpy.random.default_rng(1), 256)
    scene.bands, scene.truth    float32 [6, 256, 256], reflectance of NETWORK's bands, and [3, 256, 256], shares

Spectra are typical values by hand, at the surface. A Level-1C scene has the air's own light on top; a Level-2A
scene is the same with that light taken off again, not quite right, as in products.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.cloud_cover import PASSES, Generator, air, column, cover, make_clouds, no_clouds, noise, step, to_level

# Reflectance at the surface in B02, B03, B04, B08, B11, B12.
GROUNDS = {
    "forest": (0.03, 0.05, 0.03, 0.30, 0.15, 0.07),
    "crop": (0.05, 0.08, 0.05, 0.42, 0.20, 0.10),
    "dry grass": (0.08, 0.11, 0.14, 0.28, 0.33, 0.22),
    "soil": (0.09, 0.13, 0.18, 0.27, 0.36, 0.31),
    "burn": (0.04, 0.05, 0.06, 0.10, 0.17, 0.16),
    "rock": (0.25, 0.28, 0.30, 0.34, 0.36, 0.32),
    "sand": (0.20, 0.30, 0.40, 0.50, 0.58, 0.52),
    "white sand": (0.48, 0.56, 0.60, 0.64, 0.56, 0.42),
    "salt": (0.47, 0.50, 0.52, 0.52, 0.26, 0.16),
    "town": (0.14, 0.15, 0.16, 0.22, 0.23, 0.20),
    "water": (0.03, 0.025, 0.012, 0.006, 0.003, 0.002),
    "turbid water": (0.10, 0.14, 0.15, 0.06, 0.01, 0.01),
    "fresh snow": (0.92, 0.92, 0.91, 0.86, 0.13, 0.10),
    "old snow": (0.80, 0.79, 0.76, 0.64, 0.06, 0.04),
    "ice": (0.60, 0.58, 0.52, 0.38, 0.03, 0.02),
}
WATERS = ("water", "turbid water")
SNOWS = ("fresh snow", "old snow", "ice")
BRIGHT = ("sand", "white sand", "salt", "rock")
ROOF = (0.50, 0.52, 0.53, 0.56, 0.48, 0.42)


@dataclass(frozen=True)
class Scene:
    """`bands` float32 [6, H, W]; `truth` float32 [3, H, W]: clear, cloud, shadow."""

    bands: np.ndarray
    truth: np.ndarray
    level: str


def make_scene(
    rng: Generator, side: int, ground: str | None = None, level: str | None = None, *, is_clear: bool = False
) -> Scene:
    """A scene; `ground` names one of KINDS, or any. A clear one has the ground that the same seed has under clouds."""
    kind = ground or str(rng.choice(list(KINDS), p=np.array(SHARES) / sum(SHARES)))
    level = level or str(rng.choice(["L1C", "L2A"]))
    surface = np.clip(KINDS[kind](rng, side), 0.001, 1.1)
    top = air(rng) + column(PASSES) * surface
    bands, truth = cover(rng, top, no_clouds(side) if is_clear else make_clouds(rng, side))
    return Scene(to_level(rng, bands, level), truth, level)


def _spectrum(rng: Generator, name: str) -> np.ndarray:
    """A ground's reflectance with its own gain and tilt, [6, 1, 1]."""
    return column(GROUNDS[name]) * rng.uniform(0.75, 1.25) * column(rng.uniform(0.92, 1.08, 6))


def _blend(rng: Generator, side: int, names: list[str], texture: tuple[float, float] = (0.0, 0.2)) -> np.ndarray:
    """Grounds whose borders are drawn by noise, sharp or soft, each with a texture of its own."""
    surface = np.zeros((6, side, side), np.float32)
    fields = np.stack([noise(rng, side, rng.uniform(1.8, 4.5)) + rng.normal(0, 0.7) for _ in names])
    shares = np.exp((fields - fields.max(0)) * rng.uniform(1.5, 25))
    shares /= shares.sum(0)
    for name, share in zip(names, shares, strict=True):
        strength = rng.uniform(*texture) * (0.15 if name in WATERS + SNOWS else 1)
        rough = np.clip(1 + strength * noise(rng, side, rng.uniform(0.8, 2.6)), 0.3, 2)
        surface += share * _spectrum(rng, name) * rough
    return surface


def _land(rng: Generator, side: int) -> np.ndarray:
    names = ["forest", "crop", "dry grass", "soil", "burn", *(["water"] if rng.random() < 0.4 else [])]
    return _blend(rng, side, list(rng.choice(names, rng.integers(2, 5), replace=False)))


def _bright(rng: Generator, side: int) -> np.ndarray:
    names = [str(rng.choice(BRIGHT)), *rng.choice(["soil", "sand", "dry grass", "salt", "water"], 2, replace=False)]
    return _lit(rng, _blend(rng, side, names[: rng.integers(1, 4)], (0.02, 0.12)), rng.uniform(0, 0.25))


def _snow(rng: Generator, side: int) -> np.ndarray:
    others = list(rng.choice(["forest", "rock", "soil", "water"], rng.integers(0, 3), replace=False))
    names = [str(name) for name in (*rng.choice(SNOWS, rng.integers(1, 3), replace=False), *others)]
    return _lit(rng, _blend(rng, side, names), rng.choice([0, rng.uniform(0, 0.6)]))


def _lit(rng: Generator, surface: np.ndarray, strength: float) -> np.ndarray:
    """Slopes towards the sun and away from it."""
    height = noise(rng, surface.shape[1], rng.uniform(2.5, 3.5))
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * np.gradient(height, axis=0) + np.sin(angle) * np.gradient(height, axis=1)
    return surface * np.clip(1 + strength * slope / (slope.std() + 1e-6), 0.12, 1.5)


def _water(rng: Generator, side: int) -> np.ndarray:
    names = ["water", "turbid water", *(["soil"] if rng.random() < 0.3 else [])]
    surface = _blend(rng, side, names[: rng.integers(1, len(names) + 1)])
    if rng.random() < 0.5:  # the sun's reflection, with waves
        waves = noise(rng, side, rng.uniform(0.3, 1.5), rng.uniform(1, 3), rng.uniform(0, np.pi))
        wide = step(noise(rng, side, 3.5), rng.uniform(-1, 1), 1)
        glint = rng.uniform(0.02, 0.22) * wide * np.clip(1 + rng.uniform(0, 0.4) * waves, 0, 3)
        surface = surface + column((1, 0.98, 0.95, 0.92, 0.8, 0.72)) * glint
    return surface


def _fields(rng: Generator, side: int) -> np.ndarray:
    """A patchwork of fields with tracks between them."""
    count = int(rng.integers(20, 160))
    places = rng.uniform(0, side, (count, 2))
    down, across = np.mgrid[:side, :side] + 2 * noise(rng, side, 2.5)
    turn = rng.uniform(0.5, 2)
    distance = (down[None] - places[:, :1, None]) ** 2 * turn + (across[None] - places[:, 1:, None]) ** 2 / turn
    nearest = np.argmin(distance.astype(np.float32), 0)
    names = rng.choice(["forest", "crop", "dry grass", "soil", "burn", "crop", "rock"], count)
    colors = np.stack([_spectrum(rng, str(name))[:, 0, 0] for name in names], 1)
    surface = colors[:, nearest] * np.clip(1 + 0.06 * noise(rng, side, 1), 0.5, 1.5)
    edges = (nearest != np.roll(nearest, 1, 0)) | (nearest != np.roll(nearest, 1, 1))
    return np.where(edges & (rng.random() < 0.6), _spectrum(rng, "town"), surface)


def _town(rng: Generator, side: int) -> np.ndarray:
    """Streets, houses, and a few large and bright roofs."""
    surface = _blend(rng, side, ["town", "dry grass", "forest"], (0.1, 0.35))
    for _ in range(int(rng.integers(20, 220))):
        tall, wide = np.maximum(1, rng.gamma(1.2, 4.5, 2)).astype(int)
        top, left = rng.integers(0, side, 2)
        color = column(ROOF) * rng.uniform(0.2, 1.7) * column(rng.uniform(0.8, 1.2, 6))
        surface[:, top : top + tall, left : left + wide] = color
    return ndimage.gaussian_filter(surface, (0, 0.5, 0.5))


KINDS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "land": _land,
    "fields": _fields,
    "bright": _bright,
    "snow": _snow,
    "water": _water,
    "town": _town,
}
SHARES = (0.22, 0.2, 0.2, 0.16, 0.1, 0.12)
