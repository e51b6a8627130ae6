"""Model folders and cards; needs the standard library alone: python -m unittest tests/models/pipeline/test_pack.py"""

import contextlib
import hashlib
import io
import json
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from pipeline import pack
from pipeline.faults import Fault
from pipeline.recipe import MODELS, read_recipe
from pipeline.steps import Context, Options

GRAPH, WEIGHTS = b"graph", b"weights"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class PackTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        self.made = self.root / "optimize"
        self.made.mkdir()
        for name, content in (("model.onnx", b"portable"), ("x.onnx", GRAPH), ("x.bin", WEIGHTS)):
            (self.made / name).write_bytes(content)
        self.variant = {
            "name": "x64-avx2-int8",
            "file": "x.onnx",
            "sha256": sha256(GRAPH),
            "externalData": [{"file": "x.bin", "sha256": sha256(WEIGHTS)}],
            "optimizedBy": "1.30.0",
            "measured": {"runMs": 1.5},
        }
        self.out = self.root / "models"
        quiet = contextlib.redirect_stderr(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)

    def context(self, fetched: dict | None = None, exported: dict | None = None, **options: object) -> Context:
        usual = {"kind": "onnx", "weights": "a", "sha256": "b" * 64, "origin": "", "whole": True, "own": False}
        file = self.made / "model.onnx"
        results = {
            "fetch": {**usual, **(fetched or {})},
            "export": {
                "onnx": str(file),
                "sha256": sha256(file.read_bytes()),
                "max_difference": 0.0000012345,
                "golden": [0.5] * 200,
                "tolerance": 0.001,
                "torch": False,
                "trained": {},
                **(exported or {}),
            },
            "optimize": {"folder": str(self.made), "variants": []},
            "check": {
                "gates": [{"name": "min_speedup", "passed": True}],
                "variants": [self.variant],
                "accuracy": [{"data": "photos", "images": 205, "top1": 0.5}],
            },
        }
        return Context(read_recipe("mobilenet"), Options(out=self.out, **options), self.root / "step", results)

    def card(self, **given: dict) -> dict:
        result = pack.run(self.context(**given))
        return json.loads((Path(result["folder"]) / "model.json").read_text(encoding="utf-8"))


class FolderTest(PackTest):
    def test_the_folder_is_called_by_name_and_version_and_holds_all_that_the_card_names(self) -> None:
        context = self.context(version="photos-1")
        result = pack.run(context)
        folder = Path(result["folder"])
        self.assertEqual(folder, self.out / "mobilenet@photos-1")
        names = sorted(file.name for file in folder.iterdir())
        self.assertEqual(names, ["labels.json", "model.json", "model.onnx", "x.bin", "x.onnx"])
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.assertEqual((card["name"], card["version"]), ("mobilenet", "photos-1"))
        self.assertEqual(card["sha256"], sha256((folder / card["file"]).read_bytes()))
        self.assertEqual(len(json.loads((folder / card["labels"]).read_text(encoding="utf-8"))), 200)
        self.assertTrue(pack.holds(context, result))

    def test_a_folder_of_the_same_version_is_replaced_as_a_whole(self) -> None:
        folder = Path(pack.run(self.context())["folder"])
        (folder / "left-over").touch()
        pack.run(self.context())
        self.assertFalse((folder / "left-over").exists())
        self.assertEqual([entry.name for entry in self.out.iterdir()], [folder.name])

    def test_a_card_that_was_changed_or_a_folder_that_is_gone_is_written_again(self) -> None:
        context = self.context()
        result = pack.run(context)
        card = Path(result["folder"]) / "model.json"
        card.write_text("{}", encoding="utf-8")
        self.assertFalse(pack.holds(context, result))
        card.unlink()
        self.assertFalse(pack.holds(context, result))

    def test_a_variant_whose_file_is_another_is_refused_and_no_folder_is_left(self) -> None:
        (self.made / "x.bin").write_bytes(b"other")
        with self.assertRaisesRegex(
            Fault, f"Expected SHA-256 {sha256(WEIGHTS)} for .*x.bin but received {sha256(b'other')}"
        ):
            pack.run(self.context())
        self.assertFalse((self.out / "mobilenet@tiny-imagenet-3").exists())

    def test_labels_of_another_number_than_the_logits_are_refused(self) -> None:
        for count in (199, 201):
            with self.assertRaisesRegex(Fault, f"Expected {count} labels .one a logit. for .* but received 200"):
                pack.run(self.context(exported={"golden": [0.5] * count}))


class CardTest(PackTest):
    def test_the_card_says_what_was_measured_and_demanded(self) -> None:
        card = self.card()
        self.assertEqual(card["accuracy"], [{"data": "photos", "images": 205, "top1": 0.5}])
        self.assertEqual(card["variants"], [self.variant])
        self.assertEqual([gate["name"] for gate in card["gates"]], ["max_export_difference", "min_speedup"])
        self.assertEqual((card["gates"][0]["measured"], card["gates"][0]["demanded"]), (1.23e-06, "at most 0.0001"))

    def test_the_kernel_stands_in_the_card_only_where_it_is_not_the_usual_one(self) -> None:
        self.assertNotIn("kernel", self.card()["input"])
        context = self.context()
        cubic = replace(context.recipe, input=replace(context.recipe.input, kernel="cubic"))
        card = pack.card_of(replace(context, recipe=cubic), [], [], [])
        self.assertEqual(card["input"]["kernel"], "cubic")

    def test_provenance_tells_the_recipes_weights_from_ones_own_and_from_random_ones(self) -> None:
        recipe = read_recipe("mobilenet")
        self.assertEqual(self.card()["provenance"], recipe.provenance)
        own = self.card(
            fetched={"own": True, "kind": "torch", "origin": "Weights: a.pt, given by hand."},
            exported={"trained": {"images": 123456, "minutes": 59.6, "note": "It began with nothing."}},
        )
        self.assertEqual(
            own["provenance"],
            "Trained by this project: 123,456 images seen in 60 minutes;"
            " the weights are a moving average over the training steps."
            f" Weights: a.pt, given by hand. Their SHA-256 is {'b' * 64}. It began with nothing.",
        )
        random = self.card(fetched={"own": True, "kind": "random", "origin": "Random weights.", "sha256": None})
        self.assertEqual((random["provenance"], random["license"]), ("Random weights.", "none: random weights"))
        self.assertNotIn("dataSet", random)

    def test_a_hash_of_which_only_the_beginning_is_published_is_said_to_be_that(self) -> None:
        for whole, expected in (
            (True, "as published."),
            (False, "of which the beginning is published, in the file's name."),
        ):
            card = self.card(fetched={"kind": "torch", "origin": "Weights: a.pth.", "whole": whole})
            self.assertTrue(card["provenance"].endswith(f"Weights: a.pth. Their SHA-256 is {'b' * 64}, {expected}"))


class ToJsonTest(unittest.TestCase):
    def test_the_shipped_cards_and_labels_come_out_as_they_are_formatted(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            text = (MODELS / name / "labels.json").read_text(encoding="utf-8")
            self.assertEqual(pack.to_json(json.loads(text)) + "\n", text)

    def test_lists_of_numbers_fill_lines_of_120_columns_and_no_more(self) -> None:
        text = pack.to_json({"logits": [-1.2345] * 300})
        lengths = [len(line) for line in text.splitlines()]
        self.assertEqual(max(lengths), 120)
        self.assertEqual(json.loads(text), {"logits": [-1.2345] * 300})

    def test_a_list_stays_on_its_line_while_that_and_a_comma_are_at_most_120_columns(self) -> None:
        fits = pack.to_json({"a": ["x" * 108], "b": 1}).splitlines()
        self.assertEqual((len(fits), len(fits[1])), (4, 120))
        self.assertEqual(len(pack.to_json({"a": ["x" * 109], "b": 1}).splitlines()), 6)

    def test_small_numbers_have_no_zero_before_their_exponent(self) -> None:
        self.assertEqual(pack.to_json([{"a": 1.5e-06, "b": "1e-06"}]), '[{ "a": 1.5e-6, "b": "1e-06" }]')

    def test_any_value_comes_back(self) -> None:
        value = {
            "a": [],
            "b": {},
            "c": [[1, 2], [3]],
            "d": [{"e": [1], "f": None}, {"g": True}],
            "h": 'äöü"\n',
            "i": 1e-06,
        }
        self.assertEqual(json.loads(pack.to_json(value)), value)


if __name__ == "__main__":
    unittest.main()
