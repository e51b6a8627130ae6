"""Comparison; needs scipy, matplotlib, Node.js, dist/: python -m unittest tests/models/pipeline/test_compare.py"""

import contextlib
import io
import json
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from folder import FolderTest, sha256
from PIL import Image
from pipeline import chart, compare
from pipeline.__main__ import main
from pipeline.images import golden
from pipeline.intervals import paired
from pipeline.recipe import read_recipe
from pipeline.report import Answers, ClassChange, Confusion, Model, class_changes, confusions, judge, report

RED, GREEN, BLUE = "n00000001", "n00000002", "n00000003"
LABELS = {RED: "red", GREEN: "green", BLUE: "blue & more"}
RULES = read_recipe(compare.DEFAULT_RECIPE).compare
INPUT = {
    "name": "image",
    "elementType": "float32",
    "layout": "NCHW",
    "resize": 4,
    "crop": 4,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
}


def model(version: str, labels: dict[str, str] = LABELS) -> Model:
    return Model(Path(version), "hue", version, labels)


def answers(rights: dict[str, list[tuple[str, str]]]) -> list[Answers]:
    """Rows of what the champion and the challenger said, by what the image shows."""
    pairs = [(shows, *said) for shows, rows in rights.items() for said in rows]
    return [Answers(str(place), *pair) for place, pair in enumerate(pairs)]


class ReportTest(FolderTest):
    def test_shares_difference_and_agreement_are_counted_over_the_images(self) -> None:
        rows = {RED: [(RED, RED)] * 6 + [(BLUE, RED)] * 3, GREEN: [(GREEN, RED)] + [(BLUE, BLUE)] * 2}
        found = report(model("1"), model("2"), answers(rows), (2.0, 3.0), RULES)
        self.assertEqual((found.images, found.old.hits, found.new.hits), (12, 7, 9))
        self.assertEqual((found.paired.gained, found.paired.lost), (3, 1))
        self.assertAlmostEqual(found.paired.difference, 2 / 12)
        self.assertAlmostEqual(found.agreement, 8 / 12)
        self.assertEqual((found.old_ms, found.new_ms), (2.0, 3.0))
        expected = "^Expected images of classes that hue@1 and hue@2 know .* received 1 others$"
        strange = answers({"n00000009": [(RED, RED)]})
        self.assert_fault(expected, report, model("1"), model("2"), strange, (1, 1), RULES)

    def test_classes_and_confusions_that_changed_come_with_the_largest_change_first(self) -> None:
        rows = {RED: [(BLUE, RED)], GREEN: [(GREEN, BLUE), (GREEN, GREEN)], BLUE: [(BLUE, BLUE)]}
        found = [(row.label, row.old_hits, row.new_hits, row.images) for row in class_changes(answers(rows), LABELS)]
        self.assertEqual(found, [("green", 2, 1, 2), ("blue & more", 1, 1, 1), ("red", 0, 1, 1)])
        rows = {RED: [(BLUE, RED)] * 3 + [(GREEN, GREEN)], GREEN: [(GREEN, RED)]}
        self.assertEqual(confusions(answers(rows)), (Confusion(RED, BLUE, 3, 0), Confusion(GREEN, RED, 0, 1)))

    def test_classes_that_one_model_lacks_are_counted_apart(self) -> None:
        old, new = model("1", {RED: "red", GREEN: "green"}), model("2", {RED: "red", BLUE: "blue"})
        rows = {RED: [(RED, RED)] * 2, GREEN: [(GREEN, RED), (RED, RED)], BLUE: [(RED, BLUE)] * 3, "n9": [(RED, RED)]}
        found = report(old, new, answers(rows), (1, 1), RULES)
        self.assertEqual((found.images, found.dropped_classes, found.added_classes), (2, (GREEN,), (BLUE,)))
        self.assertEqual((found.dropped.hits, found.added.hits), (1, 3))
        self.assertFalse(next(rule for rule in found.rules if rule.name == "dropped").passed)
        told = f"classes that only the challenger knows: 1 ({BLUE}), right for 3 of 3 images"
        self.assertIn(told, compare.to_text(found, LABELS).splitlines())

    def test_a_challenger_must_have_learned_its_new_class_where_enough_images_show_it(self) -> None:
        old = model("1", {RED: "red", GREEN: "green"})
        for right, images, share, released in (
            (0, 10, 0.5, False),
            (4, 10, 0.5, False),
            (5, 10, 0.5, True),
            (10, 10, 0.5, True),
            (5, 10, 0.49, True),
            (5, 10, 0.51, False),
            (0, 4, 0.5, True),
            (0, 5, 0.5, False),
        ):
            rows = {RED: [(RED, RED)] * 100, BLUE: [(RED, BLUE)] * right + [(RED, RED)] * (images - right)}
            found = report(old, model("2"), answers(rows), (1, 1), replace(RULES, least_share_of_added=share))
            with self.subTest(right=right, images=images, share=share):
                failed = [rule.name for rule in found.rules if not rule.passed]
                self.assertEqual((found.released, failed), (released, [] if released else ["added"]))


class RulesTest(FolderTest):
    def test_each_rule_is_held_below_at_and_above_its_limit(self) -> None:
        for changes, failed in (
            ({}, []),
            ({"images": RULES.least_images - 1}, ["images"]),
            ({"images": RULES.least_images + 1}, []),
            ({"difference": paired(0, 1, 199)}, ["accuracy"]),
            ({"difference": paired(0, 1, 201)}, []),
            ({"difference": paired(50, 0, 200)}, []),
            ({"latency_ratio": RULES.most_latency_ratio + 0.01}, ["latency"]),
            ({"dropped": [RED]}, ["dropped"]),
            # Of one class alone: 5 of 5 differing images lost have p = 0.0625, 6 of 6 have 0.03125.
            ({"classes": [lost(5)]}, []),
            ({"classes": [lost(6)]}, ["classes"]),
            # Beside another class only p < 0.025 counts: 7 of 7 have 0.0156.
            ({"classes": [lost(6), lost(0)]}, []),
            ({"classes": [lost(7), lost(0)]}, ["classes"]),
            # A class of fewer images than the recipe asks for is not judged.
            ({"classes": [lost(9, 9)], "rules": replace(RULES, least_images_per_class=10)}, []),
            ({"classes": [lost(10, 10)], "rules": replace(RULES, least_images_per_class=10)}, ["classes"]),
        ):
            limits = {"images": RULES.least_images, "difference": paired(0, 1, 200), "classes": [], "dropped": []}
            given = {**limits, "latency_ratio": RULES.most_latency_ratio, "rules": RULES, **changes}
            with self.subTest(changes=changes):
                self.assertEqual([rule.name for rule in judge(**given) if not rule.passed], failed)

    def test_a_rule_that_is_not_met_says_so_with_its_numbers(self) -> None:
        rule = judge(49, paired(0, 1, 100), [], [], 1.0, RULES)[1]
        self.assertEqual(rule.sentence, "Expected at most 0.5 for points of top-1 lost but received 1.00.")


def lost(count: int, images: int = 50) -> ClassChange:
    """A class of which the challenger is wrong for so many images, and the champion for none."""
    return class_changes(answers({RED: [(RED, BLUE)] * count + [(RED, RED)] * (images - count)}), LABELS)[0]


class ChartTest(FolderTest):
    def drawn(self, rows: dict[str, list[tuple[str, str]]], labels: dict[str, str]) -> str:
        """All words of the picture."""
        found = report(model("1", labels), model("2", labels), answers(rows), (1, 1), RULES)
        chart.draw(found, labels, self.folder / "changed.svg")
        return " ".join(ElementTree.parse(self.folder / "changed.svg").getroot().itertext())

    def test_it_names_what_changed_with_its_counts_and_says_so_when_nothing_did(self) -> None:
        words = self.drawn({RED: [(BLUE, RED)] * 3, GREEN: [(GREEN, BLUE)] * 2, BLUE: [(BLUE, BLUE)]}, LABELS)
        classes = ("red: 0 → 3 of 3", "green: 2 → 0 of 2", "1 classes gained, 1 lost right answers")
        for expected in (*classes, "red for blue & more: 3 → 0", "green for blue & more: 0 → 2"):
            self.assertIn(expected, words)
        self.assertNotIn("none", words)
        self.assertIn("none", self.drawn({RED: [(RED, RED)]}, LABELS))

    def test_it_shows_the_largest_changes_only_and_says_how_many_there_are(self) -> None:
        names = {f"n1{place:07}": f"class {place}" for place in range(chart.MOST_ROWS + 3)}
        words = self.drawn({name: [(RED, name)] for name in names}, {**LABELS, **names})
        self.assertIn(f"{chart.MOST_ROWS + 3} classes gained", words)
        self.assertEqual(words.count("0 → 1 of 1"), chart.MOST_ROWS)

    def test_a_file_that_cannot_be_written_is_a_fault(self) -> None:
        found = report(model("1"), model("2"), answers({RED: [(RED, RED)]}), (1, 1), RULES)
        for name in ("none/changed.svg", "changed.words"):
            expected = f"Expected a file that can be written for --chart but received .*{name}"
            self.assert_fault(expected, chart.draw, found, LABELS, self.folder / name)


class CommandTest(unittest.TestCase):
    """Two real models through the real service: one sees three colors, the other takes blue for green."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.root = Path(cls.temporary.name)
        sees = np.eye(3, dtype=np.float32)
        misses = sees.copy()
        misses[2] = [0, 1, 0]
        cls.good, cls.poor = cls.folder("good", sees), cls.folder("poor", misses)
        for place, (shows, color) in enumerate(zip((RED, GREEN, BLUE), ((250, 9, 9), (9, 250, 9), (9, 9, 250)))):
            for number in range(20):
                file = cls.root / "data" / shows / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8 + number, 8 + place), color).save(file)
        (cls.root / "data" / RED / "words.png").write_text("no image")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()

    @classmethod
    def folder(cls, version: str, weights: np.ndarray) -> Path:
        folder = cls.root / f"hue@{version}"
        folder.mkdir()
        graph = helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
                helper.make_node("Flatten", ["mean"], ["flat"]),
                helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
            ],
            "hue",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(weights, "weights")],
        )
        content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(content, folder / "model.onnx")
        logits = (golden(4) / 255).astype(np.float32).mean((0, 1)) @ weights
        card = {
            "name": "hue",
            "version": version,
            "family": "matrix",
            "file": "model.onnx",
            "sha256": sha256((folder / "model.onnx").read_bytes()),
            "labels": "labels.json",
            "input": INPUT,
            "output": {"name": "logits"},
            "golden": {"logits": logits.tolist(), "tolerance": 0.001},
        }
        (folder / "model.json").write_text(json.dumps(card))
        (folder / "labels.json").write_text(json.dumps([{"class": name, "label": LABELS[name]} for name in LABELS]))
        return folder

    def run_command(self, *words: object) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        rules_of = compare.rules_of
        # Here the speed is that of the machine that tests, with whatever else it does.
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(
                compare, "rules_of", lambda *given: replace(rules_of(*given), most_latency_ratio=1e9)
            ),
        ):
            status = main(["compare", *map(str, words)])
        return status, out.getvalue(), err.getvalue()

    def test_a_better_challenger_may_be_released(self) -> None:
        picture = self.root / "changed.svg"
        status, out, _ = self.run_command(self.poor, self.good, "--data", self.root / "data", "--chart", picture)
        self.assertEqual(status, 0)
        self.assertIn("60 images of 3 classes", out)
        self.assertIn("difference +33.33 points", out)
        self.assertIn("gained: blue & more, 0 to 20 of 20", out)
        self.assertRegex(out, r"left out .*words\.png: IMAGE_UNSUPPORTED")
        self.assertIn("hue@good may be released", out)
        ElementTree.parse(picture)

    def test_a_worse_challenger_may_not_and_json_says_by_which_rules(self) -> None:
        status, out, _ = self.run_command(self.good, self.poor, "--data", self.root / "data", "--json")
        found = json.loads(out)
        self.assertEqual((status, found["released"]), (1, False))
        self.assertEqual([rule["name"] for rule in found["rules"] if not rule["passed"]], ["accuracy", "classes"])
        self.assertEqual((found["paired"]["gained"], found["paired"]["lost"]), (0, 20))
        self.assertEqual(found["confusions"], [{"shows": BLUE, "said": GREEN, "old": 0, "new": 20}])

    def test_too_few_images_release_nothing(self) -> None:
        status, out, _ = self.run_command(self.poor, self.good, "--data", self.root / "data", "--limit", 50)
        self.assertEqual(status, 1)  # of the first 50 files one is no image
        self.assertIn("NOT MET  Expected at least 50 for images compared but received 49.", out)

    def test_what_cannot_be_compared_ends_with_status_2(self) -> None:
        data = self.root / "data"
        empty = self.root / "empty"
        empty.mkdir(exist_ok=True)
        for words, message in (
            ((self.good, self.good, "--data", data), "Expected another name or version than hue@good"),
            ((self.good, self.root / "none", "--data", data), "Expected a model folder with model.json"),
            ((self.good, self.poor, "--data", empty), "Expected exit status 0 for evaluate.js"),
            ((self.good, self.poor, "--data", data, "--recipe", "nothing"), 'for RECIPE but received "nothing"'),
        ):
            with self.subTest(message=message):
                status, _, err = self.run_command(*words)
                self.assertEqual(status, 2)
                self.assertIn(message, err)

    def test_usage_that_cannot_be_read_ends_with_status_2(self) -> None:
        with self.assertRaises(SystemExit) as ended:
            self.run_command(self.good, self.poor)
        self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
