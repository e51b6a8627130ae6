"""Intervals and exact tests of shares and of paired answers, from the standard library alone.

    wilson(81, 263)                              (0.2553, 0.3662): a share of 30.8 % and what it may be in truth
    paired(gained=15, lost=5, images=100)        the challenger is right for 10 points more: 0.4 to 16.5

`paired` looks at the images for which one of two models is right and the other is not: between equally good models
each of them is the toss of a coin.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

BISECTIONS = 60  # halves [0, 1] to 1e-18, below what a float tells apart


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
    """Interval of a share (E. B. Wilson, 1927): never outside 0 to 1, good for few images and for shares near the
    ends."""
    _check(hits, images)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, z2 = hits / images, z * z
    middle = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = z / (1 + z2 / images) * math.sqrt(share * (1 - share) / images + z2 / (4 * images * images))
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_pearson(hits: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (C. J. Clopper and E. S. Pearson, 1934): it leaves 0.5 out just when `coin` is below
    the rest."""
    _check(hits, images)
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _root(lambda share: tail - at_least(hits, images, share))
    high = 1.0 if hits == images else _root(lambda share: 1 - tail - at_least(hits + 1, images, share))
    return low, high


def coin(heads: int, tosses: int) -> float:
    """Two-sided p-value of `heads` in `tosses` of a fair coin, McNemar's test in its exact form; 1 where nothing was
    tossed."""
    if tosses == 0:
        return 1.0
    _check(heads, tosses)
    return min(1.0, 2 * at_least(max(heads, tosses - heads), tosses, 0.5))


def paired(gained: int, lost: int, images: int, confidence: float = 0.95) -> Paired:
    """The difference of two models' shares of right answers on the same `images`, with its interval and p-value."""
    unequal = gained + lost
    _check(unequal, images)
    low, high = clopper_pearson(gained, unequal, confidence) if unequal > 0 else (0.5, 0.5)
    scale = unequal / images
    return Paired(
        gained, lost, (gained - lost) / images, scale * (2 * low - 1), scale * (2 * high - 1), coin(gained, unequal)
    )


def at_least(hits: int, images: int, share: float) -> float:
    """The chance of `hits` or more of `images` when each hits with the chance `share` (binomial)."""
    if hits <= 0:
        return 1.0
    if share in (0.0, 1.0):
        return share
    log_share, log_rest, log_all = math.log(share), math.log1p(-share), math.lgamma(images + 1)
    logs = (
        log_all - math.lgamma(k + 1) - math.lgamma(images - k + 1) + k * log_share + (images - k) * log_rest
        for k in range(hits, images + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def _root(falling: Callable[[float], float]) -> float:
    """Where a function that falls from above 0 to below it between 0 and 1 is 0."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _check(hits: int, images: int) -> None:
    if images <= 0 or not 0 <= hits <= images:
        raise ValueError(f"Expected a number from 0 to that of the images for hits but received {hits} of {images}")
