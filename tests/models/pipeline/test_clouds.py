"""The cloud network's scenes, samples and folder; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_clouds.py"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from folder import FolderTest, sha256
from training import clouds
from training.cloud_course import run_course
from training.cloud_cover import Clouds, cover
from training.cloud_network import CloudNetwork
from training.cloud_patches import HELD_OUT, Patch
from training.cloud_samples import MEAN, SIDE, STD, Samples, normalize, soft_label
from training.cloud_scenes import KINDS, make_scene

SMALL = 64


class Said:
    """Teachers that say the same of each patch."""

    def __init__(self, cloud: dict[str, float]) -> None:
        self.cloud = cloud

    def labels(self, patch: Patch) -> dict[str, np.ndarray]:
        sides = patch.bands.shape[1:]
        made = {}
        for name, share in self.cloud.items():
            whole = np.full(sides, share, np.float32)
            made[name] = whole if name == "trees" else np.stack([1 - whole, whole, 0 * whole])
        return made


def patch(name: str, side: int = 256, level: str = "L1C") -> Patch:
    bands = make_scene(np.random.default_rng(1), side, "land", level).bands
    return Patch(name, level, bands, np.zeros((13, side, side), np.float32) if level == "L1C" else None)


class SceneTest(FolderTest):
    def test_a_seed_gives_one_scene_and_its_truth_is_a_probability(self) -> None:
        for kind in KINDS:
            one, other = (make_scene(np.random.default_rng(5), SMALL, kind) for _ in range(2))
            np.testing.assert_array_equal(one.bands, other.bands)
            self.assertEqual((one.bands.shape, one.truth.shape), ((6, SMALL, SMALL), (3, SMALL, SMALL)))
            np.testing.assert_allclose(one.truth.sum(0), 1, atol=1e-5)
            self.assertGreaterEqual(one.truth.min(), 0)
            self.assertGreater(one.bands.min(), 0)

    def test_clouds_are_bright_and_their_shadows_dark(self) -> None:
        ground = np.full((6, SMALL, SMALL), 0.2, np.float32)
        opacity, shade = np.zeros((2, SMALL, SMALL), np.float32)
        opacity[:20], shade[30:50] = 1, 0.6
        bands, truth = cover(np.random.default_rng(1), ground, Clouds(opacity, 0.7 + 0 * ground, shade))
        self.assertEqual([truth[:, row, 5].argmax() for row in (10, 25, 40)], [1, 0, 2])
        red = bands[2].mean(1)
        self.assertGreater(red[10], red[25])
        self.assertGreater(red[25], red[40])

    def test_level_2a_is_darker_in_blue(self) -> None:
        blue = {
            level: np.mean(
                [make_scene(np.random.default_rng(seed), SMALL, "land", level).bands[0] for seed in range(8)]
            )
            for level in ("L1C", "L2A")
        }
        self.assertGreater(blue["L1C"], blue["L2A"] + 0.02)


class SampleTest(FolderTest):
    def test_without_swir_its_channels_are_0(self) -> None:
        bands = np.full((6, 2, 2), 0.5, np.float32)
        values = normalize(bands, has_swir=False)
        self.assertEqual(values[4:].any(), False)
        self.assertAlmostEqual(float(values[1, 0, 0]), (0.5 - MEAN[1]) / STD[1], 5)
        np.testing.assert_array_equal(normalize(bands, has_swir=True)[6], 1)

    def test_a_patch_that_is_called_clear_needs_both_networks_for_a_cloud(self) -> None:
        said = Said({"four": 0.9, "six": 0.1, "trees": 1.0})
        self.assertAlmostEqual(float(soft_label(patch("a_clear"), said)[1].mean()), 0.1, 5)
        self.assertAlmostEqual(float(soft_label(patch("a_cloudy"), said)[1].mean()), 0.85 * 0.5 + 0.15, 5)

    def test_batches_are_finite_and_repeatable(self) -> None:
        def batch() -> tuple:
            samples = Samples([patch("a_clear"), patch("b", 300, "L2A")], Said({"four": 0.2}), 3, pool=2)
            return samples.batch(4)

        for one, other, shape in zip(batch(), batch(), ((4, 7), (4, 3), (4,)), strict=True):
            np.testing.assert_array_equal(one, other)
            self.assertEqual(one.shape, (*shape, SIDE, SIDE))
            self.assertTrue(np.isfinite(one).all())

    def test_whole_places_are_held_out(self) -> None:
        self.assertTrue(patch(f"{HELD_OUT[0]}_clear", SMALL).is_held_out)
        self.assertFalse(patch("ROIs1158_spring_26_p100_clear", SMALL).is_held_out)


class CourseTest(FolderTest):
    def test_a_course_that_was_interrupted_goes_on(self) -> None:
        seeds = []

        def make(seed: int) -> Samples:
            seeds.append(seed)
            return Samples([patch("a_clear")], Said({"four": 0.2}), seed, pool=1)

        file = self.folder / "course.pt"
        _, first = run_course(make, file, 0.01)
        longer = first["minutes"] + 0.01
        _, second = run_course(make, file, longer)
        self.assertGreater(second["steps"], first["steps"])
        self.assertEqual(seeds, [1, 1 + first["steps"]])
        self.assertEqual(run_course(make, file, longer)[1], second)  # nothing is left to do, so no samples are made
        self.assertEqual(len(seeds), 2)


class FolderOfModelTest(FolderTest):
    def test_the_folder_is_one_that_the_service_proves(self) -> None:
        torch.manual_seed(1)
        folder = Path(self.folder) / "clouds"
        clouds.write_folder(CloudNetwork().eval(), folder, "test-1", {"steps": 1, "minutes": 0.5})
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.assertEqual((card["name"], card["version"]), ("clouds", "test-1"))
        self.assertEqual(card["sha256"], sha256((folder / "model.onnx").read_bytes()))
        self.assertEqual(len(card["golden"]["logits"]), 48)
        self.assertLessEqual((folder / "model.onnx").stat().st_size, 2_000_000)
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        values = np.zeros((1, 7, 80, 112), np.float32)
        self.assertEqual(session.run(None, {"bands": values})[0].shape, (1, 3, 80, 112))
