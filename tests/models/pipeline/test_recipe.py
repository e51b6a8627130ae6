"""Recipes; needs the standard library alone: PYTHONPATH=models python -m unittest tests/models/pipeline/test_recipe.py"""

import dataclasses
import json
import tempfile
import unittest
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, RECIPES, list_recipes, parse_recipe, read_recipe

WHOLE = (RECIPES / "mobilenet-v2.toml").read_text(encoding="utf-8")


class RecipeTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "mobilenet-v2.toml"

    def faults_of(self, text: str) -> list[str]:
        self.file.write_text(text, encoding="utf-8")
        with self.assertRaises(Fault) as caught:
            parse_recipe(self.file)
        return str(caught.exception).split("\n")

    def test_every_recipe_of_the_project_can_be_read(self) -> None:
        self.assertEqual(
            list_recipes(),
            [
                "efficientnet-lite0",
                "mobilenet",
                "mobilenet-v2",
                "mobilenet-v3-large",
                "wide-resnet",
                "wide-resnet-50-2",
            ],
        )
        for name in list_recipes():
            with self.subTest(recipe=name):
                self.assertEqual(read_recipe(name).name, name)

    def test_the_embedded_recipes_name_the_weights_and_the_input_of_the_shipped_folders(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(recipe=name):
                card = json.loads((MODELS / name / "model.json").read_text(encoding="utf-8"))
                recipe = read_recipe(name)
                self.assertEqual(recipe.weights.sha256, card["sha256"])
                given = {
                    key: list(value) if isinstance(value, tuple) else value for key, value in vars(recipe.input).items()
                }
                self.assertEqual(
                    given, {"kernel": "linear", **{key: card["input"].get(key, "linear") for key in given}}
                )

    def test_the_weights_of_torchvision_are_those_whose_second_recipe_resizes_to_232(self) -> None:
        found = {name: read_recipe(name) for name in list_recipes()}
        published = {
            name: recipe.input.resize for name, recipe in found.items() if recipe.weights.source == "torchvision"
        }
        self.assertEqual(published, {"mobilenet-v2": 232, "mobilenet-v3-large": 232, "wide-resnet-50-2": 232})

    def test_an_unknown_name_is_refused_with_those_that_there_are(self) -> None:
        with self.assertRaisesRegex(Fault, 'Expected one of efficientnet-lite0, .* for RECIPE but received "resnet"'):
            read_recipe("resnet")

    def test_a_recipe_of_ones_own_is_read_by_its_path(self) -> None:
        self.file.write_text(WHOLE, encoding="utf-8")
        self.assertEqual(read_recipe(str(self.file)).name, "mobilenet-v2")
        with self.assertRaisesRegex(Fault, "Expected a recipe for .*none.toml but received no file"):
            read_recipe(str(self.file.with_name("none.toml")))

    def test_a_key_with_a_typo_is_named_with_the_one_that_was_meant(self) -> None:
        for typo, meant in (
            ("versoin", "version"),
            ("input.resise", "input.resize"),
            ("gates.min_agreemnt", "gates.min_agreement"),
        ):
            key = typo.rpartition(".")[2]
            line = meant.rpartition(".")[2]
            with self.subTest(typo=typo):
                found = self.faults_of(WHOLE.replace(f"\n{line} =", f"\n{key} ="))
                self.assertIn(
                    f'Expected a known key for {self.file} but received "{typo}", perhaps meant as "{meant}"', found
                )

    def test_all_faults_are_told_at_once(self) -> None:
        text = WHOLE.replace("resize = 232", 'resize = "232"').replace("classes = 1000", "classes = 1")
        text = text.replace('sha256 = "7ebf99e0"', 'sha256 = "xyz"').replace(
            "min_speedup = 1.5", 'min_speedup = "fast"'
        )
        found = self.faults_of(text.replace('version = "imagenet-1k-v2"', ""))
        for part in (
            "for input.resize of",
            "for data_set.classes of",
            "for weights.sha256 of",
            "for gates.min_speedup of",
            "for version of",
        ):
            with self.subTest(part=part):
                self.assertEqual(len([line for line in found if part in line]), 1)
        self.assertEqual(len(found), 5)

    def test_limits_are_held_below_at_and_above(self) -> None:
        for key, within, beyond in (
            ("crop = 224", ("crop = 1", "crop = 232"), ("crop = 0", "crop = 233")),
            (
                "resize = 232",
                ("resize = 224", "resize = 1024"),
                ("resize = 223", "resize = 1025", "resize = 232.0", "resize = true"),
            ),
            ("calibration_images = 500", ("calibration_images = 1",), ("calibration_images = 0",)),
            ("confidence = 0.95", ("confidence = 0.5", "confidence = 0.999"), ("confidence = 0.49", "confidence = 1")),
            (
                "max_difference = 0.0001",
                ("max_difference = 0", "max_difference = 1"),
                ("max_difference = -0.1", "max_difference = 1.1"),
            ),
            (
                "std = [0.229, 0.224, 0.225]",
                ("std = [1, 0.1, 0.1]",),
                ("std = [0, 0.1, 0.1]", "std = [0.1, 0.1]", "std = [1.1, 1, 1]"),
            ),
            ("mean = [0.485, 0.456, 0.406]", ("mean = [0, 0, 1]",), ("mean = [-0.1, 0, 0]", "mean = 0.5")),
        ):
            self.assertEqual(WHOLE.count(f"\n{key}"), 1)
            for text in within:
                with self.subTest(within=text):
                    self.file.write_text(WHOLE.replace(key, text), encoding="utf-8")
                    self.assertEqual(parse_recipe(self.file).name, "mobilenet-v2")
            for text in beyond:
                with self.subTest(beyond=text):
                    self.assertEqual(len(self.faults_of(WHOLE.replace(key, text))), 1)

    def test_fields_that_contradict_each_other_are_refused(self) -> None:
        for old, new, expected in (
            ('name = "mobilenet-v2"', 'name = "other"', 'Expected "mobilenet-v2" (the file\'s name) for name of'),
            (
                'source = "torchvision"',
                'source = "file"',
                'Expected text (weights.source is "file") for weights.file of',
            ),
            ('name = "MobileNet_V2', 'file = "a.pth"\nname = "MobileNet_V2', "Expected nothing (weights.source is"),
            ('source = "imagenet-1k"', 'source = "file"', 'Expected text (labels.source is "file") for labels.file of'),
            ("calibration_images = 500", "methods = []", "Expected at least one method for quantize.methods of"),
        ):
            with self.subTest(new=new):
                self.assertTrue(any(line.startswith(expected) for line in self.faults_of(WHOLE.replace(old, new))))

    def test_what_is_no_toml_is_refused_in_one_sentence(self) -> None:
        (found,) = self.faults_of("name = ")
        self.assertIn(f"Expected TOML for {self.file} but received something else", found)

    def test_a_recipe_cannot_be_changed(self) -> None:
        with self.assertRaises(dataclasses.FrozenInstanceError):
            read_recipe("mobilenet").version = "2"


if __name__ == "__main__":
    unittest.main()
