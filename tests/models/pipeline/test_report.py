"""What follows from answers; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_report.py"""

from dataclasses import replace
from pathlib import Path

from folder import FolderTest
from pipeline import compare
from pipeline.intervals import paired
from pipeline.recipe import read_recipe
from pipeline.report import Answers, ClassChange, Confusion, Model, class_changes, confusions, judge, report

RED, GREEN, BLUE = "n00000001", "n00000002", "n00000003"
LABELS = {RED: "red", GREEN: "green", BLUE: "blue & more"}
RULES = read_recipe("wide-resnet").compare


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
