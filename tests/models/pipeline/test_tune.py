"""Fine-tuning; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_tune.py"""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from training.architectures import build
from training.crops import normalized, random_crops
from training.tune import Lesson, Tuning, grow, has_bfloat16, imprinted, tune
from torch import nn

SIDE = 40
CLASSES = 3
COLORS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]])
QUICK = Tuning(epochs=25, learning_rate=3e-3, size=32, distillation=0.0, share=1.0)


def lesson(count: int = 24) -> Lesson:
    """Noise on one of three colors: what a few steps can learn."""
    noise = np.random.RandomState(1)
    classes = np.arange(count) % CLASSES
    images = COLORS[classes][:, None, None, :] + noise.randint(-30, 31, (count, SIDE, SIDE, 3))
    return Lesson(images.clip(0, 255).astype(np.uint8), classes)


def small() -> nn.Module:
    torch.manual_seed(1)
    return build("wide-resnet", CLASSES).eval()


def yellow() -> Lesson:
    """Noise on a fourth color, as a class that the others do not have."""
    images = np.array([220, 220, 30]) + np.random.RandomState(2).randint(-30, 31, (8, SIDE, SIDE, 3))
    return Lesson(images.clip(0, 255).astype(np.uint8), np.full(8, CLASSES))


def right(model: nn.Module, given: Lesson) -> float:
    """Share of the whole images whose class the model names."""
    with torch.inference_mode():
        logits = model(normalized(torch.from_numpy(given.images).permute(0, 3, 1, 2).float()))
    return float((logits.argmax(1).numpy() == given.classes).mean())


class TuneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        torch.set_num_threads(1)
        cls.old, cls.given = small(), lesson()
        cls.before = {name: value.clone() for name, value in cls.old.state_dict().items()}
        cls.told: list[float] = []
        cls.tuned = tune(cls.old, cls.given, None, QUICK, (), lambda share, _loss: cls.told.append(share))

    def test_it_learns_what_the_images_show(self) -> None:
        self.assertLess(right(self.old, self.given), 0.7)
        self.assertGreater(right(self.tuned, self.given), 0.9)

    def test_the_old_model_and_the_statistics_of_batch_norms_stay_as_they_were(self) -> None:
        for name, value in self.old.state_dict().items():
            self.assertTrue(torch.equal(value, self.before[name]), name)
        for name, value in self.tuned.state_dict().items():
            if "running" in name or "tracked" in name:
                self.assertTrue(torch.equal(value, self.before[name]), name)

    def test_progress_rises_up_to_the_end_also_by_minutes(self) -> None:
        self.assertEqual(self.told, sorted(self.told))
        self.assertAlmostEqual(self.told[-1], 1.0)
        told: list[float] = []
        short = Tuning(epochs=None, minutes=0.005, size=32)
        tune(self.old, self.given, None, short, (), lambda share, _loss: told.append(share))
        self.assertEqual(told[-1], 1.0)

    def test_the_same_seed_gives_the_same_weights_and_another_one_others(self) -> None:
        seeds = (1, 1, 2)
        made = [tune(self.old, self.given, None, Tuning(epochs=1, size=32, seed=seed)).head.weight for seed in seeds]
        self.assertTrue(torch.equal(made[0], made[1]))
        self.assertFalse(torch.equal(made[0], made[2]))

    def test_rehearsal_keeps_what_the_new_images_do_not_show(self) -> None:
        only_red = Lesson(self.given.images[::CLASSES], self.given.classes[::CLASSES])
        rest = self.given.classes != 0
        others = Lesson(self.given.images[rest], self.given.classes[rest])
        forgetful = tune(self.tuned, only_red, None, QUICK)
        mindful = tune(self.tuned, only_red, self.given, QUICK)
        self.assertLess(right(forgetful, others), right(mindful, others))
        self.assertGreater(right(mindful, others), 0.9)

    def test_a_class_that_was_not_known_is_named_before_the_first_step_and_the_others_still_are(self) -> None:
        start, shown = grow(self.tuned, list("abc"), list("abcd")), yellow()
        made = imprinted(start, shown, self.given, [CLASSES], 32)
        self.assertEqual(right(start, shown), 0.0)
        self.assertGreater(right(made, shown), 0.9)
        self.assertGreater(right(made, self.given), 0.9)

    def test_a_class_that_no_image_shows_stays_the_mean_of_the_others(self) -> None:
        start = grow(self.tuned, list("abc"), list("abcd"))
        made = imprinted(start, self.given, None, [CLASSES], 32)
        for name, value in start.state_dict().items():
            self.assertTrue(torch.equal(value, made.state_dict()[name]), name)

    def test_a_class_that_was_not_known_takes_the_tuned_weights_whatever_the_share(self) -> None:
        start = grow(small(), ["a", "b", "c"], ["a", "b", "c", "d"])
        gray = Lesson(np.full((8, SIDE, SIDE, 3), 128, np.uint8), np.full(8, 3))
        tuned = tune(start, gray, None, Tuning(epochs=2, size=32, share=0.0), [3])
        for name, before in start.state_dict().items():
            after = tuned.state_dict()[name]
            if name.startswith("head."):
                self.assertFalse(torch.equal(after[3], before[3]))
                before, after = before[:3], after[:3]
            self.assertTrue(torch.equal(after, before), name)


class GrowTest(unittest.TestCase):
    def test_known_classes_keep_their_logits_and_a_new_one_begins_as_their_mean(self) -> None:
        old, image = small(), torch.randn(2, 3, 32, 32)
        grown = grow(old, ["b", "c", "e"], ["a", "b", "c", "d", "e"])
        with torch.inference_mode():
            before, after = old(image), grown(image)
        self.assertTrue(torch.allclose(after[:, [1, 2, 4]], before, atol=1e-6))
        self.assertTrue(torch.allclose(after[:, 3], before.mean(1), atol=1e-5))
        wider = grow(build("mobilenet", 2), ["a", "b"], ["a", "b", "c"])
        with torch.inference_mode():
            self.assertEqual(wider(torch.zeros(1, 3, 32, 32)).shape, (1, 3))


class CropTest(unittest.TestCase):
    def test_crops_lie_within_the_image_and_show_at_least_the_given_area(self) -> None:
        torch.manual_seed(1)
        theta = random_crops(500, 0.35)
        width, height = theta[:, 0, 0].abs(), theta[:, 1, 1]
        self.assertTrue(((theta[:, 0, 2].abs() + width) <= 1 + 1e-6).all())
        self.assertTrue(((theta[:, 1, 2].abs() + height) <= 1 + 1e-6).all())
        self.assertGreater((width * height).min().item(), 0.3)  # a side at its limit may cost a little area
        self.assertTrue((theta[:, 0, 0] < 0).any() and (theta[:, 0, 0] > 0).any())


class ProcessorTest(unittest.TestCase):
    def test_bfloat16_is_used_where_the_processor_lists_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cpuinfo"
            for flags, expected in (("avx2 avx512f", False), ("avx512f avx512_bf16", True), ("amx_bf16", True)):
                file.write_text(f"flags\t\t: {flags}\n")
                self.assertEqual(has_bfloat16(file), expected)
            self.assertFalse(has_bfloat16(Path(folder) / "none"))
