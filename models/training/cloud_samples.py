"""Training samples for the cloud network: real patches with soft labels, invented scenes, and invented clouds over
real ground.

    samples = Samples(patches, teachers, seed=1)
    values, truth, weight = samples.batch(10)

All three kinds are turned, enlarged, and changed in gain, offset, haze and noise; some lose SWIR, and Level-1C may
become like Level-2A. The labels stay what they were, since none of this makes or removes a cloud.
"""

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from training.cloud_cover import Clouds, air, column, cover, make_clouds
from training.cloud_patches import Patch
from training.cloud_scenes import make_scene
from training.cloud_teachers import Teachers

MEAN = (0.22, 0.22, 0.22, 0.30, 0.22, 0.16)
STD = (0.22, 0.21, 0.21, 0.19, 0.14, 0.12)
SIDE = 160
LARGE = 256  # of a scene and of a patch, so that crops of it differ
POOL = 400  # scenes kept, of which each is drawn many times, and as many clouds
FRESH = 4  # batches for which one of each is made anew
WIDEN = 2  # pixels: references draw clouds a little larger than the teachers do
LEAST, MOST = 0.6, 2.4  # pixels that become one: real clouds are in patches of 10 m, other sensors' are coarser
NOISE = 2**22
KINDS = (0.45, 0.3, 0.25)  # shares of real patches, invented scenes, invented clouds over real ground
FLAT = 0.012  # deviation of near infrared below which a patch shows open sea
FLAT_SHARE, LARGE_SHARE = 0.12, 4  # how often such a patch is drawn, and one of four times the area
TREES_SHARE = 0.15  # of s2cloudless in a label; it sees no shadow and takes haze for cloud


def soft_label(patch: Patch, teachers: Teachers) -> np.ndarray:
    """Probabilities of clear, cloud and shadow, float32 [3, H, W]: the teachers' mean, its clouds widened.

    In a patch that the data set calls clear, cloud is what both networks see.
    """
    said = teachers.labels(patch)
    networks = np.stack([said[name] for name in ("four", "six") if name in said])
    cloud, shadow = networks[:, 1].mean(0), networks[:, 2].mean(0)
    if patch.is_clear:
        cloud, shadow = networks[:, 1].min(0), networks[:, 2].min(0)
    elif "trees" in said:
        cloud = (1 - TREES_SHARE) * cloud + TREES_SHARE * said["trees"]
    down, across = np.mgrid[-WIDEN : WIDEN + 1, -WIDEN : WIDEN + 1]
    cloud = ndimage.grey_dilation(cloud, footprint=down**2 + across**2 <= WIDEN**2)
    shadow = np.minimum(shadow, 1 - cloud)
    return np.stack([1 - cloud - shadow, cloud, shadow]).astype(np.float32)


def normalize(bands: np.ndarray, has_swir: bool) -> np.ndarray:
    """The network's input float32 [7, H, W] of reflectance [4 or 6, H, W]."""
    values = np.zeros((7, *bands.shape[1:]), np.float32)
    count = 6 if has_swir else 4
    values[:count] = (bands[:count] - column(MEAN)[:count]) / column(STD)[:count]
    values[6] = has_swir
    return values


class Samples:
    """An endless source of batches; the same seed gives the same samples."""

    def __init__(self, patches: list[Patch], teachers: Teachers, seed: int, pool: int = POOL) -> None:
        self.rng = np.random.default_rng(seed)
        self.patches = patches
        self.labels = [soft_label(patch, teachers) for patch in patches]
        shares = np.array([_share(patch) for patch in patches])
        self.shares = shares / shares.sum()
        grounds = [patch for patch in patches if patch.is_clear and patch.all13 is not None]
        weights = np.array([_share(patch) for patch in grounds])
        self.grounds, self.ground_shares = grounds, weights / weights.sum()
        self.scenes = [make_scene(self.rng, LARGE) for _ in range(pool)]
        self.clouds = [_compact(make_clouds(self.rng, LARGE)) for _ in range(pool)]
        self.noise = self.rng.standard_normal(NOISE, np.float32)  # to be read from anywhere
        self.batches = 0

    def batch(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float32 [count, 7, SIDE, SIDE], [count, 3, SIDE, SIDE] and the weight of each pixel, [count, SIDE, SIDE]."""
        self.batches += 1
        if self.batches % FRESH == 0:
            self.scenes[self.rng.integers(len(self.scenes))] = make_scene(self.rng, LARGE)
            self.clouds[self.rng.integers(len(self.clouds))] = _compact(make_clouds(self.rng, LARGE))
        return tuple(np.stack(parts) for parts in zip(*(self._sample() for _ in range(count)), strict=True))

    def _sample(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = self.rng
        kind = rng.choice(3, p=KINDS)
        if kind == 1:
            scene = self.scenes[rng.integers(len(self.scenes))]
            bands, truth, level = scene.bands, scene.truth, scene.level
        elif kind == 0:
            index = rng.choice(len(self.patches), p=self.shares)
            patch = self.patches[index]
            bands, truth, level = patch.bands, self.labels[index], patch.level
        else:
            patch = self.grounds[rng.choice(len(self.grounds), p=self.ground_shares)]
            bands, truth = _cover_part(rng, patch.bands, self.clouds[rng.integers(len(self.clouds))])
            level = "L1C"
        bands, truth = _crop(rng, bands, truth)
        if level == "L1C" and kind != 1 and rng.random() < 0.5:
            bands = _correct_air(rng, bands)
        elif level == "L2A" and kind == 0 and rng.random() < 0.5:
            bands = bands * 0.92 + air(rng)[: len(bands)]  # and the other way round
        has_swir = len(bands) == 6 and rng.random() < 0.5
        bands = _disturb(rng, bands, self.noise)
        values, weight = normalize(bands, has_swir), np.ones(truth.shape[1:], np.float32)
        if rng.random() < 0.04:
            _cut_corner(rng, values, weight)
        return values, truth, weight


def _cover_part(rng: np.random.Generator, ground: np.ndarray, clouds: Clouds) -> tuple[np.ndarray, np.ndarray]:
    """A part of a ground under a part of some clouds."""
    side = int(min(LARGE, SIDE * rng.uniform(0.8, 1.6)))
    place, above = (
        tuple(slice(start, start + side) for start in rng.integers(0, LARGE - side + 1, 2)) for _ in range(2)
    )
    part = Clouds(clouds.opacity[above], clouds.light[(slice(None), *above)], clouds.shade[above])
    return cover(rng, ground[(slice(None), *place)], part)


def _compact(clouds: Clouds) -> Clouds:
    """The same in half the memory."""
    return Clouds(*(np.asarray(part, np.float16) for part in (clouds.opacity, clouds.light, clouds.shade)))


def _share(patch: Patch) -> float:
    if patch.bands.shape[1] > LARGE:
        return LARGE_SHARE
    return FLAT_SHARE if patch.bands[3].std() < FLAT else 1


def _crop(rng: np.random.Generator, bands: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A square of random place and size, turned at random, at SIDE pixels."""
    least = min(bands.shape[1:])
    whole = int(min(least, round(SIDE * np.exp(rng.uniform(np.log(LEAST), np.log(MOST))))))
    top, left = (int(rng.integers(0, size - whole + 1)) for size in bands.shape[1:])
    both = np.concatenate([bands, truth])[:, top : top + whole, left : left + whole]
    both = np.rot90(both[:, :, :: rng.choice([1, -1])], rng.integers(4), (1, 2))
    with torch.inference_mode():
        square = torch.from_numpy(np.ascontiguousarray(both, np.float32))[None]
        both = functional.interpolate(square, (SIDE, SIDE), mode="bilinear", align_corners=False)[0].numpy()
    return both[: len(bands)], both[len(bands) :]


def _correct_air(rng: np.random.Generator, bands: np.ndarray) -> np.ndarray:
    """Level-1C made like Level-2A; the air that is taken off is at most what the darkest pixels allow."""
    darkest = np.percentile(bands, 1, axis=(1, 2))[:, None, None]
    least = np.minimum(air(rng), np.maximum(darkest - 0.005, 0))
    return np.maximum((bands - least) / (0.9 * rng.uniform(0.95, 1.06)), 0.0005)


def _disturb(rng: np.random.Generator, bands: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Another sun, another sensor, a little haze, noise."""
    count = len(bands)
    gain = rng.uniform(0.82, 1.2) * rng.uniform(0.97, 1.03, count)
    offset = rng.normal(0, 0.004, count)
    haze = float(rng.choice([0, rng.uniform(0, 0.1)]))
    white = rng.uniform(0.3, 0.6) * column((1.05, 1, 0.95, 0.9, 0.6, 0.4))[:count]
    made = bands * column(gain) + column(offset)
    made = made * (1 - haze) + white * haze
    start = rng.integers(len(noise) - made.size)
    return made + rng.uniform(0, 0.008) * noise[start : start + made.size].reshape(made.shape)


def _cut_corner(rng: np.random.Generator, values: np.ndarray, weight: np.ndarray) -> None:
    """The edge of a swath: nothing was seen beyond a slanted line."""
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle = rng.uniform(0, 2 * np.pi)
    beyond = np.cos(angle) * down + np.sin(angle) * across > rng.uniform(10, 70)
    weight[beyond] = 0
    nothing = normalize(np.zeros((6, 1, 1), np.float32), bool(values[6, 0, 0]))
    values[:, beyond] = nothing[:, :, 0]
