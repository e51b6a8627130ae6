"""The steps of the pipeline: each runs once for the same inputs and is skipped afterwards.

    context = run_steps(read_recipe("mobilenet"), Options(work=Path("models/.work")), "export")
    context.result("export")["onnx"]

A step is a module `pipeline/STEP.py` with

    VERSION: int                        raised when the step's code makes something else of the same inputs
    inputs(context) -> dict             what its result depends on, JSON-able: parts of the recipe, hashes of files
    run(context) -> dict                does the work; files go into context.folder, the result is JSON-able
    holds(context, result) -> bool      optional: whether what the step wrote elsewhere is still there

The result is kept as WORK/RECIPE/STEP/KEY/result.json, KEY being the hash of version and inputs, beside the files. It
is written last: what was interrupted is done again, from an empty folder. So is a result whose files are gone.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, Recipe

STEPS = ("fetch", "export", "quantize", "optimize", "check", "pack")
ACCURACY_GATES = ("min_top1", "min_path_agreement", "min_agreement", "max_top1_loss")
HERE_MARK = "{folder}"  # stands in result.json for the step's own folder, so that the work folder may be moved


@dataclass(frozen=True)
class Options:
    """What the command line adds to a recipe, as `models build --help` explains it; paths may be relative."""

    weights: Path | None = None
    random_weights: int | None = None
    calibrate_on: Path | None = None
    data: Path | None = None
    data_name: str | None = None
    version: str | None = None
    out: Path = MODELS
    work: Path = MODELS / ".work"


@dataclass(frozen=True)
class Context:
    """What a step sees."""

    recipe: Recipe
    options: Options
    folder: Path = Path()
    """The running step's own folder, empty when it starts."""
    results: Mapping[str, dict] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """The recipe's work folder, shared by its steps; downloads lie in it."""
        return self.options.work.resolve() / self.recipe.name

    @property
    def version(self) -> str:
        """The version that the card will carry."""
        seed = self.options.random_weights
        return self.options.version or (self.recipe.version if seed is None else f"random-{seed}")

    def result(self, step: str) -> dict:
        """What an earlier step returned."""
        return self.results[step]


def run_steps(recipe: Recipe, options: Options, last: str) -> Context:
    """Runs the steps up to `last`, each unless its result is kept; raises Fault. Returns all results."""
    context = Context(_without_accuracy(recipe) if options.random_weights is not None else recipe, options)
    for step in STEPS[: STEPS.index(last) + 1]:
        module = import_module(f"pipeline.{step}")
        key = hash_of({"version": module.VERSION, "inputs": module.inputs(context)})
        folder = context.work / step / key[:16]
        result = _kept(folder)
        if result is not None and hasattr(module, "holds") and not module.holds(context, result):
            result = None
        say(f"{recipe.name}: {step}{' (done before)' if result is not None else ''}")
        if result is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            result = module.run(replace(context, folder=folder))
            _keep(folder, result)
        context = replace(context, results={**context.results, step: result})
    return context


def _without_accuracy(recipe: Recipe) -> Recipe:
    """Random weights name a random class: gates on accuracy say nothing about them, those on speed and size do."""
    off = [name for name in ACCURACY_GATES if name in recipe.gates]
    if off:
        say(f"{recipe.name}: random weights, so these gates are off: {', '.join(off)}")
    return replace(recipe, gates={name: limit for name, limit in recipe.gates.items() if name not in off})


def _kept(folder: Path) -> dict | None:
    try:
        text = (folder / "result.json").read_text(encoding="utf-8")
    except OSError:
        return None
    files = re.findall(rf'"{re.escape(HERE_MARK)}([^"]*)"', text)
    if any(not Path(f"{folder}{file}").exists() for file in files):
        return None
    return json.loads(text.replace(HERE_MARK, json.dumps(str(folder))[1:-1]))


def _keep(folder: Path, result: dict) -> None:
    text = json.dumps(result, indent=2, allow_nan=False).replace(json.dumps(str(folder))[1:-1], HERE_MARK)
    part = folder / "result.part"
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / "result.json")


def hash_of(value: object) -> str:
    """SHA-256 of a JSON-able value, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def hash_of_file(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def hash_of_data(data: Path | None) -> str | None:
    """A key for images: of a folder the names, sizes and times of its files, of a file its content; None for None.

    Raises Fault when there is neither.
    """
    if data is None:
        return None
    if data.is_file():
        return hash_of_file(data)
    if not data.is_dir():
        raise Fault(f"Expected a folder or a file of images but received {data}")
    stats = [(str(file.relative_to(data)), file.stat()) for file in sorted(data.rglob("*")) if file.is_file()]
    return hash_of([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def say(text: str) -> None:
    """A line for the person at the terminal; standard output is left to results."""
    print(text, file=sys.stderr, flush=True)


def progress(label: str, total: int) -> Callable[[int], None]:
    """A function to call with what is done of `total`: one line on a terminal, else one for each quarter."""
    shown = -1
    is_terminal = sys.stderr.isatty()

    def show(done: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        reached = percent if is_terminal else percent // 25 * 25
        if reached != shown:
            shown = reached
            end = "" if is_terminal and reached < 100 else "\n"
            print(f"{chr(13) * is_terminal}  {label}: {reached} %", end=end, file=sys.stderr, flush=True)

    return show
