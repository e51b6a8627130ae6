"""What `models retrain` learns from and checks by: the models to begin with, and the images, split without leaks."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.card import read_card
from pipeline.faults import Fault
from pipeline.gather import Gathered, Picture, by_class, hold_out, read_images, refuse_few, refuse_leaks, without
from pipeline.recipe import LEAST_CALIBRATED, MODELS, Recipe, read_recipe
from pipeline.steps import say

REHEARSED = 5000  # former images: 25 of each of 200 classes, so that no class is left out and decoding takes seconds


@dataclass(frozen=True)
class Base:
    """A model to begin with: its folder, card and classes, and the recipe of its name."""

    folder: Path
    card: dict
    labels: dict[str, str]
    recipe: Recipe

    @property
    def has_int8(self) -> bool:
        """Whether the folder has a variant of integers beside its portable file."""
        return any(variant["precision"] == "int8" for variant in self.card.get("variants", []))


@dataclass(frozen=True)
class Course:
    """What is learned and by what it is checked; `known` are images of what the models knew before, never learned
    from."""

    learned: list[Picture]
    checked: list[Picture]
    rehearsed: list[Picture]
    known: list[Picture]
    labels: dict[str, str]
    """Of all classes, sorted by id: the order of the logits."""


def read_base(models: Path, name: str, version: str | None) -> Base:
    """The folder to begin with, NAME@VERSION or NAME; raises Fault."""
    folder = models / (f"{name}@{version}" if version else name)
    if not folder.is_dir() and version is None:
        folder = MODELS / name
    card, rows = read_card(folder)
    return Base(folder, card, {row["class"]: row["label"] for row in rows}, read_recipe(name))


def plan_course(args: argparse.Namespace, bases: Sequence[Base]) -> Course:
    """Reads all images and splits them; raises Fault about leaks, too few images, or a pair of different labels."""
    known_labels = bases[0].labels
    if any(base.labels != known_labels for base in bases):
        raise Fault(f"Expected the labels of {bases[0].folder} for {bases[-1].folder} but received others")
    new = _read(args.data, "--data", args.seed)
    refuse_few(new.pictures)
    if args.check is None:
        learned, checked = hold_out(new.pictures, args.seed)
    else:
        learned, checked = list(new.pictures), list(_read(args.check, "--check", args.seed).pictures)
    known = list(_read(args.known, "--known", args.seed).pictures) if args.known else []
    refuse_leaks(learned, [*checked, *known])
    labels = grown_labels(known_labels, new)
    if not any(picture.shows in known_labels for picture in [*checked, *known]):
        raise Fault(f"Expected images of known classes for --known, since {args.data} has none, but received nothing")
    former = _read(args.rehearse, "--rehearse", args.seed, REHEARSED).pictures if args.rehearse else ()
    rehearsed = without([picture for picture in former if picture.shows in labels], [*learned, *checked, *known])
    seen = len(learned) + len(rehearsed)
    if seen < LEAST_CALIBRATED and any(base.has_int8 for base in bases):
        what = f"at least {LEAST_CALIBRATED} images to learn from or to rehearse (int8 is calibrated on them)"
        raise Fault(f"Expected {what} for --data and --rehearse but received {seen}")
    if len(rehearsed) < len(former):
        say(f"  --rehearse: left out are {len(former) - len(rehearsed)}, of unknown classes or checked by")
    say(
        f"{len(learned)} images of {len(by_class(learned))} classes to learn from, {len(checked)} to check by, "
        f"{len(rehearsed)} to rehearse, {len(known)} of what was known; new classes: {len(labels) - len(known_labels)}"
    )
    return Course(learned, checked, rehearsed, known, labels)


def grown_labels(known: dict[str, str], new: Gathered) -> dict[str, str]:
    """All labels by class, sorted by id; a new class is called as labels.json says, or as its folder. Raises Fault
    about twins."""
    classes = {picture.shows for picture in new.pictures}
    added = {shows: new.labels.get(shows, shows) for shows in classes - known.keys()}
    taken = {label: name for name, label in known.items()}
    for shows, label in added.items():
        if label in taken:
            raise Fault(f'Expected a label of its own for {shows} but received "{label}", that of {taken[label]}')
        taken[label] = shows
    return dict(sorted({**known, **added}.items()))


def checks_of(course: Course, known: dict[str, str]) -> dict[str, list[Picture]]:
    """What to compare on: the images held out and those of what was known, or all at once where those held out show new
    classes alone, for which the old model has no answer."""
    if not any(picture.shows in known for picture in course.checked):
        return {"known": [*course.known, *course.checked]}
    return {"checked": course.checked, **({"known": course.known} if course.known else {})}


def _read(place: Path, option: str, seed: int, limit: int | None = None) -> Gathered:
    """Images, with a line for each file that is left out."""
    found = read_images(place, option, limit, seed)
    for name, reason in found.left_out.items():
        say(f"  {option}: {name} left out: {reason}")
    return found
