"""`models retrain`: new images by folder per class → a new version of the embedded pair, beside the old one.

    models retrain --data photos --rehearse train.parquet --known val.parquet --version photos-1

Reads the weights out of the served folders, fine-tunes them, takes them through the pipeline (`export` to `pack`) and
ends with `models compare` on images held out, and on images of what the models knew. Status 0: every challenger may be
released; 1: one may not. What was done is kept in the work folder: the same command goes on where it was interrupted.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import chart, compare, node
from pipeline.faults import Fault
from pipeline.gather import (
    HOLD_OUT,
    Gathered,
    Picture,
    by_class,
    hold_out,
    read_images,
    refuse_few,
    refuse_leaks,
    without,
    write_parquet,
)
from pipeline.recipe import LEAST_CALIBRATED, MODELS, DataSet, Input, Labels, Recipe, Weights, read_recipe
from pipeline.restore import read_card, restore
from pipeline.steps import Options, hash_of, hash_of_file, progress, run_steps, say

if TYPE_CHECKING:
    from pipeline.tune import Lesson

HELP = "teach the embedded pair new images, and pack what became of it as a new version"

PAIR = ("wide-resnet", "mobilenet")
# The better one of 0.0001 and 0.0003 for each, on the checked photos and 2,000 validation images of models/README.md.
RATES = {"wide-resnet": 1e-4, "mobilenet": 3e-4}
REHEARSED = 5000  # former images: 25 of each of 200 classes, so that no class is left out and decoding takes seconds
ENLARGED = (
    1.25  # training images by the side of the model's input: a crop of 64 % of the area has as many pixels as that
)
TITLES = {"checked": "images held out", "known": "images of what was known"}
IMAGES_PER_LOSS = 5  # a gate on a loss is asked where the loss that it allows is at least so many images
VERSION = 2  # raised when the code makes something else of the same inputs


@dataclass(frozen=True)
class Base:
    """A model to begin with: its folder, card and classes, and the recipe of its name."""

    folder: Path
    card: dict
    labels: dict[str, str]
    recipe: Recipe


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


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models retrain`."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DATA",
        help="new images: a folder for each class, or a Parquet file",
    )
    add(
        "--model",
        choices=[*PAIR, "both"],
        default="both",
        help="which one; only a pair with the same labels can be served",
    )
    add("--from", dest="base", metavar="VERSION", help="begin with NAME@VERSION; default: NAME")
    add(
        "--check",
        type=Path,
        metavar="DATA",
        help=f"images to check by; default: {HOLD_OUT:.0%}% of each class of --data",
    )
    add(
        "--rehearse",
        type=Path,
        metavar="DATA",
        help="images that the models were trained on, mixed in against forgetting",
    )
    add("--known", type=Path, metavar="DATA", help="images of what the models knew, to check that they still do")
    add("--version", help="of the new folders; default: made of the old one and of what was learned")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="times that each new image is seen")
    length.add_argument("--minutes", type=float, metavar="N", help="for each model, in place of --epochs")
    add("--seed", type=int, default=1, help="which images are held out, and in what order the others are seen")
    add(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        metavar="N",
    )
    add("--out", type=Path, default=Options.out, metavar="DIR", help="folder of model folders, old and new")
    add("--work", type=Path, default=Options.work, metavar="DIR", help="where results are kept")


def main(args: argparse.Namespace) -> int:
    """Runs `models retrain`; the exit status. Raises Fault."""
    for name in ("epochs", "minutes", "threads"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise Fault(f"Expected a number above 0 for --{name} but received {value}")
    names = PAIR if args.model == "both" else (args.model,)
    bases = [read_base(args.out, name, args.base) for name in names]
    course = plan_course(args, bases)
    return teach(args, bases, course)


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
    if len(learned) + len(rehearsed) < LEAST_CALIBRATED and any(has_int8(base.card) for base in bases):
        raise Fault(
            f"Expected at least {LEAST_CALIBRATED} images to learn from or to rehearse (int8 is calibrated on them) for "
            f"--data and --rehearse but received {len(learned) + len(rehearsed)}"
        )
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


def teach(args: argparse.Namespace, bases: Sequence[Base], course: Course) -> int:
    """Tunes, packs and compares each model; 0 when each may be released, else 1."""
    key = key_of(args, bases, course)
    work = args.work.resolve() / "retrain" / key[:16]
    work.mkdir(parents=True, exist_ok=True)
    labels_file = work / "labels.json"
    labels_file.write_text(json.dumps(course.labels, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in ("learned", "rehearsed"):
        write_parquet(getattr(course, name), work / f"{name}.parquet")
    write_parquet([*course.learned, *course.rehearsed], work / "calibration.parquet")
    checks = checks_of(course, bases[0].labels)
    for name, pictures in checks.items():
        write_parquet(pictures, work / f"{name}.parquet")
    version = args.version or f"{bases[0].card['version']}-{key[:8]}"

    verdicts = []
    for base in bases:
        name = base.recipe.name
        checkpoint = work / f"{name}.pt"
        folder = args.out / f"{name}@{version}"
        if folder.exists() and not checkpoint.exists():
            raise Fault(f"Expected a new version for --version but received {version}, which is there: {folder}")
        if not checkpoint.exists():
            _tune(args, base, course, work, checkpoint)
        widest = list(checks)[-1]
        images = len(checks[widest])
        recipe = retrained(base, course, labels_file, version, images, checkpoint)
        options = Options(
            calibrate_on=work / "calibration.parquet",
            data=work / f"{widest}.parquet",
            data_name=f"{images:,} {TITLES[widest]}",
            version=version,
            out=args.out,
            work=args.work,
        )
        packed = Path(run_steps(recipe, options, "pack").result("pack")["folder"])
        verdicts += [_compared(base.folder, packed, work, kind) for kind in checks]
    return 0 if all(verdicts) else 1


def checks_of(course: Course, known: dict[str, str]) -> dict[str, list[Picture]]:
    """What to compare on: the images held out and those of what was known, or all at once where those held out show new
    classes alone, for which the old model has no answer."""
    if not any(picture.shows in known for picture in course.checked):
        return {"known": [*course.known, *course.checked]}
    return {"checked": course.checked, **({"known": course.known} if course.known else {})}


def key_of(args: argparse.Namespace, bases: Sequence[Base], course: Course) -> str:
    """A hash of everything that the tuned weights depend on."""
    marks = {
        name: sorted((one.sha256, one.shows) for one in getattr(course, name))
        for name in ("learned", "rehearsed", "checked")
    }
    settings = {name: getattr(args, name) for name in ("epochs", "minutes", "seed")}
    weights = [(base.card["name"], base.card["sha256"]) for base in bases]
    return hash_of({"version": VERSION, "weights": weights, "labels": course.labels, **marks, **settings})


def retrained(base: Base, course: Course, labels: Path, version: str, images: int, checkpoint: Path) -> Recipe:
    """The recipe of the new version: the old one's, with its own labels, data set and provenance, and the gates that
    so many `images` to measure on can decide."""
    trained = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    former = base.card["dataSet"]
    classes = len(by_class(course.learned))
    note = (
        f"Retrained from {base.card['version']} on {len(course.learned):,} images of {classes} classes, with "
        f"{len(course.rehearsed):,} of the former ones mixed in: {trained['images']:,} images seen in "
        f"{trained['minutes']:.1f} minutes."
    )
    return replace(
        base.recipe,
        version=version,
        weights=Weights(source="file", file=str(checkpoint.resolve()), sha256=hash_of_file(checkpoint)),
        # What the old version was measured without, the new one has not either: like is compared with like.
        quantize=replace(base.recipe.quantize, enabled=base.recipe.quantize.enabled and has_int8(base.card)),
        provenance=f"{base.card['provenance']} {note}",
        labels=Labels(source="file", file=str(labels)),
        data_set=DataSet(
            name=f"{former['name']} and {len(course.learned):,} images of {classes} classes",
            classes=len(course.labels),
            images=former["images"] + len(course.learned),
            license=former["license"],
            source=f"{former['source']}, and images given to models retrain",
        ),
        gates={
            name: limit
            for name, limit in base.recipe.gates.items()
            if name != "max_top1_loss" or limit * images >= IMAGES_PER_LOSS
        },
    )


def has_int8(card: dict) -> bool:
    """Whether a folder has a variant of integers beside its portable file."""
    return any(variant["precision"] == "int8" for variant in card.get("variants", []))


def _read(place: Path, option: str, seed: int, limit: int | None = None) -> Gathered:
    """Images, with a line for each file that is left out."""
    found = read_images(place, option, limit, seed)
    for name, reason in found.left_out.items():
        say(f"  {option}: {name} left out: {reason}")
    return found


def _tune(args: argparse.Namespace, base: Base, course: Course, work: Path, checkpoint: Path) -> None:
    """Writes the tuned weights, and what they took beside them; raises Fault."""
    import torch

    from pipeline.tune import BATCH, Tuning, grow, has_bfloat16, tune

    torch.set_num_threads(args.threads)
    name = base.recipe.name
    tuning = Tuning(learning_rate=RATES[name], seed=args.seed, bfloat16=name == "wide-resnet" and has_bfloat16())
    if args.minutes is not None:
        tuning = replace(tuning, epochs=None, minutes=args.minutes)
    elif args.epochs is not None:
        tuning = replace(tuning, epochs=args.epochs)
    classes = list(course.labels)
    fresh = [position for position, shows in enumerate(classes) if shows not in base.labels]
    model = grow(restore(base.folder, base.recipe.architecture), list(base.labels), classes)
    side = round(base.card["input"]["crop"] * ENLARGED)
    new = _lesson(work, "learned", course.learned, side, base, classes)
    rehearsal = _lesson(work, "rehearsed", course.rehearsed, side, base, classes) if course.rehearsed else None
    say(f"{name}: tune")
    show = progress("tuning", 1000)
    steps = 0

    def count(share: float, _loss: float) -> None:
        nonlocal steps
        steps += 1
        show(int(share * 1000))

    started = time.monotonic()
    tuned = tune(model, new, rehearsal, tuning, fresh, count)
    trained = {"images": steps * BATCH, "minutes": (time.monotonic() - started) / 60}
    say(f"  {trained['images']:,} images in {trained['minutes']:.1f} minutes")
    checkpoint.with_suffix(".json").write_text(
        json.dumps({**trained, "tuning": asdict(tuning)}, indent=2) + "\n", encoding="utf-8"
    )
    part = checkpoint.with_suffix(".part")
    torch.save({"average": tuned.state_dict(), "wnids": classes, **trained}, part)
    os.replace(part, checkpoint)


def _lesson(work: Path, kind: str, pictures: Sequence[Picture], side: int, base: Base, classes: list[str]) -> "Lesson":
    """The pictures as the service decodes them, larger than the model takes them."""
    import numpy as np

    from pipeline.tune import Lesson

    out = work / f"{kind}-{side}.npy"
    if not out.exists():
        kernel = base.recipe.input.kernel
        node.pixels(
            work / f"{kind}.parquet", Input(resize=side, crop=side, mean=(0, 0, 0), std=(1, 1, 1), kernel=kernel), out
        )
    rows = [line.split("\t") for line in out.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]]
    refused = sorted(set(range(len(pictures))) - {int(row[0]) for row in rows})
    for row in refused:
        say(f"  {pictures[row].name} left out: the service does not decode it")
    place = {shows: row for row, shows in enumerate(classes)}
    return Lesson(np.load(out), np.array([place[row[1]] for row in rows]))


def _compared(old: Path, new: Path, work: Path, kind: str) -> bool:
    """Prints how the new folder did beside the old one on the images of `kind`, and draws it; whether it may be
    released."""
    champion, challenger = compare.read_model(old), compare.read_model(new)
    found = compare.compare(champion, challenger, work / f"{kind}.parquet", compare.rules_of(challenger.name, False))
    labels = compare.labels_of(champion, challenger)
    drawn = work / f"{challenger.title}-{kind}.svg"
    drawn.write_text(chart.draw(found, labels), encoding="utf-8")
    print(f"{challenger.title}: {TITLES[kind]}\n{compare.to_text(found, labels)}\n{drawn}\n", flush=True)
    return found.released
