"""`models compare`: a champion and a challenger on the same images through the served path, and whether to release.

    models compare models/wide-resnet models/wide-resnet@photos-1 --data photos

Both run in one Node process, image by image, with the code of the service (`npm run evaluate`). Ends with status 0
when the challenger may be released, 1 when it may not, and 2 when nothing could be compared. The rules are those of
the recipe's section `compare` and of pipeline/report.py.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pipeline import node
from pipeline.card import read_card
from pipeline.faults import Fault
from pipeline.recipe import Compare, list_recipes, read_recipe
from pipeline.report import Answers, Model, Report, report

HELP = "hold a challenger against the champion on labeled images, and say whether to release it"

DEFAULT_RECIPE = "wide-resnet"  # whose rules hold for a model that has no recipe of its name
ROUNDS = 5  # of the time measurement, each in the other order
ROUND_IMAGES = 200  # a median of 200 runs is steadier than the difference between two rounds
SHOWN = 8  # classes and confusions that the text lists; JSON holds all


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models compare`."""
    add = parser.add_argument
    add("old", type=Path, metavar="OLD", help="the champion's model folder")
    add("new", type=Path, metavar="NEW", help="the challenger's")
    add("--data", type=Path, required=True, metavar="DATA", help="labeled images, a folder or a Parquet file")
    add("--recipe", metavar="RECIPE", help=f"whose rules to use; default: that of its name, else {DEFAULT_RECIPE}")
    add("--limit", type=int, metavar="N", help="only the first N images")
    add("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Runs `models compare`; the exit status."""
    import scipy.stats  # noqa: F401, missing it is told now, not after minutes

    try:
        old, new = read_model(args.old), read_model(args.new)
        found = compare(old, new, args.data, rules_of(args.recipe or new.name, args.recipe is not None), args.limit)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 2
    print(json.dumps(to_json(found), indent=2) if args.json else to_text(found, old.labels | new.labels))
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


def compare(old: Model, new: Model, data: Path, rules: Compare, limit: int | None = None) -> Report:
    """Runs both on the images and reports; raises Fault about equal titles or when no image can be compared."""
    if old.title == new.title:
        raise Fault(f"Expected another name or version than {old.title} for {new.folder} but received the same")
    titles = [old.title, new.title]
    with tempfile.TemporaryDirectory(prefix="models-compare-") as temporary:
        folder = Path(temporary)
        for model in (old, new):
            (folder / model.title).symlink_to(model.folder.resolve(), target_is_directory=True)
        found = node.evaluate(folder, titles, data, limit=limit, predictions=folder / "predictions.tsv")
        answers = [Answers(*row.values()) for row in node.read_table(folder / "predictions.tsv")]
        times_ms = [_run_ms(found)]
        for turn in range(1, ROUNDS):
            order = titles[::-1] if turn % 2 else titles
            times = _run_ms(node.evaluate(folder, order, data, limit=min(limit or ROUND_IMAGES, ROUND_IMAGES)))
            times_ms.append(times[::-1] if turn % 2 else times)
    # Of the round in the middle: a round in which another program was busy tells nothing about the two models.
    old_ms, new_ms = sorted(times_ms, key=lambda times: times[1] / times[0])[len(times_ms) // 2]
    return report(old, new, answers, (old_ms, new_ms), rules, found["refused"])


def to_json(found: Report) -> dict:
    """The whole report, JSON-able, with `released`."""
    return {**asdict(found), "released": found.released}


def to_text(found: Report, labels: dict[str, str]) -> str:
    """The report for a person at a terminal."""
    both = found.paired
    sides = ((found.old_title, found.old, found.old_ms), (found.new_title, found.new, found.new_ms))
    width = max(len(title) for title, _, _ in sides) + 2
    lines = [f"{found.images} images of {len(found.classes)} classes that both know"]
    lines.append(" " * width + f"{'top-1':>8}{'interval':>21}{'median run':>13}")
    for title, side, run_ms in sides:
        span = f"{_percent(side.low)} to {_percent(side.high)}"
        lines.append(f"{title:<{width}}{_percent(side.share):>8}{span:>21}{run_ms:>10.2f} ms")
    lines.append(
        f"difference {both.difference * 100:+.2f} points ({both.low * 100:+.2f} to {both.high * 100:+.2f}): "
        f"right in the challenger alone {both.gained}, in the champion alone {both.lost}, p = {both.p_value:.2g}"
    )
    lines.append(f"both name the same class for {_percent(found.agreement)} of the images")
    champion = ("champion", found.dropped_classes, found.dropped)
    for who, names, side in (champion, ("challenger", found.added_classes, found.added)):
        if names:
            right = f"right for {side.hits} of {side.images} images" if side is not None else "no images of them"
            lines.append(f"classes that only the {who} knows: {len(names)} ({', '.join(names[:SHOWN])}), {right}")
    for title, changed in zip(("lost", "gained"), found.changed(), strict=True):
        lines += [f"{title}: {row.label}, {row.old_hits} to {row.new_hits} of {row.images}" for row in changed[:SHOWN]]
    for row in found.confusions[:SHOWN]:
        shows, said = labels.get(row.shows, row.shows), labels.get(row.said, row.said)
        lines.append(f"{shows} taken for {said}: {row.old} to {row.new}")
    lines += [f"left out {name}: {reason}" for name, reason in found.unreadable.items()]
    lines += [("met      " if rule.passed else "NOT MET  ") + rule.sentence for rule in found.rules]
    return "\n".join([*lines, f"{found.new_title} {'may be released' if found.released else 'may not be released'}"])


def _run_ms(found: dict) -> list[float]:
    """Median time of a run of each model, in the order in which they were named."""
    return [score["medianRunMs"] for score in found["scores"]]


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
