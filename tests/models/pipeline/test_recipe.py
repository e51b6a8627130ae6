"""Recipes; needs the standard library alone: python -m unittest tests/models/pipeline/test_recipe.py"""

import json

from folder import FolderTest
from pipeline.faults import Fault
from pipeline.recipe import MODELS, RECIPES, list_recipes, parse_recipe, read_recipe

SAID = (RECIPES / "mobilenet-v2.toml").read_text(encoding="utf-8")
SAID += "confidence = 0.95\n"  # its last section is `compare`
SAID += '\n[labels]\nsource = "imagenet-1k"\n\n[export]\nmax_difference = 0.0001\n\n[quantize]\ncalibration_images = 500\n'
WHOLE = SAID.replace("[gates]\n", "[gates]\nmax_load_ms = 500\n")
"""The recipe, which says what has defaults as well."""
BEYOND = {
    "crop = 224": (("crop = 1", "crop = 232"), ("crop = 0", "crop = 233")),
    "resize = 232": (
        ("resize = 224", "resize = 1024"),
        ("resize = 223", "resize = 1025", "resize = 232.0", "resize = true"),
    ),
    "calibration_images = 500": (("calibration_images = 1",), ("calibration_images = 0",)),
    "confidence = 0.95": (("confidence = 0.5", "confidence = 0.999"), ("confidence = 0.49", "confidence = 1")),
    "max_difference = 0.0001": (
        ("max_difference = 0", "max_difference = 1"),
        ("max_difference = -0.1", "max_difference = 1.1"),
    ),
    "std = [0.229, 0.224, 0.225]": (
        ("std = [1, 0.1, 0.1]",),
        ("std = [0, 0.1, 0.1]", "std = [0.1, 0.1]", "std = [1.1, 1, 1]"),
    ),
    "mean = [0.485, 0.456, 0.406]": (("mean = [0, 0, 1]",), ("mean = [-0.1, 0, 0]", "mean = 0.5")),
}
"""By a line of the recipe: lines in its place at or within the limits, and beyond them."""


class RecipeTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "mobilenet-v2.toml"

    def faults_of(self, text: str) -> list[str]:
        self.file.write_text(text, encoding="utf-8")
        with self.assertRaises(Fault) as caught:
            parse_recipe(self.file)
        return str(caught.exception).split("\n")

    def test_every_recipe_of_the_project_can_be_read(self) -> None:
        self.assertGreaterEqual(len(list_recipes()), 6)
        for name in list_recipes():
            with self.subTest(recipe=name):
                self.assertEqual(read_recipe(name).name, name)

    def test_the_embedded_recipes_name_the_weights_and_the_input_of_the_shipped_folders(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(recipe=name):
                card = json.loads((MODELS / name / "model.json").read_text(encoding="utf-8"))
                recipe = read_recipe(name)
                self.assertEqual(recipe.weights.sha256, card["sha256"])
                given = json.loads(json.dumps(recipe.part("input")["input"]))
                self.assertEqual(given, {key: card["input"].get(key, "linear") for key in given})

    def test_what_a_recipe_leaves_out_has_its_default_and_what_it_says_holds(self) -> None:
        short = read_recipe("mobilenet-v2")
        self.file.write_text(WHOLE, encoding="utf-8")
        self.assertEqual(parse_recipe(self.file), short)
        self.assertEqual((short.gates["max_load_ms"], short.gates["min_speedup"]), (500, 1.5))
        self.file.write_text(WHOLE.replace("max_load_ms = 500", "max_load_ms = 300"), encoding="utf-8")
        self.assertEqual(parse_recipe(self.file).gates["max_load_ms"], 300)

    def test_a_recipe_is_read_by_its_name_or_its_path(self) -> None:
        self.file.write_text(WHOLE, encoding="utf-8")
        self.assertEqual(read_recipe(str(self.file)).name, "mobilenet-v2")
        missing = str(self.file.with_name("none.toml"))
        self.assert_fault("Expected a recipe for .*none.toml but received no file", read_recipe, missing)
        expected = 'Expected one of efficientnet-lite0, .* for RECIPE but received "resnet"'
        self.assert_fault(expected, read_recipe, "resnet")

    def test_a_key_with_a_typo_is_named_with_the_one_that_was_meant(self) -> None:
        top, gate = ("", "versoin", "version"), ("gates.", "max_lod_ms", "max_load_ms")
        for table, typo, meant in (top, ("input.", "resise", "resize"), gate):
            with self.subTest(typo=typo):
                found = self.faults_of(WHOLE.replace(f"\n{meant} =", f"\n{typo} ="))
                hint = f'"{table}{typo}", perhaps meant as "{table}{meant}"'
                self.assertIn(f"Expected a known key for {self.file} but received {hint}", found)

    def test_all_faults_are_named_at_once(self) -> None:
        text = WHOLE
        for old, new in (
            ("resize = 232", 'resize = "232"'),
            ("classes = 1000", "classes = 1"),
            ('sha256 = "7ebf99e0"', 'sha256 = "xyz"'),
            ("min_speedup = 1.5", 'min_speedup = "fast"'),
            ('version = "imagenet-1k-v2"', ""),
        ):
            text = text.replace(old, new)
        keys = [line.partition(" for ")[2].partition(" of ")[0] for line in self.faults_of(text)]
        expected = ["data_set.classes", "gates.min_speedup", "input.resize", "version", "weights.sha256"]
        self.assertEqual(sorted(keys), expected)

    def test_limits_are_held_below_at_and_above(self) -> None:
        for line, (within, beyond) in BEYOND.items():
            self.assertEqual(WHOLE.count(f"\n{line}"), 1)
            for text in within:
                with self.subTest(within=text):
                    self.file.write_text(WHOLE.replace(line, text), encoding="utf-8")
                    self.assertEqual(parse_recipe(self.file).name, "mobilenet-v2")
            for text in beyond:
                with self.subTest(beyond=text):
                    self.assertEqual(len(self.faults_of(WHOLE.replace(line, text))), 1)

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
