"""Invented clouds: their shapes, their light and their shadows over a ground, and the air between.

    clouds = make_clouds(numpy.random.default_rng(1), 256)
    bands, truth = cover(rng, ground, clouds)           float32 [6, 256, 256] and [3, 256, 256]

Clouds are fractal noise above a threshold. A thin edge lets the ground through; the shadow is the same shape moved
away from the sun. Mixing is done at the top of the atmosphere.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

Generator = np.random.Generator

# The air's own light at the top of the atmosphere, a clear and a hazy day, and what share passes.
AIR = ((0.055, 0.030, 0.014, 0.005, 0.001, 0.0005), (0.11, 0.065, 0.040, 0.018, 0.004, 0.002))
PASSES = (0.88, 0.91, 0.93, 0.95, 0.96, 0.95)
# How much of a shadow each band shows: the sky lights shadows blue.
DARKENS = (0.78, 0.86, 0.92, 1.0, 1.03, 1.04)
CLOUD_AT = 0.3  # opacity from which a pixel is cloud: thinner veils are left clear
SHADOW_AT = 0.35  # share of light lost from which a pixel is shadow


@dataclass(frozen=True)
class Clouds:
    """`opacity` [H, W] from 0 to 1, `light` [6, H, W] of a wholly opaque cloud, `shade` [H, W] light lost below."""

    opacity: np.ndarray
    light: np.ndarray
    shade: np.ndarray


def no_clouds(side: int) -> Clouds:
    """A clear sky."""
    nothing = np.zeros((side, side), np.float32)
    return Clouds(nothing, np.zeros((6, side, side), np.float32), nothing)


def make_clouds(rng: Generator, side: int) -> Clouds:
    """None, a few puffs, streets, a closed deck, a thin veil, or two layers of these."""
    kind = rng.choice(["none", "puffs", "field", "deck", "veil", "both"], p=[0.24, 0.26, 0.2, 0.08, 0.1, 0.12])
    if kind == "both":
        low, high = _puffs(rng, side, rng.uniform(0.2, 1.6)), _veil(rng, side)
        opacity = 1 - (1 - low) * (1 - high)
    else:
        shapes = {
            "none": lambda: np.zeros((side, side), np.float32),
            "puffs": lambda: _puffs(rng, side, rng.uniform(1.2, 2.2)),
            "field": lambda: _puffs(rng, side, rng.uniform(0.1, 1.2)),
            "deck": lambda: _puffs(rng, side, rng.uniform(-3.5, -0.5)),
            "veil": lambda: _veil(rng, side),
        }
        opacity = shapes[kind]()
    return Clouds(opacity, _light(rng, side, opacity), _shade(rng, opacity))


def _puffs(rng: Generator, side: int, threshold: float) -> np.ndarray:
    """Opacity of clouds with edges from sharp to soft."""
    stretch = rng.choice([1, rng.uniform(1, 1.4)])
    field = noise(rng, side, rng.uniform(2.9, 3.9), stretch, rng.uniform(0, np.pi))
    above = (field - threshold) / rng.uniform(0.15, 1.2)
    return np.clip(above, 0, 1) ** rng.uniform(0.5, 1.2) * rng.uniform(0.8, 1)


def _veil(rng: Generator, side: int) -> np.ndarray:
    """Opacity of a thin high cloud, in streaks."""
    field = noise(rng, side, rng.uniform(3, 4), rng.uniform(1, 2.2), rng.uniform(0, np.pi))
    return step(field, rng.uniform(-1, 1.2), rng.uniform(0.3, 0.9)) * rng.uniform(0.15, 0.75)


def _light(rng: Generator, side: int, opacity: np.ndarray) -> np.ndarray:
    """What an opaque cloud reflects: white, brighter where thick, darker away from the sun, less in SWIR."""
    ice = rng.beta(1, 2)
    swir = (rng.uniform(0.65, 0.95) * (1 - 0.5 * ice), rng.uniform(0.5, 0.8) * (1 - 0.5 * ice))
    tint = column((rng.uniform(0.98, 1.06), 1, rng.uniform(0.97, 1.02), rng.uniform(0.98, 1.1), *swir))
    rough = 1 + rng.uniform(0.02, 0.16) * noise(rng, side, rng.uniform(2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    thick = ndimage.gaussian_filter(opacity, rng.uniform(2, 8))
    slope = np.cos(angle) * np.gradient(thick, axis=0) + np.sin(angle) * np.gradient(thick, axis=1)
    relief = np.clip(1 + rng.uniform(0, 5) * slope, 0.5, 1.3)
    body = rng.uniform(0.32, 0.95) * (0.75 + 0.35 * thick) * np.clip(rough, 0.4, 1.6) * relief
    return np.clip(tint * body, 0.05, 1.4)


def _shade(rng: Generator, opacity: np.ndarray) -> np.ndarray:
    """The light that is lost on the ground: the clouds' shape, moved, blurred by the sun's width and the height."""
    distance, angle = rng.uniform(4, 60), rng.uniform(0, 2 * np.pi)
    moved = ndimage.shift(opacity, (distance * np.sin(angle), distance * np.cos(angle)), order=1, mode="mirror")
    return ndimage.gaussian_filter(moved, rng.uniform(0.5, 2)) * rng.uniform(0.35, 0.8)


def cover(rng: Generator, top: np.ndarray, clouds: Clouds) -> tuple[np.ndarray, np.ndarray]:
    """Clouds and their shadows over a Level-1C ground [6, H, W]: bands and truth."""
    clouds = Clouds(*(part.astype(np.float32) for part in (clouds.opacity, clouds.light, clouds.shade)))
    shaded = top * (1 - column(DARKENS) * clouds.shade)
    bands = shaded * (1 - clouds.opacity) + clouds.light * clouds.opacity
    bands = bands + rng.uniform(0.001, 0.006) * rng.standard_normal(bands.shape, np.float32)
    cloud = step(clouds.opacity, CLOUD_AT, 0.06)
    shadow = (1 - cloud) * step(clouds.shade, SHADOW_AT, 0.06)
    return bands.astype(np.float32), np.stack([1 - cloud - shadow, cloud, shadow]).astype(np.float32)


def to_level(rng: Generator, top: np.ndarray, level: str) -> np.ndarray:
    """Level-1C as it is, or what a correction of the air makes of it: float32 [6, H, W], from 0."""
    if level == "L1C":
        return np.maximum(top, 0.0005).astype(np.float32)
    gain = column(PASSES) * rng.uniform(0.93, 1.05)
    return np.maximum((top - air(rng)) / gain, 0.0005).astype(np.float32)


def air(rng: Generator) -> np.ndarray:
    """The air's own light on some day, [6, 1, 1]."""
    haze = rng.beta(1.5, 3)
    return column(AIR[0]) * (1 - haze) + column(AIR[1]) * haze


def column(values: tuple[float, ...] | np.ndarray) -> np.ndarray:
    """A value a band, [6, 1, 1]."""
    return np.asarray(values, np.float32)[:, None, None]


def noise(rng: Generator, side: int, beta: float, stretch: float = 1, angle: float = 0) -> np.ndarray:
    """Fractal noise [side, side] of mean 0 and deviation 1: power falls with frequency to the power of -beta."""
    down, across = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    along = np.cos(angle) * across + np.sin(angle) * down
    beside = np.cos(angle) * down - np.sin(angle) * across
    frequency = np.sqrt((along * stretch) ** 2 + (beside / stretch) ** 2)
    frequency[0, 0] = np.inf
    waves = (rng.standard_normal((*frequency.shape, 2), np.float32)).view(np.complex64)[..., 0]
    field = np.fft.irfft2(waves * np.maximum(frequency, 0.7 / side) ** (-beta / 2), s=(side, side))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def step(values: np.ndarray, at: float, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip((values - at) / width, -30, 30)))
