"""Model folders and cards; needs Node.js and the formatter: python -m unittest tests/models/pipeline/test_pack.py"""

import json
from dataclasses import replace
from pathlib import Path

from folder import FolderTest, sha256
from pipeline import pack
from pipeline.recipe import MODELS, read_recipe
from pipeline.steps import Context, Options

GRAPH, WEIGHTS = b"graph", b"weights"


class PackTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.made = self.folder / "optimize"
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
        self.out = self.folder / "models"

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
                "compared": "the golden case of its source",
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
        return Context(read_recipe("mobilenet"), Options(out=self.out, **options), self.folder / "step", results)

    def card(self, **given: dict) -> dict:
        result = pack.run(self.context(**given))
        return json.loads((Path(result["folder"]) / "model.json").read_text(encoding="utf-8"))

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
        # As the repository formats it: a label a line, numbers filling lines.
        self.assertEqual((folder / "labels.json").read_text(), (MODELS / "mobilenet" / "labels.json").read_text())
        lengths = [len(line) for line in (folder / "model.json").read_text().splitlines() if " 0.5," in line]
        self.assertTrue(0 < len(lengths) < 20 and max(lengths) <= 120, lengths)

    def test_a_folder_is_replaced_as_a_whole_and_written_again_when_its_card_was_changed_or_is_gone(self) -> None:
        context = self.context()
        folder = Path(pack.run(context)["folder"])
        (folder / "left-over").touch()
        result = pack.run(context)
        self.assertFalse((folder / "left-over").exists())
        self.assertEqual([entry.name for entry in self.out.iterdir()], [folder.name])
        self.assertTrue(pack.holds(context, result))
        (folder / "model.json").write_text("{}", encoding="utf-8")
        self.assertFalse(pack.holds(context, result))
        (folder / "model.json").unlink()
        self.assertFalse(pack.holds(context, result))

    def test_another_file_or_another_number_of_labels_is_refused_and_no_folder_is_left(self) -> None:
        for count in (199, 201):
            context = self.context(exported={"golden": [0.5] * count})
            self.assert_fault(f"Expected {count} labels .one a logit. for .* but received 200", pack.run, context)
        (self.made / "x.bin").write_bytes(b"other")
        expected = f"Expected SHA-256 {sha256(WEIGHTS)} for .*x.bin but received {sha256(b'other')}"
        self.assert_fault(expected, pack.run, self.context())
        self.assertEqual(list(self.out.glob("mobilenet@*")), [])

    def test_the_card_says_what_was_measured_and_demanded(self) -> None:
        card = self.card()
        self.assertEqual(card["accuracy"], [{"data": "photos", "images": 205, "top1": 0.5}])
        self.assertEqual(card["variants"], [self.variant])
        self.assertEqual([gate["name"] for gate in card["gates"]], ["max_export_difference", "min_speedup"])
        self.assertEqual((card["gates"][0]["measured"], card["gates"][0]["demanded"]), (1.23e-06, "at most 0.0001"))
        self.assertNotIn("kernel", card["input"])
        context = self.context()
        cubic = replace(context.recipe, input=replace(context.recipe.input, kernel="cubic"))
        self.assertEqual(pack.card_of(replace(context, recipe=cubic), [], [], [])["input"]["kernel"], "cubic")

    def test_provenance_tells_the_recipes_weights_from_ones_own_and_from_random_ones(self) -> None:
        trained = {"images": 123456, "minutes": 59.6, "note": "It began with nothing."}
        digest = f"Their SHA-256 is {'b' * 64}"
        seen = "123,456 images seen in 60 minutes; the weights are a moving average over the training steps."
        published = {"kind": "torch", "origin": "Weights: a.pth."}
        for fetched, exported, expected in (
            ({}, {}, read_recipe("mobilenet").provenance),
            (
                {"own": True, "kind": "torch", "origin": "Weights: a.pt, given by hand."},
                {"trained": trained},
                f"Trained by this project: {seen} Weights: a.pt, given by hand. {digest}. It began with nothing.",
            ),
            ({"own": True, "kind": "random", "origin": "Random weights.", "sha256": None}, {}, "Random weights."),
            ({**published, "whole": True}, {}, f" Weights: a.pth. {digest}, as published."),
            ({**published, "whole": False}, {}, f" {digest}, of which the beginning is published, in the file's name."),
        ):
            with self.subTest(fetched=fetched):
                card = self.card(fetched=fetched, exported=exported)
                self.assertEqual(card["provenance"][-len(expected) :], expected)
                self.assertEqual("dataSet" in card, fetched.get("kind") != "random")
        self.assertEqual(self.card(fetched={"kind": "random", "sha256": None})["license"], "none: random weights")
