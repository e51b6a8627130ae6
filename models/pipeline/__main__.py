"""The command `models`: builds model folders that the service takes, compares them and retrains.

    models/.venv/bin/models build wide-resnet-50-2 --calibrate-on photos --data photos
    models/.venv/bin/models optimize --folder models/wide-resnet-50-2@imagenet-1k-v2      on another processor

Reading recipes and printing help needs the standard library alone, and no step needs PyTorch. `pipeline/compare.py` and `pipeline/retrain.py`
bring `arguments(parser)` and `main(args) -> int`, whose result is the exit status; so does each module of `training/`
that `models train` names.
"""

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path

from pipeline import compare, retrain, ukis
from pipeline.card import read_card
from pipeline.faults import Fault
from pipeline.processor import classes_here
from pipeline.recipe import NAME, list_recipes, read_recipe
from pipeline.steps import STEPS, Options, run_steps
from training import clouds, digits

SEEDS = 2**32  # what numpy takes
HELP = {
    "fetch": "bring the recipe's weights and check their hash",
    "export": "write them as an ONNX graph",
    "quantize": "make int8 candidates, calibrated on images",
    "optimize": "write one optimized variant for each instruction-set class, or add this processor's to a folder",
    "check": "measure and hold against the recipe's gates",
    "pack": "write the model folder",
    "build": "all of these; what was done before is skipped",
}

EXTRAS = dict.fromkeys(("torch", "torchvision", "PIL", "pyarrow", "scipy"), "training")
EXTRAS |= {"tifffile": "clouds", "lightgbm": "clouds"}
"""Packages that only some commands need, and the argument of setup.sh that installs them."""

FEATURES_HELP = "add the embedding to the graphs of a model folder as a second output, for ?features=1"
TRAIN_HELP = "train one of the embedded models and write its folder"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="models", description="Model folders for the service, from published weights.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for step in (*STEPS, "build"):
        command = commands.add_parser(step, help=HELP[step], description=_sentence(HELP[step]))
        _step_arguments(command, is_optimize=step == "optimize", is_build=step == "build")
        command.set_defaults(run=_build, refuse=command.error)
    for name, module in (("compare", compare), ("retrain", retrain)):
        command = commands.add_parser(name, help=module.HELP, description=_sentence(module.HELP))
        module.arguments(command)
        command.set_defaults(run=module.main)
    command = commands.add_parser("features", help=FEATURES_HELP, description=_sentence(FEATURES_HELP))
    command.add_argument("folder", type=Path, metavar="FOLDER", help="the folder, whose files and card are written anew")
    command.set_defaults(run=_add_features)
    command = commands.add_parser("train", help=TRAIN_HELP, description=_sentence(TRAIN_HELP))
    models = command.add_subparsers(dest="model", required=True, metavar="MODEL")
    for name, module in (("clouds", clouds), ("digits", digits)):
        command = models.add_parser(name, help=module.HELP, description=_sentence(module.HELP))
        module.arguments(command)
        command.set_defaults(run=module.main)
    return top


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _step_arguments(command: argparse.ArgumentParser, is_optimize: bool, is_build: bool) -> None:
    what = command.add_mutually_exclusive_group(required=True) if is_optimize else command
    published = (ukis.NAME,) if is_build else ()
    choice = f"one of {', '.join((*list_recipes(), *published))}, or a file NAME.toml"
    what.add_argument("recipe", nargs="?" if is_optimize else None, metavar="RECIPE", help=choice)
    if is_optimize:
        what.add_argument("--folder", type=Path, help="a folder made on another processor, to add this one's files to")
    weights = command.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=Path, metavar="FILE", help="weights to take instead of the recipe's")
    weights.add_argument("--random-weights", type=_seed, metavar="SEED", help="take random ones: right for speed alone")
    add = command.add_argument
    add("--calibrate-on", type=Path, metavar="DATA", help="images for int8, a folder or a Parquet file")
    add("--data", type=Path, metavar="DATA", help="labeled images to measure accuracy on")
    add("--data-name", metavar="TEXT", help="their name in the card; default: the file's, and their number")
    add("--version", type=_version, help="the card's version; default: the recipe's")
    add("--out", type=Path, default=Options.out, metavar="DIR", help="folder of model folders")
    add("--work", type=Path, default=Options.work, metavar="DIR", help="where results are kept")


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < SEEDS):
        raise argparse.ArgumentTypeError(f'Expected a whole number from 0 to {SEEDS - 1} but received "{text}"')
    return int(text)


def _version(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f'Expected lower-case words joined by hyphens but received "{text}"')
    return text


def _build(args: argparse.Namespace) -> int:
    options = Options(**{entry.name: getattr(args, entry.name) for entry in fields(Options)})
    if args.recipe is None:
        if options != Options():
            args.refuse("argument --folder: not allowed with any other option")
        return _add_variants(args.folder)
    if args.command == "build" and args.recipe == ukis.NAME:
        return ukis.build(args.out.resolve(), args.work.resolve() / ukis.NAME)
    recipe = read_recipe(args.recipe)
    for option, place in (("--calibrate-on", args.calibrate_on), ("--data", args.data)):
        if place is not None and not place.exists():  # now, not after minutes
            raise Fault(f"Expected a folder or a Parquet file for {option} but received {place}")
    last = "pack" if args.command == "build" else args.command
    result = run_steps(recipe, options, last).result(last)
    for key, value in result.items():
        if isinstance(value, str | int | float):
            print(f"{key}\t{value}")
    return 0


def _add_variants(folder: Path) -> int:
    read_card(folder)  # before the packages that do the work are loaded
    from pipeline.optimize import add_variants

    added = add_variants(folder, classes_here())
    print("\n".join(added) or f"{folder} has all that this processor can add")
    return 0


def _add_features(args: argparse.Namespace) -> int:
    read_card(args.folder)  # before the packages that do the work are loaded
    from pipeline.features import add_features

    print("\n".join(add_features(args.folder)))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 when done, 1 after a fault, 2 after wrong usage."""
    args = parser().parse_args(arguments)
    try:
        return args.run(args)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    except ModuleNotFoundError as cause:
        if cause.name not in EXTRAS:
            raise
        found = f"received none: bash models/setup.sh {EXTRAS[cause.name]} installs it"
        print(f"Expected the package {cause.name} for models {args.command} but {found}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes after the last finished step", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
