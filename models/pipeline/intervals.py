"""Intervals and exact tests of shares and of paired answers.

    wilson(81, 263)                              (0.2553, 0.3662): a share of 30.8 % and its 95 % interval
    paired(gained=15, lost=5, images=100)        the challenger is right for 10 points more: 0.4 to 16.5

`paired` looks at the images for which one of two models is right and the other is not: between equally good models
each of them is the toss of a coin (McNemar's test in its exact form).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paired:
    """Two models on the same images: `gained` are right in the challenger alone, `lost` in the champion alone."""

    gained: int
    lost: int
    difference: float  # the challenger's share of right answers minus the champion's
    low: float  # interval of `difference`, given on how many images just one of them is right
    high: float
    p_value: float  # two-sided and exact: the chance of a difference at least this large between equally good models


def wilson(hits: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """E. B. Wilson's interval of a share, good for few images and for shares near 0 and 1; raises ValueError."""
    from scipy.stats import binomtest  # a second to import

    low, high = binomtest(hits, images).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def coin(heads: int, tosses: int) -> float:
    """Two-sided p-value of `heads` in `tosses` of a fair coin; 1 where nothing was tossed."""
    from scipy.stats import binomtest

    return float(binomtest(heads, tosses).pvalue) if tosses > 0 else 1.0


def paired(gained: int, lost: int, images: int, confidence: float = 0.95) -> Paired:
    """The difference of two models' shares of right answers on the same `images`, with its interval and p-value."""
    from scipy.stats import binomtest

    unequal = gained + lost
    low, high = binomtest(gained, unequal).proportion_ci(confidence, method="exact") if unequal > 0 else (0.5, 0.5)
    scale = unequal / images
    bounds = scale * (2 * float(low) - 1), scale * (2 * float(high) - 1)
    return Paired(gained, lost, (gained - lost) / images, *bounds, coin(gained, unequal))
