"""python -m unittest tests.pipeline.test_compare_intervals, with models/ on PYTHONPATH; the standard library alone."""

import unittest

from pipeline.intervals import at_least, clopper_pearson, coin, paired, wilson

# Hits, images, and the 95 % intervals that R. G. Newcombe lists in his comparison of methods for a share (1998).
PUBLISHED = (
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
)


class ShareTest(unittest.TestCase):
    def test_both_intervals_are_the_published_ones(self) -> None:
        for hits, images, by_wilson, exact in PUBLISHED:
            for found, expected in ((wilson(hits, images), by_wilson), (clopper_pearson(hits, images), exact)):
                with self.subTest(hits=hits, images=images):
                    self.assertAlmostEqual(found[0], expected[0], delta=0.00005)
                    self.assertAlmostEqual(found[1], expected[1], delta=0.00005)

    def test_an_interval_of_hits_mirrors_that_of_misses(self) -> None:
        for interval in (wilson, clopper_pearson):
            (low, high), (other_low, other_high) = interval(3, 17), interval(14, 17)
            self.assertAlmostEqual(low, 1 - other_high)
            self.assertAlmostEqual(high, 1 - other_low)

    def test_less_confidence_makes_a_narrower_interval(self) -> None:
        self.assertGreater(wilson(40, 82, 0.8)[0], wilson(40, 82, 0.95)[0])
        self.assertLess(clopper_pearson(40, 82, 0.8)[1], clopper_pearson(40, 82, 0.95)[1])

    def test_all_or_none_reach_the_end_of_the_scale(self) -> None:
        self.assertEqual(clopper_pearson(7, 7)[1], 1.0)
        self.assertEqual(clopper_pearson(0, 7)[0], 0.0)
        self.assertEqual(wilson(7, 7)[1], 1.0)

    def test_more_hits_than_images_and_no_images_are_refused(self) -> None:
        for hits, images in ((3, 2), (-1, 2), (0, 0)):
            with self.subTest(hits=hits, images=images), self.assertRaises(ValueError):
                wilson(hits, images)


class CoinTest(unittest.TestCase):
    def test_the_chance_is_the_sum_of_both_tails(self) -> None:
        self.assertAlmostEqual(coin(1, 10), 22 / 1024)
        self.assertAlmostEqual(coin(9, 10), 22 / 1024)
        self.assertAlmostEqual(coin(5, 20), 0.0413894653)
        self.assertAlmostEqual(coin(0, 6), 2 / 64)

    def test_a_tie_and_no_toss_at_all_prove_nothing(self) -> None:
        self.assertEqual(coin(8, 16), 1.0)
        self.assertEqual(coin(0, 0), 1.0)

    def test_thousands_of_tosses_keep_their_precision(self) -> None:
        self.assertAlmostEqual(coin(4900, 10_000), 0.0466, delta=0.0001)  # the normal curve gives 0.0455, uncorrected
        self.assertAlmostEqual(at_least(0, 10_000, 0.3), 1.0)
        self.assertAlmostEqual(at_least(10_001, 10_000, 0.3), 0.0)


class PairedTest(unittest.TestCase):
    def test_the_difference_is_that_of_the_images_only_one_is_right_for(self) -> None:
        found = paired(gained=15, lost=5, images=100)
        self.assertAlmostEqual(found.difference, 0.10)
        self.assertAlmostEqual(found.p_value, 0.0413894653)
        low, high = clopper_pearson(15, 20)
        self.assertAlmostEqual(found.low, 0.2 * (2 * low - 1))
        self.assertAlmostEqual(found.high, 0.2 * (2 * high - 1))

    def test_the_interval_leaves_zero_out_just_when_chance_explains_less_than_five_percent(self) -> None:
        for gained in range(21):
            found = paired(gained, 20 - gained, 500)
            with self.subTest(gained=gained):
                self.assertEqual(found.low > 0 or found.high < 0, found.p_value < 0.05)

    def test_a_loss_mirrors_a_gain(self) -> None:
        gain, loss = paired(9, 2, 40), paired(2, 9, 40)
        self.assertAlmostEqual(gain.low, -loss.high)
        self.assertAlmostEqual(gain.high, -loss.low)

    def test_models_that_never_differ_differ_by_nothing(self) -> None:
        found = paired(0, 0, 10)
        self.assertEqual((found.difference, found.low, found.high, found.p_value), (0, 0, 0, 1))


if __name__ == "__main__":
    unittest.main()
