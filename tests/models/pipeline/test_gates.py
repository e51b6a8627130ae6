"""python -m unittest tests.pipeline.test_gates, with models/ on PYTHONPATH; needs the standard library alone."""

import json
import math
import unittest

from pipeline.gates import LIMITS, as_rows, failures, judge, same_runtime

STEP = 1e-6


class JudgeTest(unittest.TestCase):
    def test_each_limit_fails_just_beyond_and_passes_at_and_within(self) -> None:
        for name, limit in LIMITS.items():
            beyond, within = (0.5 - STEP, 0.5 + STEP) if limit.is_floor else (0.5 + STEP, 0.5 - STEP)
            for measured, passed in ((beyond, False), (0.5, True), (within, True)):
                with self.subTest(gate=name, measured=measured):
                    (gate,) = judge({name: 0.5}, {limit.figure: measured})
                    self.assertEqual((gate.name, gate.measured, gate.passed), (name, measured, passed))

    def test_a_limit_of_zero_is_met_by_zero_and_not_by_one(self) -> None:
        self.assertTrue(judge({"max_float_convolutions": 0}, {"float_convolutions": 0})[0].passed)
        self.assertFalse(judge({"max_float_convolutions": 0}, {"float_convolutions": 1})[0].passed)

    def test_a_failed_gate_names_the_limit_and_the_number(self) -> None:
        (gate,) = judge({"max_top1_loss": 0.005}, {"top1_loss": 0.0123})
        self.assertIn("Expected at most 0.005 for max_top1_loss", gate.sentence)
        self.assertIn("but received 0.0123.", gate.sentence)

    def test_a_passed_gate_does_not_read_like_a_fault(self) -> None:
        (gate,) = judge({"min_agreement": 0.95}, {"agreement": 0.97})
        self.assertNotIn("Expected", gate.sentence)
        self.assertEqual(gate.demanded, "at least 0.95")

    def test_a_figure_that_is_not_a_number_passes_no_gate(self) -> None:
        for name, limit in LIMITS.items():
            with self.subTest(gate=name):
                self.assertFalse(judge({name: 0.5}, {limit.figure: math.nan})[0].passed)

    def test_infinity_can_be_written_as_json(self) -> None:
        rows = as_rows(judge({"max_load_ms": 1.0}, {"load_ms": math.inf}))
        self.assertEqual(json.loads(json.dumps(rows, allow_nan=False))[0]["measured"], "inf")

    def test_a_figure_that_was_not_measured_neither_passes_nor_fails(self) -> None:
        for figures in ({}, {"agreement": None}):
            (gate,) = judge({"min_agreement": 0.95}, figures)
            self.assertIsNone(gate.passed)
            self.assertIn("not measured", gate.sentence)
            self.assertEqual(failures([gate]), [])

    def test_a_limit_that_the_recipe_leaves_out_is_not_asked(self) -> None:
        self.assertEqual(judge({}, {"agreement": 0.0}), [])

    def test_an_unknown_limit_is_refused_by_name(self) -> None:
        with self.assertRaisesRegex(ValueError, "min_agreement.* but received min_agreemnt"):
            judge({"min_agreemnt": 0.9}, {})


class SameRuntimeTest(unittest.TestCase):
    def test_the_same_version_passes(self) -> None:
        self.assertTrue(same_runtime("1.30.0", "1.30.0").passed)

    def test_another_patch_fails_and_both_are_named(self) -> None:
        gate = same_runtime("1.30.1", "1.30.0")
        self.assertFalse(gate.passed)
        self.assertRegex(gate.sentence, r"Expected 1\.30\.0.* but received 1\.30\.1")
        self.assertEqual(failures([gate]), [gate])


if __name__ == "__main__":
    unittest.main()
