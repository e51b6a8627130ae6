"""The command `models`: builds model folders that the service takes, compares them and retrains.

    models/.venv/bin/models build wide-resnet-50-2 --calibrate-on photos --data photos
    models/.venv/bin/models optimize --folder models/wide-resnet-50-2@imagenet-1k-v2      on another processor

Reading recipes and printing help needs the standard library alone. `pipeline/compare.py` and `pipeline/retrain.py`
bring `arguments(parser)` and `main(args) -> int`, whose result is the exit status.
"""

import argparse
import re
import sys
from pathlib import Path

from pipeline import compare, retrain
from pipeline.faults import Fault
from pipeline.processor import classes_here
from pipeline.recipe import NAME, list_recipes, read_recipe
from pipeline.restore import read_card
from pipeline.steps import STEPS, Options, run_steps

SEEDS = 2**32  # what numpy takes
HELP = {
    "fetch": "bring the recipe's weights and check their hash",
    "export": "write them as an ONNX graph and compare it with PyTorch",
    "quantize": "make int8 candidates, calibrated on images",
    "optimize": "write one optimized variant for each instruction-set class, or add this processor's to a folder",
    "check": "measure and hold against the recipe's gates",
    "pack": "write the model folder",
    "build": "all of these; what was done before is skipped",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="models", description="Model folders for the service, from published weights.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for step in (*STEPS, "build"):
        text = HELP[step]
        command = commands.add_parser(step, help=text, description=f"{text[0].upper()}{text[1:]}.")
        recipe = {"metavar": "RECIPE", "help": f"one of {', '.join(list_recipes())}, or a file NAME.toml"}
        if step == "optimize":
            what = command.add_mutually_exclusive_group(required=True)
            what.add_argument("recipe", nargs="?", **recipe)
            what.add_argument(
                "--folder", type=Path, help="add this processor's files to a model folder that was made on another"
            )
        else:
            command.add_argument("recipe", **recipe)
        weights = command.add_mutually_exclusive_group()
        weights.add_argument("--weights", type=Path, metavar="FILE", help="take this file for the recipe's weights")
        weights.add_argument(
            "--random-weights", type=_seed, metavar="SEED", help="take random ones: right for speed alone"
        )
        command.add_argument("--calibrate-on", type=Path, metavar="DATA", help="images, a folder or a Parquet file")
        command.add_argument("--data", type=Path, metavar="DATA", help="labeled images to measure accuracy on")
        command.add_argument(
            "--data-name", metavar="TEXT", help="what the card calls them; default: their name and number"
        )
        command.add_argument("--version", type=_version, help="the card's version; default: the recipe's")
        command.add_argument("--out", type=Path, default=Options.out, metavar="DIR", help="folder of model folders")
        command.add_argument("--work", type=Path, default=Options.work, metavar="DIR", help="where results are kept")
        command.set_defaults(run=_build, refuse=command.error)
    for name, module in (("compare", compare), ("retrain", retrain)):
        command = commands.add_parser(name, help=module.HELP, description=f"{module.HELP[0].upper()}{module.HELP[1:]}.")
        module.arguments(command)
        command.set_defaults(run=module.main)
    return top


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < SEEDS):
        raise argparse.ArgumentTypeError(f'Expected a whole number from 0 to {SEEDS - 1} but received "{text}"')
    return int(text)


def _version(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f'Expected lower-case words joined by hyphens but received "{text}"')
    return text


def _build(args: argparse.Namespace) -> int:
    options = Options(
        weights=args.weights,
        random_weights=args.random_weights,
        calibrate_on=args.calibrate_on,
        data=args.data,
        data_name=args.data_name,
        version=args.version,
        out=args.out,
        work=args.work,
    )
    if args.recipe is None:
        if options != Options():
            args.refuse("argument --folder: not allowed with any other option")
        return _add_variants(args.folder)
    recipe = read_recipe(args.recipe)
    for option, place in (("--calibrate-on", args.calibrate_on), ("--data", args.data)):
        if place is not None and not place.exists():  # told now, not after minutes
            raise Fault(f"Expected a folder or a Parquet file for {option} but received {place}")
    last = "pack" if args.command == "build" else args.command
    result = run_steps(recipe, options, last).result(last)
    for key, value in result.items():
        if isinstance(value, str | int | float):
            print(f"{key}\t{value}")
    return 0


def _add_variants(folder: Path) -> int:
    read_card(folder)  # told before the packages that do the work are loaded
    from pipeline.optimize import add_variants

    added = add_variants(folder, classes_here())
    print("\n".join(added) or f"{folder} has all that this processor can add")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 when done, 1 after a fault, 2 after wrong usage."""
    args = parser().parse_args(arguments)
    try:
        return args.run(args)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last finished step", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
