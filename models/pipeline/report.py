"""What follows from the answers of a champion and a challenger to the same images, as plain values.

    found = report(old, new, answers, run_ms=(4.0, 3.1), rules=read_recipe("wide-resnet").compare)
    found.released, found.paired.difference
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.faults import Fault
from pipeline.gates import Gate, sentence
from pipeline.intervals import Paired, coin, paired, wilson
from pipeline.recipe import Compare


@dataclass(frozen=True)
class Answers:
    """Of one image: the class that it shows, and the first class by the champion and by the challenger."""

    image: str
    shows: str
    old: str
    new: str


@dataclass(frozen=True)
class Model:
    """A model folder as far as a comparison needs it."""

    folder: Path
    name: str
    version: str
    labels: dict[str, str]
    """By class."""

    @property
    def title(self) -> str:
        """NAME@VERSION, which is also what its folder may be called."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class ClassChange:
    """How often each model was right for the images of one class; `p_value` is that of equally good models."""

    shows: str
    label: str
    images: int
    old_hits: int
    new_hits: int
    lost: int
    gained: int
    p_value: float


@dataclass(frozen=True)
class Confusion:
    """How often images of the class `shows` were taken for `said`, another class."""

    shows: str
    said: str
    old: int
    new: int


@dataclass(frozen=True)
class Share:
    """Right answers of one model, with the interval of their share."""

    hits: int
    images: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """What a comparison found; `dropped` and `added` count images of classes that only the champion or the challenger
    knows."""

    old_title: str
    new_title: str
    images: int
    old: Share
    new: Share
    paired: Paired
    agreement: float
    classes: tuple[ClassChange, ...]
    confusions: tuple[Confusion, ...]
    dropped_classes: tuple[str, ...]
    dropped: Share | None
    added_classes: tuple[str, ...]
    added: Share | None
    old_ms: float
    new_ms: float
    unreadable: dict[str, str]
    rules: tuple[Gate, ...]

    @property
    def released(self) -> bool:
        """Whether every rule is met."""
        return all(rule.passed for rule in self.rules)

    def changed(self) -> tuple[list[ClassChange], list[ClassChange]]:
        """The classes that lost right answers and those that gained some, the largest change first."""
        lost = [row for row in self.classes if row.new_hits < row.old_hits]
        return lost, [row for row in reversed(self.classes) if row.new_hits > row.old_hits]


def report(
    old: Model,
    new: Model,
    answers: Sequence[Answers],
    run_ms: tuple[float, float],
    rules: Compare,
    unreadable: dict[str, str] | None = None,
) -> Report:
    """Everything that follows from the answers; raises Fault when no image shows a class that both models know."""
    shared = old.labels.keys() & new.labels.keys()
    both = [answer for answer in answers if answer.shows in shared]
    if not both:
        found = f"{len(answers)} others"
        raise Fault(f"Expected images of classes that {old.title} and {new.title} know for --data but received {found}")
    dropped, added = (tuple(sorted(model.labels.keys() - shared)) for model in (old, new))
    gained = sum(answer.new == answer.shows != answer.old for answer in both)
    lost = sum(answer.old == answer.shows != answer.new for answer in both)
    classes = class_changes(both, old.labels | new.labels)
    difference = paired(gained, lost, len(both), rules.confidence)
    new_share = _share([answer.new == answer.shows for answer in both], rules)
    added_share = _share([answer.new == answer.shows for answer in answers if answer.shows in added], rules)
    return Report(
        old_title=old.title,
        new_title=new.title,
        images=len(both),
        old=_share([answer.old == answer.shows for answer in both], rules),
        new=new_share,
        paired=difference,
        agreement=sum(answer.old == answer.new for answer in both) / len(both),
        classes=classes,
        confusions=confusions(both),
        dropped_classes=dropped,
        dropped=_share([answer.old == answer.shows for answer in answers if answer.shows in dropped], rules),
        added_classes=added,
        added=added_share,
        old_ms=run_ms[0],
        new_ms=run_ms[1],
        unreadable=dict(unreadable or {}),
        rules=(
            *judge(len(both), difference, classes, dropped, run_ms[1] / run_ms[0], rules),
            *judge_added(added_share, new_share, rules),
        ),
    )


def class_changes(answers: Sequence[Answers], labels: dict[str, str]) -> tuple[ClassChange, ...]:
    """A row for each class that an image shows, the one that lost the largest share of its images first."""
    by_class: dict[str, list[Answers]] = {}
    for answer in answers:
        by_class.setdefault(answer.shows, []).append(answer)
    rows = []
    for shows, group in by_class.items():
        old, new = sum(answer.old == shows for answer in group), sum(answer.new == shows for answer in group)
        both = sum(answer.old == answer.new == shows for answer in group)
        lost, gained = old - both, new - both
        p_value = coin(gained, gained + lost)
        rows.append(ClassChange(shows, labels.get(shows, shows), len(group), old, new, lost, gained, p_value))
    return tuple(sorted(rows, key=lambda row: ((row.new_hits - row.old_hits) / row.images, row.shows)))


def confusions(answers: Sequence[Answers]) -> tuple[Confusion, ...]:
    """The wrong answers whose number changed, the largest change first."""
    old = Counter((answer.shows, answer.old) for answer in answers if answer.old != answer.shows)
    new = Counter((answer.shows, answer.new) for answer in answers if answer.new != answer.shows)
    rows = [Confusion(*pair, old[pair], new[pair]) for pair in old.keys() | new.keys() if old[pair] != new[pair]]
    return tuple(sorted(rows, key=lambda row: (-abs(row.new - row.old), -max(row.new, row.old), row.shows, row.said)))


def judge(
    images: int,
    difference: Paired,
    classes: Sequence[ClassChange],
    dropped: Sequence[str],
    latency_ratio: float,
    rules: Compare,
) -> tuple[Gate, ...]:
    """Every rule with what was demanded and measured; a challenger may be released when all are met."""
    loss, most_loss = max(0.0, -difference.difference * 100), rules.most_accuracy_loss_points
    ratio, most_ratio = f"{latency_ratio:.2f}", rules.most_latency_ratio
    latency = "challenger's median run by the champion's"
    judged = [row for row in classes if row.images >= rules.least_images_per_class]
    # Of 200 classes ten would be worse at p < 0.05 by chance: what counts is divided among them (Bonferroni).
    most_p = (1 - rules.confidence) / max(1, len(judged))
    proven = [row for row in judged if row.lost > row.gained and row.p_value < most_p]
    named = "".join(f"; {row.label} {row.old_hits} to {row.new_hits} of {row.images}" for row in proven[:3])
    what = f"classes of at least {rules.least_images_per_class} images that lost more than chance explains"
    return (
        _rule("images", images >= rules.least_images, f"at least {rules.least_images}", f"{images}", "images compared"),
        _rule("accuracy", loss <= most_loss + 1e-9, f"at most {most_loss:g}", f"{loss:.2f}", "points of top-1 lost"),
        _rule("classes", not proven, "none", f"{len(proven)}{named}", what),
        _rule("dropped", not dropped, "none", f"{len(dropped)}", "classes that only the champion knows"),
        _rule("latency", latency_ratio <= most_ratio, f"at most {most_ratio:g}", ratio, latency),
    )


def judge_added(added: Share | None, others: Share, rules: Compare) -> tuple[Gate, ...]:
    """The rule on classes that only the challenger knows, which has to know them; none where too few show them."""
    if added is None or added.images < rules.least_images_per_class:
        return ()
    least = rules.least_share_of_added * others.share
    what = "top-1 on classes that only the challenger knows"
    found = f"{added.share * 100:.1f} % of {added.images}"
    return (_rule("added", added.share >= least, f"at least {least * 100:.1f} %", found, what),)


def _share(hits: Sequence[bool], rules: Compare) -> Share | None:
    """None where there are no images."""
    if not hits:
        return None
    return Share(sum(hits), len(hits), sum(hits) / len(hits), *wilson(sum(hits), len(hits), rules.confidence))


def _rule(name: str, passed: bool, demanded: str, measured: str, what: str) -> Gate:
    return Gate(name, demanded, measured, passed, sentence(what, demanded, measured, passed))
