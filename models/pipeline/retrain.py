"""`models retrain`: new images by folder per class → a new version of the embedded pair, beside the old one.

    models retrain --data photos --rehearse train.parquet --known val.parquet --version photos-1

Reads the weights out of the served folders, fine-tunes them, takes them through the pipeline (`export` to `pack`) and
ends with `models compare` on images held out, and on images of what the models knew. Status 0: every challenger may be
released; 1: one may not. What was done is kept in the work folder: the same command resumes where it was interrupted.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import compare, node
from pipeline.course import Base, Course, checks_of, plan_course, read_base
from pipeline.faults import Fault
from pipeline.gather import HOLD_OUT, Picture, by_class, write_parquet
from pipeline.recipe import DataSet, Input, Labels, Recipe, Weights
from pipeline.steps import Options, hash_of, hash_of_file, progress, run_steps, say

if TYPE_CHECKING:
    from training.tune import Lesson

HELP = "teach the embedded pair new images, and pack what became of it as a new version"

PAIR = ("wide-resnet", "mobilenet")
# The better one of 0.0001 and 0.0003 for each, on the checked photos and 2,000 validation images of models/README.md.
RATES = {"wide-resnet": 1e-4, "mobilenet": 3e-4}
ENLARGED = 1.25  # training images by the side of the input: a crop of 64 % of the area has as many pixels as that
TITLES = {"checked": "images held out", "known": "images of what was known"}
IMAGES_PER_LOSS = 5  # a gate on a loss is checked where the loss that it allows is at least so many images
VERSION = 3  # raised when the code makes something else of the same inputs


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models retrain`."""
    add = parser.add_argument
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    images = {"type": Path, "metavar": "DATA"}
    add("--data", required=True, **images, help="new images: a folder for each class, or a Parquet file")
    add("--model", choices=[*PAIR, "both"], default="both", help="only a pair with the same labels can be served")
    add("--from", dest="base", metavar="VERSION", help="begin with NAME@VERSION; default: NAME")
    add("--check", **images, help=f"images to check by; default: {HOLD_OUT:.0%}% of each class of --data")
    add("--rehearse", **images, help="images that the models were trained on, mixed in against forgetting")
    add("--known", **images, help="images of what the models knew, to check that they still do")
    add("--version", help="of the new folders; default: made of the old one and of what was learned")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="times that each new image is seen")
    length.add_argument("--minutes", type=float, metavar="N", help="for each model, in place of --epochs")
    add("--seed", type=int, default=1, help="which images are held out, and in what order the others are seen")
    add("--threads", type=int, default=threads, metavar="N")
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
    return teach(args, bases, plan_course(args, bases))


def teach(args: argparse.Namespace, bases: Sequence[Base], course: Course) -> int:
    """Tunes, packs and compares each model; 0 when each may be released, else 1."""
    key = key_of(args, bases, course)
    work = args.work.resolve() / "retrain" / key[:16]
    work.mkdir(parents=True, exist_ok=True)
    labels_file = work / "labels.json"
    labels_file.write_text(json.dumps(course.labels, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    checks = checks_of(course, bases[0].labels)
    calibration = [*course.learned, *course.rehearsed]
    files = {"learned": course.learned, "rehearsed": course.rehearsed, "calibration": calibration, **checks}
    for name, pictures in files.items():
        write_parquet(pictures, work / f"{name}.parquet")
    version = args.version or f"{bases[0].card['version']}-{key[:8]}"
    widest = list(checks)[-1]
    images = len(checks[widest])
    options = Options(
        calibrate_on=work / "calibration.parquet",
        data=work / f"{widest}.parquet",
        data_name=f"{images:,} {TITLES[widest]}",
        version=version,
        out=args.out,
        work=args.work,
    )
    verdicts = []
    for base in bases:
        checkpoint = work / f"{base.recipe.name}.pt"
        folder = args.out / f"{base.recipe.name}@{version}"
        if not checkpoint.exists():
            if folder.exists():
                raise Fault(f"Expected a new version for --version but received {version}, which is there: {folder}")
            _tune(args, base, course, work, checkpoint)
        recipe = retrained(base, course, labels_file, version, images, checkpoint)
        packed = Path(run_steps(recipe, options, "pack").result("pack")["folder"])
        verdicts += [_compared(base.folder, packed, work, kind) for kind in checks]
    return 0 if all(verdicts) else 1


def key_of(args: argparse.Namespace, bases: Sequence[Base], course: Course) -> str:
    """A hash of everything that the tuned weights depend on."""
    kinds = ("learned", "rehearsed", "checked")
    marks = {name: sorted((one.pixels, one.shows) for one in getattr(course, name)) for name in kinds}
    settings = {name: getattr(args, name) for name in ("epochs", "minutes", "seed")}
    weights = [(base.card["name"], base.card["sha256"]) for base in bases]
    return hash_of({"version": VERSION, "weights": weights, "labels": course.labels, **marks, **settings})


def retrained(base: Base, course: Course, labels: Path, version: str, images: int, checkpoint: Path) -> Recipe:
    """The recipe of the new version: the old one's, with its own labels, data set and provenance, and the gates that
    so many `images` to measure on can decide."""
    trained = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    former, old, classes = base.card["dataSet"], base.recipe, len(by_class(course.learned))
    learned = f"{len(course.learned):,} images of {classes} classes"
    note = (
        f"Retrained from {base.card['version']} on {learned}, with {len(course.rehearsed):,} of the former ones mixed "
        f"in: {trained['images']:,} images seen in {trained['minutes']:.1f} minutes."
    )
    undecided = {"max_top1_loss"} if old.gates.get("max_top1_loss", 1) * images < IMAGES_PER_LOSS else set()
    return replace(
        old,
        version=version,
        weights=Weights(source="file", file=str(checkpoint.resolve()), sha256=hash_of_file(checkpoint)),
        # What the old version was measured without, the new one has not either: like is compared with like.
        quantize=replace(old.quantize, enabled=old.quantize.enabled and base.has_int8),
        provenance=f"{base.card['provenance']} {note}",
        labels=Labels(source="file", file=str(labels)),
        data_set=DataSet(
            name=f"{former['name']} and {learned}",
            classes=len(course.labels),
            images=former["images"] + len(course.learned),
            license=former["license"],
            source=f"{former['source']}, and images given to models retrain",
        ),
        gates={name: limit for name, limit in old.gates.items() if name not in undecided},
    )


def _tune(args: argparse.Namespace, base: Base, course: Course, work: Path, checkpoint: Path) -> None:
    """Writes the tuned weights, and what they took beside them; raises Fault."""
    import torch

    from training.restore import restore
    from training.tune import BATCH, Tuning, grow, has_bfloat16, tune

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
    new = _lesson(work, "learned", course.learned, base, classes)
    rehearsal = _lesson(work, "rehearsed", course.rehearsed, base, classes) if course.rehearsed else None
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
    notes = json.dumps({**trained, "tuning": asdict(tuning)}, indent=2)
    checkpoint.with_suffix(".json").write_text(notes + "\n", encoding="utf-8")
    part = checkpoint.with_suffix(".part")
    torch.save({"average": tuned.state_dict(), "wnids": classes, **trained}, part)
    os.replace(part, checkpoint)


def _lesson(work: Path, kind: str, pictures: Sequence[Picture], base: Base, classes: list[str]) -> "Lesson":
    """The pictures as the service decodes them, larger than the model takes them."""
    import numpy as np

    from training.tune import Lesson

    side = round(base.card["input"]["crop"] * ENLARGED)
    out = work / f"{kind}-{side}.npy"
    if not out.exists():
        given = Input(resize=side, crop=side, mean=(0, 0, 0), std=(1, 1, 1), kernel=base.recipe.input.kernel)
        node.pixels(work / f"{kind}.parquet", given, out)
    rows = node.read_table(out.with_suffix(".tsv"))
    for row in sorted(set(range(len(pictures))) - {int(row["image"]) for row in rows}):
        say(f"  {pictures[row].name} left out: the service does not decode it")
    return Lesson(np.load(out), np.array([classes.index(row["wnid"]) for row in rows]))


def _compared(old: Path, new: Path, work: Path, kind: str) -> bool:
    """Prints how the new folder did beside the old one on the images of `kind`; whether it may be released."""
    champion, challenger = compare.read_model(old), compare.read_model(new)
    found = compare.compare(champion, challenger, work / f"{kind}.parquet", compare.rules_of(challenger.name, False))
    told = compare.to_text(found, champion.labels | challenger.labels)
    print(f"{challenger.title}: {TITLES[kind]}\n{told}\n", flush=True)
    return found.released
