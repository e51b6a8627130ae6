"""Intervals; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_intervals.py"""

import unittest

from pipeline.intervals import coin, paired, wilson


class IntervalsTest(unittest.TestCase):
    def test_the_interval_of_a_share_is_the_published_one(self) -> None:
        # The 95 % intervals that R. G. Newcombe lists in his comparison of methods for a share (1998).
        for hits, images, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
            with self.subTest(hits=hits):
                self.assertAlmostEqual(wilson(hits, images)[0], low, delta=0.00005)
                self.assertAlmostEqual(wilson(hits, images)[1], high, delta=0.00005)

    def test_a_coin_has_two_tails_and_no_toss_proves_nothing(self) -> None:
        for heads, tosses, chance in ((1, 10, 22 / 1024), (9, 10, 22 / 1024), (8, 16, 1.0), (0, 0, 1.0)):
            self.assertAlmostEqual(coin(heads, tosses), chance)

    def test_the_interval_of_a_difference_leaves_zero_out_just_when_p_is_below_five_percent(self) -> None:
        for gained in range(21):
            found = paired(gained, 20 - gained, 500)
            with self.subTest(gained=gained):
                self.assertEqual(found.low > 0 or found.high < 0, found.p_value < 0.05)
                self.assertAlmostEqual(found.difference, (2 * gained - 20) / 500)
        # Clopper and Pearson's 95 % interval of 15 in 20 is 0.5090 to 0.9134; less confidence makes it narrower.
        found = paired(15, 5, 100)
        self.assertAlmostEqual(found.low, 0.2 * (2 * 0.5090 - 1), places=4)
        self.assertAlmostEqual(found.high, 0.2 * (2 * 0.9134 - 1), places=4)
        self.assertGreater(paired(15, 5, 100, 0.8).low, found.low)

    def test_models_that_never_differ_differ_by_nothing(self) -> None:
        found = paired(0, 0, 10)
        self.assertEqual((found.difference, found.low, found.high, found.p_value), (0, 0, 0, 1))
