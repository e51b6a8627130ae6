"""The repository's Node.js programs: images as the service decodes them, its answers, and the formatter.

    pixels(Path("photos"), recipe.input, Path("photos.npy"), limit=500)
    evaluate(Path("models"), ["mobilenet"], Path("photos"))["scores"][0]["top1"]

Runs the compiled tools in `dist/` (npm run build); MODELS_DIST names another folder, NODE another Node.js.
"""

import csv
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, Input

ROOT = MODELS.parent
FORMATTER = ROOT / "node_modules/@biomejs/biome/bin/biome"


def pixels(data: Path, input: Input, out: Path, limit: int | None = None, seed: int = 1) -> None:
    """Writes `out`, a .npy of uint8 [n, crop, crop, 3] RGB, and a .tsv of names and classes beside it; raises Fault.

    `limit` images are taken evenly over the classes; `seed` says which.
    """
    words = ["--data", data, "--resize", input.resize, "--crop", input.crop, "--kernel", input.kernel, "--out", out]
    _run(_tool("pixels"), [*words, *(["--limit", limit, "--seed", seed] if limit is not None else [])])


def evaluate(models_dir: Path, names: Sequence[str], data: Path, **options: object) -> dict:
    """What `npm run evaluate -- --json` prints: scores by model with top1, top5, medianRunMs, agreement; raises Fault.

    `options`: variant (of the card, or `portable`; default: the service's choice for this processor), limit and
    predictions (a file to write).
    """
    words = ["--models-dir", models_dir, "--models", ",".join(names), "--data", data, "--json"]
    for name, value in options.items():
        words += [f"--{name}", value] if value is not None else []
    return json.loads(_run(_tool("evaluate"), words))


def read_table(file: Path) -> list[dict]:
    """The rows of a table that `pixels` or `evaluate` wrote, by the names of its columns."""
    with open(file, encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def formatted(text: str) -> str:
    """JSON as the repository formats it; raises Fault."""
    return _run(FORMATTER, ["format", "--stdin-file-path=card.json"], text)


def run_tool(name: str, words: Sequence[object]) -> str:
    """What one of the tools in `models/` prints; raises Fault."""
    return _run(_tool(name), words)


def _tool(name: str) -> Path:
    return Path(os.environ.get("MODELS_DIST", ROOT / "dist")).resolve() / "models" / f"{name}.js"


def _run(file: Path, words: Sequence[object], given: str | None = None) -> str:
    if not file.is_file():
        raise Fault(f"Expected the installed and compiled service (npm ci, npm run build) for {file} but received none")
    program = os.environ.get("NODE", "node")
    words = [str(word.resolve() if isinstance(word, Path) else word) for word in words]
    try:
        # From the root, where the service finds its packages; what it writes for a person passes through.
        command = [program, str(file), *words]
        done = subprocess.run(command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as cause:
        raise Fault(f"Expected Node.js for {program} but received nothing") from cause
    if done.returncode != 0:
        raise Fault(f"Expected exit status 0 for {file.name} {' '.join(words)} but received {done.returncode}")
    return done.stdout
