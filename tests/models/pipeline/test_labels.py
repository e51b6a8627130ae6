"""Labels; needs the standard library alone: PYTHONPATH=models python -m unittest tests/models/pipeline/test_labels.py"""

import json
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

from pipeline import labels
from pipeline.faults import Fault
from pipeline.labels import read_labels
from pipeline.recipe import MODELS, Labels, Recipe, read_recipe

IDS = [f"n{number:08}" for number in range(1000)]
NAMES = [f"thing {number}" for number in range(1000)]


class FolderTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class LabelsTest(FolderTest):
    def recipe_of(self, content: object, classes: int) -> Recipe:
        file = self.folder / "labels.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        recipe = read_recipe("mobilenet")
        data_set = replace(recipe.data_set, classes=classes)
        return replace(recipe, labels=Labels(source="file", file=str(file)), data_set=data_set)

    def test_the_embedded_pair_has_the_labels_of_its_folders(self) -> None:
        shipped = json.loads((MODELS / "mobilenet" / "labels.json").read_text(encoding="utf-8"))
        self.assertEqual(read_labels(read_recipe("mobilenet")), shipped)

    def test_labels_are_sorted_by_id(self) -> None:
        found = read_labels(self.recipe_of({"n00000002": "two", "n00000001": "one"}, 2))
        self.assertEqual(found, [{"class": "n00000001", "label": "one"}, {"class": "n00000002", "label": "two"}])

    def test_another_number_of_labels_than_of_classes_is_refused(self) -> None:
        for classes in (1, 3):
            with self.assertRaisesRegex(Fault, f"Expected {classes} labels .* for .*labels.json but received 2"):
                read_labels(self.recipe_of({"n00000002": "two", "n00000001": "one"}, classes))

    def test_a_class_of_ones_own_needs_no_id_of_wordnet(self) -> None:
        self.assertEqual(read_labels(self.recipe_of({"x" * 64: "drone"}, 1)), [{"class": "x" * 64, "label": "drone"}])

    def test_what_is_no_map_of_ids_to_text_is_refused(self) -> None:
        for content in (["n00000001"], {"a dog": "dog"}, {"n00000001": 1}, {"x" * 65: "long"}, {"": "empty"}):
            with (
                self.subTest(content=content),
                self.assertRaisesRegex(Fault, "Expected {class: label} for .*labels.json"),
            ):
                read_labels(self.recipe_of(content, 1))
        with self.assertRaisesRegex(Fault, "Expected JSON for .*labels.json but received something else"):
            read_labels(self.recipe_of("{", 1))


class ImageNetTest(FolderTest):
    def imagenet(self, ids: list[str], names: list[str]) -> list[dict[str, str]]:
        package = self.folder / "labels_for_a_test"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        by_index = {str(index): wnid for index, wnid in enumerate(ids)}
        (package / "imagenet1k_to_21k.json").write_text(json.dumps(by_index), encoding="utf-8")
        (package / "imagenet1k_clean_names.json").write_text(json.dumps(names), encoding="utf-8")
        path = mock.patch.object(sys, "path", [str(self.folder), *sys.path])
        with path, mock.patch.object(labels, "PACKAGE", package.name):
            return read_labels(read_recipe("mobilenet-v2"))

    def test_the_thousand_classes_come_from_a_package_in_the_order_of_their_ids(self) -> None:
        found = self.imagenet(IDS, NAMES)
        self.assertEqual((len(found), found[1]), (1000, {"class": "n00000001", "label": "thing 1"}))

    def test_a_package_with_fewer_or_unsorted_ids_or_names_is_refused(self) -> None:
        for ids, names in ((IDS[:-1], NAMES), (IDS[::-1], NAMES), (IDS, NAMES[:-1])):
            with self.assertRaisesRegex(Fault, "Expected 1000 sorted ids and as many names"):
                self.imagenet(ids, names)

    def test_a_package_that_is_not_installed_is_named(self) -> None:
        with (
            mock.patch.object(labels, "PACKAGE", "no_such_package"),
            self.assertRaisesRegex(Fault, "Expected the package no_such_package"),
        ):
            read_labels(read_recipe("mobilenet-v2"))


if __name__ == "__main__":
    unittest.main()
