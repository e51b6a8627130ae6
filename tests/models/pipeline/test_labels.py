"""Labels; needs the standard library alone: python -m unittest tests/models/pipeline/test_labels.py"""

import json
import sys
from dataclasses import replace
from unittest import mock

from folder import FolderTest
from pipeline import labels
from pipeline.labels import read_labels
from pipeline.recipe import MODELS, Labels, Recipe, read_recipe

IDS = [f"n{number:08}" for number in range(1000)]
NAMES = [f"thing {number}" for number in range(1000)]


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

    def test_labels_are_sorted_by_id_which_need_not_be_wordnets(self) -> None:
        found = read_labels(self.recipe_of({"x" * 64: "drone", "n00000001": "one"}, 2))
        self.assertEqual(found, [{"class": "n00000001", "label": "one"}, {"class": "x" * 64, "label": "drone"}])

    def test_another_number_and_what_is_no_map_of_ids_to_text_are_refused(self) -> None:
        no_map = "Expected {class: label} for .*labels.json"
        for content, classes, expected in (
            ({"a": "one", "b": "two"}, 1, "Expected 1 labels .* for .*labels.json but received 2"),
            ({"a": "one", "b": "two"}, 3, "Expected 3 labels .* for .*labels.json but received 2"),
            (["n00000001"], 1, no_map),
            ([{"label": "one"}], 1, no_map),
            ({"a dog": "dog"}, 1, no_map),
            ({"n00000001": 1}, 1, no_map),
            ({"x" * 65: "long"}, 1, no_map),
            ({"": "empty"}, 1, no_map),
            ("{", 1, "Expected JSON for .*labels.json but received something else"),
        ):
            with self.subTest(content=content, classes=classes):
                self.assert_fault(expected, read_labels, self.recipe_of(content, classes))

    def imagenet(self, ids: list[str], names: list[str]) -> list[dict[str, str]]:
        package = self.folder / "labels_for_a_test"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "imagenet1k_to_21k.json").write_text(json.dumps(dict(enumerate(ids))), encoding="utf-8")
        (package / "imagenet1k_clean_names.json").write_text(json.dumps(names), encoding="utf-8")
        path = mock.patch.object(sys, "path", [str(self.folder), *sys.path])
        with path, mock.patch.object(labels, "PACKAGE", package.name):
            return read_labels(read_recipe("mobilenet-v2"))

    def test_the_thousand_classes_come_from_a_package_in_the_order_of_their_ids(self) -> None:
        found = self.imagenet(IDS, NAMES)
        self.assertEqual((len(found), found[1]), (1000, {"class": "n00000001", "label": "thing 1"}))

    def test_a_package_that_is_missing_or_has_fewer_or_unsorted_entries_is_refused(self) -> None:
        for ids, names in ((IDS[:-1], NAMES), (IDS[::-1], NAMES), (IDS, NAMES[:-1])):
            self.assert_fault("Expected 1000 sorted ids and as many names", self.imagenet, ids, names)
        with mock.patch.object(labels, "PACKAGE", "no_such_package"):
            self.assert_fault("Expected the package no_such_package", read_labels, read_recipe("mobilenet-v2"))
