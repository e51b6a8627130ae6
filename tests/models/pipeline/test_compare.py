"""python -m unittest tests.pipeline.test_compare, with models/ on PYTHONPATH; needs onnx, Pillow, Node.js and dist/."""

import contextlib
import hashlib
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
from PIL import Image
from pipeline import chart, compare
from pipeline.__main__ import main
from pipeline.compare import Answers, ClassChange, Confusion, Model
from pipeline.faults import Fault
from pipeline.intervals import paired
from pipeline.recipe import read_recipe
from pipeline.restore import golden_input

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


class ReportTest(unittest.TestCase):
    def test_shares_difference_and_agreement_are_counted_over_the_images(self) -> None:
        rows = {RED: [(RED, RED)] * 6 + [(BLUE, RED)] * 3, GREEN: [(GREEN, RED)] + [(BLUE, BLUE)] * 2}
        found = compare.report(model("1"), model("2"), answers(rows), (2.0, 3.0), RULES)
        self.assertEqual((found.images, found.old.hits, found.new.hits), (12, 7, 9))
        self.assertEqual((found.paired.gained, found.paired.lost), (3, 1))
        self.assertAlmostEqual(found.paired.difference, 2 / 12)
        self.assertAlmostEqual(found.agreement, 8 / 12)
        self.assertEqual((found.old_ms, found.new_ms), (2.0, 3.0))

    def test_classes_come_with_the_largest_loss_first(self) -> None:
        rows = {RED: [(BLUE, RED)], GREEN: [(GREEN, BLUE), (GREEN, GREEN)], BLUE: [(BLUE, BLUE)]}
        found = compare.class_changes(answers(rows), LABELS)
        self.assertEqual(
            [(row.label, row.old_hits, row.new_hits, row.images) for row in found],
            [("green", 2, 1, 2), ("blue & more", 1, 1, 1), ("red", 0, 1, 1)],
        )

    def test_confusions_that_changed_come_with_the_largest_change_first_and_others_not_at_all(self) -> None:
        rows = {RED: [(BLUE, RED)] * 3 + [(GREEN, GREEN)], GREEN: [(GREEN, RED)]}
        self.assertEqual(compare.confusions(answers(rows)), (Confusion(RED, BLUE, 3, 0), Confusion(GREEN, RED, 0, 1)))

    def test_classes_that_one_model_lacks_are_counted_apart(self) -> None:
        old, new = model("1", {RED: "red", GREEN: "green"}), model("2", {RED: "red", BLUE: "blue"})
        rows = {
            RED: [(RED, RED)] * 2,
            GREEN: [(GREEN, RED), (RED, RED)],
            BLUE: [(RED, BLUE)] * 3,
            "n00000009": [(RED, RED)],
        }
        found = compare.report(old, new, answers(rows), (1, 1), RULES)
        self.assertEqual(found.images, 2)
        self.assertEqual(
            (found.dropped_classes, found.dropped.hits, found.added_classes, found.added.hits),
            ((GREEN,), 1, (BLUE,), 3),
        )
        self.assertFalse(next(rule for rule in found.rules if rule.name == "dropped").passed)
        self.assertIn(
            f"classes that only the challenger knows: 1 ({BLUE}), right for 3 of 3 images",
            compare.to_text(found, LABELS).splitlines(),
        )

    def test_a_challenger_that_has_not_learned_its_new_class_may_not_be_released(self) -> None:
        old = model("1", {RED: "red", GREEN: "green"})
        for right, released in ((0, False), (4, False), (5, True), (10, True)):
            rows = {RED: [(RED, RED)] * 100, BLUE: [(RED, BLUE)] * right + [(RED, RED)] * (10 - right)}
            found = compare.report(old, model("2"), answers(rows), (1, 1), RULES)
            with self.subTest(right=right):
                self.assertEqual(found.released, released)
                self.assertEqual([rule.name for rule in found.rules if not rule.passed], [] if released else ["added"])

    def test_how_well_a_new_class_must_be_known_is_the_recipes_to_say(self) -> None:
        old = model("1", {RED: "red", GREEN: "green"})
        rows = {RED: [(RED, RED)] * 100, BLUE: [(RED, BLUE)] * 5 + [(RED, RED)] * 5}
        for share, released in ((0.49, True), (0.5, True), (0.51, False)):
            rules = replace(RULES, least_share_of_added=share)
            with self.subTest(share=share):
                self.assertEqual(compare.report(old, model("2"), answers(rows), (1, 1), rules).released, released)

    def test_a_new_class_of_too_few_images_is_not_judged(self) -> None:
        old = model("1", {RED: "red", GREEN: "green"})
        for images, judged in ((4, False), (5, True), (6, True)):
            rows = {RED: [(RED, RED)] * 100, BLUE: [(RED, RED)] * images}
            found = compare.report(old, model("2"), answers(rows), (1, 1), RULES)
            with self.subTest(images=images):
                self.assertEqual("added" in [rule.name for rule in found.rules], judged)

    def test_images_of_no_class_that_both_know_are_refused(self) -> None:
        with self.assertRaisesRegex(
            Fault, "^Expected images of classes that hue@1 and hue@2 know .* received 1 others$"
        ):
            compare.report(model("1"), model("2"), answers({"n00000009": [(RED, RED)]}), (1, 1), RULES)


class RulesTest(unittest.TestCase):
    def judged(self, **changes: object) -> list[str]:
        """Names of the rules that are not met, all others at their limits."""
        given = {
            "images": RULES.least_images,
            "difference": paired(0, 1, 200),
            "classes": [],
            "dropped": [],
            "latency_ratio": RULES.most_latency_ratio,
            **changes,
        }
        return [rule.name for rule in compare.judge(**given, rules=RULES) if not rule.passed]

    def test_a_challenger_at_every_limit_may_be_released(self) -> None:
        self.assertEqual(self.judged(), [])

    def test_one_image_too_few_and_one_more(self) -> None:
        self.assertEqual(self.judged(images=RULES.least_images - 1), ["images"])
        self.assertEqual(self.judged(images=RULES.least_images + 1), [])

    def test_a_loss_above_the_allowed_points_fails_and_one_below_passes(self) -> None:
        self.assertEqual(self.judged(difference=paired(0, 1, 199)), ["accuracy"])
        self.assertEqual(self.judged(difference=paired(0, 1, 201)), [])

    def test_a_gain_of_any_size_passes(self) -> None:
        self.assertEqual(self.judged(difference=paired(50, 0, 200)), [])

    def test_a_run_that_takes_longer_than_allowed_fails(self) -> None:
        self.assertEqual(self.judged(latency_ratio=RULES.most_latency_ratio + 0.01), ["latency"])

    def test_a_class_that_was_dropped_fails(self) -> None:
        self.assertEqual(self.judged(dropped=[RED]), ["dropped"])

    def test_a_class_fails_when_chance_explains_its_loss_no_more(self) -> None:
        def changed(lost: int, images: int = 50) -> ClassChange:
            rows = {RED: [(RED, BLUE)] * lost + [(RED, RED)] * (images - lost)}
            return compare.class_changes(answers(rows), LABELS)[0]

        # Of one class alone: 5 of 5 differing images lost have p = 0.0625, 6 of 6 have 0.03125.
        self.assertEqual(self.judged(classes=[changed(5)]), [])
        self.assertEqual(self.judged(classes=[changed(6)]), ["classes"])
        # Beside another class only p < 0.025 counts: 7 of 7 have 0.0156.
        self.assertEqual(self.judged(classes=[changed(6), changed(0)]), [])
        self.assertEqual(self.judged(classes=[changed(7), changed(0)]), ["classes"])

    def test_a_class_of_too_few_images_is_not_judged(self) -> None:
        rules = replace(RULES, least_images_per_class=10)
        for images, failed in ((9, []), (10, ["classes"]), (11, ["classes"])):
            rows = {RED: [(RED, BLUE)] * images}
            classes = compare.class_changes(answers(rows), LABELS)
            found = compare.judge(50, paired(0, 0, 200), classes, [], 1.0, rules)
            with self.subTest(images=images):
                self.assertEqual([rule.name for rule in found if not rule.passed], failed)

    def test_a_rule_that_is_not_met_says_so_with_its_numbers(self) -> None:
        rule = compare.judge(49, paired(0, 1, 100), [], [], 1.0, RULES)[1]
        self.assertEqual(rule.sentence, "Expected at most 0.5 for points of top-1 lost but received 1.00.")


class ChartTest(unittest.TestCase):
    def drawn(self, rows: dict[str, list[tuple[str, str]]]) -> tuple[str, list[str]]:
        """The SVG's text, and all words in it."""
        found = compare.report(model("1"), model("2"), answers(rows), (1, 1), RULES)
        text = chart.draw(found, LABELS)
        return text, [
            element.text or "" for element in ElementTree.fromstring(text).iter() if element.tag.endswith("text")
        ]

    def test_it_names_the_classes_that_changed_with_their_counts(self) -> None:
        text, words = self.drawn({RED: [(BLUE, RED)] * 3, GREEN: [(GREEN, BLUE)] * 2, BLUE: [(BLUE, BLUE)]})
        for expected in (
            "red",
            "0 → 3 of 3",
            "green",
            "2 → 0 of 2",
            "red for blue & more",
            "3 → 0",
            "green for blue & more",
            "0 → 2",
        ):
            self.assertIn(expected, words)
        self.assertIn("1 gained, 1 lost, 1 as before", words)
        self.assertIn(chart.BETTER, text)
        self.assertIn(chart.WORSE, text)

    def test_it_says_so_when_nothing_changed(self) -> None:
        _, words = self.drawn({RED: [(RED, RED)]})
        self.assertEqual(words.count("none"), 2)

    def test_it_shows_the_largest_changes_only_and_says_how_many_there_are(self) -> None:
        names = {f"n1{place:07}": f"class {place}" for place in range(chart.MOST_ROWS + 3)}
        rows = {name: [(RED, name)] for name in names}
        labels = {**LABELS, **names}
        found = compare.report(model("1", labels), model("2", labels), answers(rows), (1, 1), RULES)
        text = chart.draw(found, labels)
        self.assertIn(f"{chart.MOST_ROWS + 3} gained ({chart.MOST_ROWS} shown)", text)
        self.assertEqual(text.count("<rect x="), chart.MOST_ROWS + 4)  # bars, and the four squares of the key


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
        logits = golden_input(INPUT).mean((2, 3))[0] @ weights
        card = {
            "name": "hue",
            "version": version,
            "family": "matrix",
            "file": "model.onnx",
            "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
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
