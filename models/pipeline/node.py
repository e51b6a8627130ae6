"""The one door to the service's own code: images as it decodes them, answers as it gives them.

    pixels(Path("photos"), recipe.input, Path("photos.npy"), limit=500)
    evaluate(Path("models"), ["mobilenet"], Path("photos"))["scores"][0]["top1"]

Runs the compiled tools in `dist/` (npm run build); MODELS_DIST names another folder, NODE another Node.js.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, Input

ROOT = MODELS.parent


def pixels(data: Path, input: Input, out: Path, limit: int | None = None, seed: int = 1) -> None:
    """Writes `out`, a .npy of uint8 [n, crop, crop, 3] RGB, and a .tsv of names and classes beside it; raises Fault.

    `limit` images are taken evenly over the classes; `seed` says which.
    """
    words = ["--data", data, "--resize", input.resize, "--crop", input.crop, "--kernel", input.kernel, "--out", out]
    _run("pixels", [*words, *(["--limit", limit, "--seed", seed] if limit is not None else [])])


def evaluate(
    models_dir: Path,
    names: Sequence[str],
    data: Path,
    variant: str | None = None,
    limit: int | None = None,
    predictions: Path | None = None,
) -> dict:
    """What `npm run evaluate -- --json` prints: scores by model with top1, top5, medianRunMs, agreement; raises Fault.

    `variant` is a variant of the card or `portable`; without it the service's choice for this processor is taken.
    """
    words = ["--models-dir", models_dir, "--models", ",".join(names), "--data", data, "--json"]
    for flag, value in (("--variant", variant), ("--limit", limit), ("--predictions", predictions)):
        words += [flag, value] if value is not None else []
    return json.loads(_run("evaluate", words))


def _run(tool: str, words: Sequence[object]) -> str:
    file = Path(os.environ.get("MODELS_DIST", ROOT / "dist")).resolve() / "models" / f"{tool}.js"
    if not file.is_file():
        raise Fault(f"Expected the compiled service (npm run build) for {file} but received nothing")
    words = [str(word.resolve() if isinstance(word, Path) else word) for word in words]
    try:
        # From the root, where the service finds its packages; what it writes for a person passes through.
        done = subprocess.run(
            [os.environ.get("NODE", "node"), str(file), *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    except FileNotFoundError as cause:
        raise Fault(f"Expected Node.js for {os.environ.get('NODE', 'node')} but received nothing") from cause
    if done.returncode != 0:
        raise Fault(f"Expected exit status 0 for {file.name} {' '.join(words)} but received {done.returncode}")
    return done.stdout
