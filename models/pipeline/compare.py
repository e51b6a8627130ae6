"""`models compare`: a champion and a challenger on the same images through the served path, and whether to release.

    models compare models/wide-resnet models/wide-resnet@photos-1 --data photos --chart changed.svg

Both run in one Node process, image by image, with the code of the service (`npm run evaluate`). Ends with status 0
when the challenger may be released, 1 when it may not, and 2 when nothing could be compared. The rules are those of
the recipe's section `compare` and of this file; `report` and what it is made of are functions of plain values.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline import chart, node
from pipeline.faults import Fault
from pipeline.gates import Gate
from pipeline.intervals import Paired, coin, paired, wilson
from pipeline.recipe import Compare, list_recipes, read_recipe
from pipeline.restore import read_card

HELP = "hold a challenger against the champion on labeled images, and say whether to release it"

DEFAULT_RECIPE = "wide-resnet"  # by whose rules a model goes that has none of its name
ROUNDS = 5  # of the time measurement, each in the other order
ROUND_IMAGES = 200  # a median of 200 runs is steadier than the difference between two rounds
SHOWN = 8  # classes and confusions that the text lists; JSON holds all


@dataclass(frozen=True)
class Answers:
    """Of one image: the class that it shows, and the first class that the champion and the challenger name."""

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
    """What a person would say, by class."""

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


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models compare`."""
    parser.add_argument("old", type=Path, metavar="OLD", help="the champion's model folder")
    parser.add_argument("new", type=Path, metavar="NEW", help="the challenger's")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATA", help="labeled images, a folder or a Parquet file"
    )
    parser.add_argument(
        "--recipe",
        metavar="RECIPE",
        help=f"whose rules to use; default: the one of the challenger's name, else {DEFAULT_RECIPE}",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the confusion that changed, as SVG")


def main(args: argparse.Namespace) -> int:
    """Runs `models compare`; the exit status."""
    try:
        old, new = read_model(args.old), read_model(args.new)
        found = compare(old, new, args.data, rules_of(args.recipe or new.name, args.recipe is not None), args.limit)
        if args.chart is not None:
            _write(args.chart, chart.draw(found, labels_of(old, new)))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 2
    print(json.dumps(to_json(found), indent=2) if args.json else to_text(found, labels_of(old, new)))
    return 0 if found.released else 1


def read_model(folder: Path) -> Model:
    """The name, version and labels of a model folder; raises Fault."""
    card, rows = read_card(folder)
    try:
        return Model(folder, card["name"], card["version"], {row["class"]: row["label"] for row in rows})
    except (KeyError, TypeError) as cause:
        raise Fault(f"Expected name, version and labels for {folder / 'model.json'} but received {cause!r}") from cause


def rules_of(recipe: str, is_asked: bool = True) -> Compare:
    """The rules of a recipe, or those of DEFAULT_RECIPE where none of that name exists and none was asked for; raises
    Fault."""
    return read_recipe(recipe if is_asked or recipe in list_recipes() else DEFAULT_RECIPE).compare


def labels_of(*models: Model) -> dict[str, str]:
    """What a person would say for each class that one of the models knows."""
    return {name: label for model in models for name, label in model.labels.items()}


def compare(old: Model, new: Model, data: Path, rules: Compare, limit: int | None = None) -> Report:
    """Runs both on the images and reports; raises Fault when they cannot be told apart or no image can be compared."""
    if old.title == new.title:
        raise Fault(f"Expected another name or version than {old.title} for {new.folder} but received the same")
    titles = [old.title, new.title]
    with tempfile.TemporaryDirectory(prefix="models-compare-") as temporary:
        folder = Path(temporary)
        for model in (old, new):
            (folder / model.title).symlink_to(model.folder.resolve(), target_is_directory=True)
        found = node.evaluate(folder, titles, data, limit=limit, predictions=folder / "predictions.tsv")
        answers = read_answers((folder / "predictions.tsv").read_text(encoding="utf-8"))
        times_ms = [_run_ms(found)]
        for turn in range(1, ROUNDS):
            order = titles[::-1] if turn % 2 else titles
            times = _run_ms(node.evaluate(folder, order, data, limit=min(limit or ROUND_IMAGES, ROUND_IMAGES)))
            times_ms.append(times[::-1] if turn % 2 else times)
    # Of the round in the middle: a round in which another program was busy tells nothing about the two models.
    old_ms, new_ms = sorted(times_ms, key=lambda times: times[1] / times[0])[len(times_ms) // 2]
    return report(old, new, answers, (old_ms, new_ms), rules, found["refused"])


def read_answers(table: str) -> list[Answers]:
    """The rows of a table of predictions: image, class, and what the champion and the challenger said."""
    rows = [line.split("\t") for line in table.splitlines()[1:]]
    return [Answers(*row) for row in rows]


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
        raise Fault(
            f"Expected images of classes that {old.title} and {new.title} know for --data but received "
            f"{len(answers)} others"
        )
    confidence = rules.confidence
    gained = sum(answer.new == answer.shows != answer.old for answer in both)
    lost = sum(answer.old == answer.shows != answer.new for answer in both)
    classes = class_changes(both, labels_of(old, new))
    difference = paired(gained, lost, len(both), confidence)
    dropped, added = (tuple(sorted(model.labels.keys() - shared)) for model in (old, new))
    new_share = _share([answer.new == answer.shows for answer in both], confidence)
    added_share = _apart([answer.new == answer.shows for answer in answers if answer.shows in added], confidence)
    return Report(
        old.title,
        new.title,
        len(both),
        _share([answer.old == answer.shows for answer in both], confidence),
        new_share,
        difference,
        sum(answer.old == answer.new for answer in both) / len(both),
        classes,
        confusions(both),
        dropped,
        _apart([answer.old == answer.shows for answer in answers if answer.shows in dropped], confidence),
        added,
        added_share,
        *run_ms,
        dict(unreadable or {}),
        (
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
        lost = sum(answer.old == shows != answer.new for answer in group)
        gained = sum(answer.new == shows != answer.old for answer in group)
        hits = [sum(named == shows for named in column) for column in zip(*((a.old, a.new) for a in group))]
        rows.append(
            ClassChange(shows, labels.get(shows, shows), len(group), *hits, lost, gained, coin(gained, gained + lost))
        )
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
    loss = max(0.0, -difference.difference * 100)
    judged = [row for row in classes if row.images >= rules.least_images_per_class]
    # Of 200 classes ten would be worse at p < 0.05 by chance: what counts is divided among them (Bonferroni).
    most_p = (1 - rules.confidence) / max(1, len(judged))
    proven = [row for row in judged if row.lost > row.gained and row.p_value < most_p]
    return (
        _rule("images", images >= rules.least_images, f"at least {rules.least_images}", f"{images}", "images compared"),
        _rule(
            "accuracy",
            loss <= rules.most_accuracy_loss_points + 1e-9,
            f"at most {rules.most_accuracy_loss_points:g}",
            f"{loss:.2f}",
            "points of top-1 lost",
        ),
        _rule(
            "classes",
            not proven,
            "none",
            f"{len(proven)}"
            + "".join(f"; {row.label} {row.old_hits} to {row.new_hits} of {row.images}" for row in proven[:3]),
            f"classes of at least {rules.least_images_per_class} images that lost more than chance explains",
        ),
        _rule("dropped", not dropped, "none", f"{len(dropped)}", "classes that only the champion knows"),
        _rule(
            "latency",
            latency_ratio <= rules.most_latency_ratio,
            f"at most {rules.most_latency_ratio:g}",
            f"{latency_ratio:.2f}",
            "challenger's median run by the champion's",
        ),
    )


def judge_added(added: Share | None, others: Share, rules: Compare) -> tuple[Gate, ...]:
    """The rule on classes that only the challenger knows, which has to know them; none where too few show them."""
    if added is None or added.images < rules.least_images_per_class:
        return ()
    demanded = rules.least_share_of_added * others.share
    return (
        _rule(
            "added",
            added.share >= demanded,
            f"at least {_percent(demanded)}",
            f"{_percent(added.share)} of {added.images}",
            "top-1 on classes that only the challenger knows",
        ),
    )


def to_json(found: Report) -> dict:
    """The whole report, JSON-able, with `released`."""
    return {**asdict(found), "released": found.released}


def to_text(found: Report, labels: dict[str, str]) -> str:
    """The report for a person at a terminal."""
    both = found.paired
    rows = [
        ("", "top-1", "interval", "median run"),
        *(
            (title, _percent(side.share), f"{_percent(side.low)} to {_percent(side.high)}", f"{run_ms:.2f} ms")
            for title, side, run_ms in (
                (found.old_title, found.old, found.old_ms),
                (found.new_title, found.new, found.new_ms),
            )
        ),
    ]
    width = max(len(row[0]) for row in rows) + 2
    lines = [f"{found.images} images of {len(found.classes)} classes that both know"]
    lines += [
        title.ljust(width) + top1.rjust(8) + span.rjust(21) + run_ms.rjust(13) for title, top1, span, run_ms in rows
    ]
    lines.append(
        f"difference {both.difference * 100:+.2f} points ({both.low * 100:+.2f} to {both.high * 100:+.2f}): "
        "right in the challenger "
        f"alone {both.gained}, in the champion alone {both.lost}, p = {both.p_value:.2g}"
    )
    lines.append(f"both name the same class for {_percent(found.agreement)} of the images")
    for who, names, side in (
        ("champion", found.dropped_classes, found.dropped),
        ("challenger", found.added_classes, found.added),
    ):
        if names:
            told = f"right for {side.hits} of {side.images} images" if side is not None else "no images of them"
            lines.append(f"classes that only the {who} knows: {len(names)} ({', '.join(names[:SHOWN])}), {told}")
    for title, changed in (("lost", _lost(found.classes)), ("gained", _gained(found.classes))):
        lines += [f"{title}: {row.label}, {row.old_hits} to {row.new_hits} of {row.images}" for row in changed[:SHOWN]]
    for row in found.confusions[:SHOWN]:
        lines.append(
            f"{labels.get(row.shows, row.shows)} taken for {labels.get(row.said, row.said)}: {row.old} to {row.new}"
        )
    lines += [f"left out {name}: {reason}" for name, reason in found.unreadable.items()]
    lines += [("met      " if rule.passed else "NOT MET  ") + rule.sentence for rule in found.rules]
    lines.append(f"{found.new_title} {'may be released' if found.released else 'may not be released'}")
    return "\n".join(lines)


def _run_ms(found: dict) -> list[float]:
    """Median time of a run of each model, in the order in which they were named."""
    return [score["medianRunMs"] for score in found["scores"]]


def _lost(classes: Sequence[ClassChange]) -> list[ClassChange]:
    return [row for row in classes if row.new_hits < row.old_hits]


def _gained(classes: Sequence[ClassChange]) -> list[ClassChange]:
    return [row for row in reversed(classes) if row.new_hits > row.old_hits]


def _share(hits: Sequence[bool], confidence: float) -> Share:
    return Share(sum(hits), len(hits), sum(hits) / len(hits), *wilson(sum(hits), len(hits), confidence))


def _apart(hits: Sequence[bool], confidence: float) -> Share | None:
    return _share(hits, confidence) if hits else None


def _rule(name: str, passed: bool, demanded: str, measured: str, what: str) -> Gate:
    sentence = (
        f"{what}: {measured}, {demanded}." if passed else f"Expected {demanded} for {what} but received {measured}."
    )
    return Gate(name, demanded, measured, passed, sentence)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as cause:
        raise Fault(f"Expected a file that can be written for --chart but received {file}") from cause
