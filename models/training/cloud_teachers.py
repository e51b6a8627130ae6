"""Soft labels for patches: the probabilities that two published models give, kept in a folder so that each runs once.

    known = soft_labels(patch, Teachers(Path("models/.work/clouds")))

ukis-csmask 1.0.0 (Apache-2.0) tells clear, cloud and shadow; it runs on four bands at 10 m and, where there is
SWIR, on six at 20 m, where it invents less cloud. s2cloudless 1.7.3 (CC BY-SA 4.0) tells cloud from ten bands of
Level-1C. Each wheel comes through pip with its hash checked; lightgbm runs the latter's trees.
"""

import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.graph import session_options
from pipeline.steps import say
from pipeline.ukis import NETWORKS, TILE, WHEEL, unpack
from pipeline.wheel import Wheel, fetch_wheel
from training.cloud_patches import BANDS_L1C, S2CLOUDLESS, Patch

TREES = Wheel("s2cloudless", "1.7.3", "bd8ea8f21df724e77ed48592bfce1c49f4093aebe3561f88c9a276cd14c934bf")
TREES_FILE = "s2cloudless/models/pixel_s2_cloud_detector_lightGBM_v0.1.txt"
TURNS = 4  # by 90 degrees, each also mirrored: a teacher's mean over them is smoother than one answer


class Teachers:
    """The models, loaded when first asked; `work` keeps wheels and answers."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.trees = cache(self._load_trees)
        self.network = cache(self._load_network)

    def labels(self, patch: Patch) -> dict[str, np.ndarray]:
        """float32 [3, H, W] of `four` and perhaps `six`, [H, W] of `trees`, probabilities, kept in `work`."""
        file = self.work / "labels" / f"{patch.name}.npz"
        if not file.exists():
            say(f"  teachers: {patch.name}")
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, **{name: p.astype(np.float16) for name, p in self._ask(patch).items()})
        with np.load(file) as kept:
            return {name: kept[name].astype(np.float32) for name in kept.files}

    def _ask(self, patch: Patch) -> dict[str, np.ndarray]:
        answers = {"four": self._mean_over_turns(4, patch.level, patch.bands[:4])}
        if len(patch.bands) == 6:
            coarse = _mean_2x2(patch.bands)
            answers["six"] = np.repeat(np.repeat(self._mean_over_turns(6, patch.level, coarse), 2, 1), 2, 2)
        if patch.all13 is not None:
            ten = patch.all13[[BANDS_L1C.index(name) for name in S2CLOUDLESS]]
            flat = ten.reshape(len(ten), -1).T.astype(np.float64)
            answers["trees"] = self.trees().predict(flat, num_threads=1).reshape(ten.shape[1:]).astype(np.float32)
        return answers

    def _mean_over_turns(self, bands: int, level: str, values: np.ndarray) -> np.ndarray:
        total = np.zeros((3, *values.shape[1:]), np.float32)
        for turn in range(TURNS):
            for step in (1, -1):
                turned = np.rot90(values[:, :, ::step], turn, (1, 2))
                total += np.rot90(self._whole(bands, level, turned), -turn, (1, 2))[:, :, ::step]
        return total / (2 * TURNS)

    def _whole(self, bands: int, level: str, values: np.ndarray) -> np.ndarray:
        """Probabilities of a patch in half-overlapping tiles, each weighted down towards its border."""
        session, mean, std = self.network(bands, level)
        height, width = values.shape[1:]
        tall, wide = (max(TILE, -(-side // (TILE // 2)) * (TILE // 2)) for side in (height, width))
        padded = np.pad((values - mean) / std, ((0, 0), (0, tall - height), (0, wide - width)), "symmetric")
        ramp = np.minimum(np.arange(TILE) + 0.5, TILE - 0.5 - np.arange(TILE)).astype(np.float32)
        weight = np.outer(ramp, ramp)
        total, weights = np.zeros((3, tall, wide), np.float32), np.zeros((tall, wide), np.float32)
        for top in range(0, tall - TILE + 1, TILE // 2):
            for left in range(0, wide - TILE + 1, TILE // 2):
                place = (slice(top, top + TILE), slice(left, left + TILE))
                tile = np.ascontiguousarray(padded[(slice(None), *place)][None], np.float32)
                total[(slice(None), *place)] += weight * _softmax(
                    session.run(None, {session.get_inputs()[0].name: tile})[0][0]
                )
                weights[place] += weight
        return (total / weights)[:, :height, :width]

    def _load_network(self, bands: int, level: str):
        import onnxruntime

        network = next(entry for entry in NETWORKS if (entry.bands, entry.level) == (bands, level))
        file, mean, std = unpack(network, fetch_wheel(WHEEL, self.work), self.work)
        session = onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
        return session, *(np.float32(values)[:, None, None] for values in (mean, std))

    def _load_trees(self):
        import lightgbm

        with zipfile.ZipFile(fetch_wheel(TREES, self.work)) as archive:
            return lightgbm.Booster(model_str=archive.read(TREES_FILE).decode())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


def _mean_2x2(values: np.ndarray) -> np.ndarray:
    count, height, width = values.shape
    return values.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4))
