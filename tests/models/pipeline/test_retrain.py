"""Retraining; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_retrain.py"""

import json
import random
from dataclasses import replace
from pathlib import Path

from folder import FolderTest, sha256
from PIL import Image
from pipeline.__main__ import main, parser
from pipeline.course import Base, Course, checks_of, plan_course, read_base
from pipeline.gather import Picture
from pipeline.recipe import MODELS, read_recipe
from pipeline.retrain import PAIR, retrained

CAT, DOG, NEW = "n02123045", "n02099601", "n99999999"  # the first two are among the pair's classes
CARD = {
    "version": "tiny-imagenet-2",
    "provenance": "Trained here.",
    "dataSet": {"name": "Tiny ImageNet", "images": 100_000, "license": "L", "source": "S"},
}


def pictures(shows: str, count: int) -> list[Picture]:
    return [Picture(f"{shows}/{i}", shows, b"", f"pixels {shows} {i}") for i in range(count)]


class RecipeTest(FolderTest):
    def made(self, images: int = 10, **card: object):
        checkpoint = self.folder / "mobilenet.pt"
        checkpoint.write_bytes(b"weights")
        checkpoint.with_suffix(".json").write_text(json.dumps({"images": 640, "minutes": 1.25}))
        recipe = read_recipe("mobilenet")
        limits = {**recipe.gates, "max_top1_loss": 0.005}
        recipe = replace(recipe, gates=limits, quantize=replace(recipe.quantize, enabled=True))
        course = Course(pictures(CAT, 3), pictures(CAT, 2), pictures(DOG, 4), [], dict.fromkeys((CAT, DOG, NEW), ""))
        base = Base(Path("mobilenet"), {**CARD, **card}, {CAT: "cat"}, recipe)
        return retrained(base, course, self.folder / "labels.json", "pets-1", images, checkpoint)

    def test_the_new_recipe_names_the_checkpoint_and_what_was_learned_beside_what_was_known(self) -> None:
        made = self.made()
        self.assertEqual((made.version, made.data_set.classes, made.data_set.images), ("pets-1", 3, 100_003))
        self.assertEqual(made.weights.file, str(self.folder / "mobilenet.pt"))
        self.assertEqual(made.weights.sha256, sha256(b"weights"))
        self.assertEqual(
            made.provenance,
            "Trained here. Retrained from tiny-imagenet-2 on 3 images of 1 classes, with 4 of the former ones mixed "
            "in: 640 images seen in 1.2 minutes.",
        )

    def test_a_loss_is_a_gate_only_where_enough_images_can_decide_it(self) -> None:
        for images, is_asked in ((999, False), (1000, True), (1001, True)):
            with self.subTest(images=images):
                self.assertEqual("max_top1_loss" in self.made(images).gates, is_asked)
                self.assertIn("max_load_ms", self.made(images).gates)

    def test_a_version_without_int8_is_followed_by_one_without(self) -> None:
        for variants, expected in (([], False), ([{"precision": "float32"}], False), ([{"precision": "int8"}], True)):
            with self.subTest(variants=variants):
                self.assertEqual(self.made(variants=variants).quantize.enabled, expected)
        self.assertFalse(self.made().quantize.enabled)

    def test_images_held_out_are_compared_on_apart_unless_they_show_new_classes_alone(self) -> None:
        held_out, known = pictures(CAT, 2), pictures(DOG, 3)
        course = Course([], held_out, [], known, {})
        self.assertEqual(checks_of(course, {CAT: "cat"}), {"checked": held_out, "known": known})
        self.assertEqual(checks_of(replace(course, known=[]), {CAT: "cat"}), {"checked": held_out})
        fresh = replace(course, checked=pictures(NEW, 2))
        self.assertEqual(checks_of(fresh, {CAT: "cat"}), {"known": [*known, *fresh.checked]})


class CommandTest(FolderTest):
    """What is refused before anything is learned."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(5):
            self.put(f"data/{CAT}/{number}.png", number)

    def put(self, name: str, seed: int, kind: str = "PNG") -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (6, 4), random.Random(seed).randbytes(72)).save(file, kind)

    def refused(self, *words: object) -> str:
        """The last line of the command when it ends with status 1."""
        given = ["--data", self.folder / "data", "--out", self.folder / "out", "--work", self.folder / "work", *words]
        self.assertEqual(main(["retrain", *map(str, given)]), 1)
        self.assertFalse((self.folder / "work").exists())
        return self.said.getvalue().strip().splitlines()[-1]

    def test_a_class_of_four_images_is_refused_and_an_unreadable_file_does_not_count(self) -> None:
        file = self.folder / "data" / CAT / "4.png"
        file.write_text("no image")
        expected = f"Expected at least 5 images of each class for --data but received 4 of {CAT}"
        self.assertEqual(self.refused(), expected)
        self.assertIn(f"{CAT}/4.png left out: no image that can be decoded", self.said.getvalue())
        file.unlink()
        self.assertEqual(self.refused(), expected)

    def test_int8_asks_for_ten_images_to_learn_from_or_to_rehearse(self) -> None:
        for number in range(12):
            self.put(f"data/{CAT}/{number}.png", number)  # of twelve images four are held out
        for rehearsed, model, is_refused in ((1, "both", True), (2, "both", False)):
            self.put(f"former/{CAT}/{rehearsed}.png", 100 + rehearsed)
            words = ["--data", self.folder / "data", "--rehearse", self.folder / "former", "--model", model]
            args = parser().parse_args(["retrain", *map(str, words)])
            bases = [read_base(MODELS, name, None) for name in PAIR]
            expected = "^Expected at least 10 images to learn from or to rehearse .* but received 9$"
            with self.subTest(rehearsed=rehearsed, model=model):
                if is_refused:
                    self.assert_fault(expected, plan_course, args, bases)
                else:
                    course = plan_course(args, bases)
                    self.assertEqual((len(course.learned), len(course.checked)), (8, 4))

    def test_an_image_in_both_sets_is_refused_also_in_another_format(self) -> None:
        for kind, name in (("PNG", "a.png"), ("BMP", "b.bmp")):
            self.put(f"check/{CAT}/{name}", 3, kind)
            with self.subTest(kind=kind):
                said = self.refused("--check", self.folder / "check")
                self.assertIn(
                    f"Expected no image to check by among those to learn from but received 1: {CAT}/{name}", said
                )
            (self.folder / "check" / CAT / name).unlink()

    def test_an_image_of_what_was_known_is_not_learned_from(self) -> None:
        self.put(f"known/{CAT}/x.png", 2)
        learned_or_checked = self.refused("--check", self.folder / "known", "--known", self.folder / "known")
        self.assertIn("Expected no image to check by among those to learn from", learned_or_checked)

    def test_new_classes_alone_need_images_of_known_ones_to_check_by(self) -> None:
        (self.folder / "data" / CAT).rename(self.folder / "data" / NEW)
        self.assertRegex(
            self.refused(), "^Expected images of known classes for --known, since .* but received nothing$"
        )

    def test_a_pair_of_different_labels_is_refused(self) -> None:
        for name, label in (("wide-resnet", "cat"), ("mobilenet", "dog")):
            folder = self.folder / "out" / f"{name}@odd"
            folder.mkdir(parents=True)
            (folder / "model.json").write_text(json.dumps({"labels": "labels.json"}))
            (folder / "labels.json").write_text(json.dumps([{"class": CAT, "label": label}]))
        self.assertRegex(self.refused("--from", "odd"), "^Expected the labels of .*wide-resnet@odd for .*mobilenet@odd")

    def test_a_version_to_begin_with_that_is_not_there_is_refused(self) -> None:
        self.assertRegex(self.refused("--from", "none"), "^Expected a model folder with model.json .*wide-resnet@none")

    def test_no_epochs_no_minutes_and_no_threads_are_refused(self) -> None:
        for words in (("--epochs", "0"), ("--minutes", "0"), ("--minutes", "-1"), ("--threads", "0")):
            with self.subTest(words=words):
                self.assertIn(f"Expected a number above 0 for {words[0]} but received", self.refused(*words))
