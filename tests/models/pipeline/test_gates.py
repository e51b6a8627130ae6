"""Gates; needs the standard library alone: PYTHONPATH=models python -m unittest tests/models/pipeline/test_gates.py"""

import json
import math
import unittest
from dataclasses import asdict

from pipeline.gates import LIMITS, judge, same_runtime


class JudgeTest(unittest.TestCase):
    def test_each_limit_fails_just_beyond_and_passes_at_and_within(self) -> None:
        for name, (figure, _) in LIMITS.items():
            step = -1e-6 if name.startswith("min_") else 1e-6
            for measured, passed in ((0.5 + step, False), (0.5, True), (0.5 - step, True), (math.nan, False)):
                with self.subTest(gate=name, measured=measured):
                    (gate,) = judge({name: 0.5}, {figure: measured})
                    self.assertEqual((gate.name, gate.passed), (name, passed))

    def test_a_sentence_names_limit_and_figure_and_only_a_failed_one_reads_like_a_fault(self) -> None:
        for limits, figures, expected in (
            ({"max_top1_loss": 0.005}, {"top1_loss": 0.0123}, "^Expected at most 0.005 for max_top1_loss .* 0.0123.$"),
            ({"max_float_convolutions": 0}, {"float_convolutions": 1}, "^Expected at most 0 for .* but received 1.$"),
            ({"max_float_convolutions": 0}, {"float_convolutions": 0}, "^max_float_convolutions .*: 0, at most 0.$"),
            ({"min_agreement": 0.95}, {"agreement": 0.97}, "^min_agreement .*: 0.97, at least 0.95.$"),
            ({"min_agreement": 0.95}, {"agreement": None}, "^min_agreement .*: not measured; .* at least 0.95.$"),
            ({"min_agreement": 0.95}, {}, "^min_agreement .*: not measured"),
        ):
            with self.subTest(limits=limits, figures=figures):
                (gate,) = judge(limits, figures)
                self.assertRegex(gate.sentence, expected)
                is_measured = None not in (figures or {"": None}).values()
                self.assertEqual(gate.passed, not gate.sentence.startswith("Expected") if is_measured else None)

    def test_infinity_can_be_written_as_json_and_a_limit_that_is_left_out_is_not_checked(self) -> None:
        (gate,) = judge({"max_load_ms": 1.0}, {"load_ms": math.inf, "agreement": 0.0})
        self.assertEqual(json.loads(json.dumps(asdict(gate), allow_nan=False))["measured"], "inf")

    def test_another_version_of_the_runtime_fails_and_both_are_named(self) -> None:
        self.assertTrue(same_runtime("1.30.0", "1.30.0").passed)
        gate = same_runtime("1.30.1", "1.30.0")
        self.assertFalse(gate.passed)
        self.assertRegex(gate.sentence, r"Expected 1\.30\.0.* but received 1\.30\.1")
