"""Step `check`: measures a model as it would be served and holds it against the recipe's gates.

    models check wide-resnet --calibrate-on train.parquet --data val.parquet

Accuracy and agreement are those of the service's own code in Node.js. Where Pillow is installed, pixels and first classes
are compared with those that it gives on up to PARITY_IMAGES of the images. A gate that fails ends the build; its
sentence names the figure.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from pipeline import node
from pipeline.faults import Fault
from pipeline.gates import judge, same_runtime
from pipeline.graph import open_session
from pipeline.images import probes
from pipeline.optimize import to_input
from pipeline.pack import write_folder
from pipeline.processor import INT8_CLASSES, classes_here
from pipeline.pixel import card_input
from pipeline.recipe import MODELS
from pipeline.steps import Context, hash_of_data, say

VERSION = 2
PARITY_IMAGES = 1000  # an agreement of 99 % is then known to 0.3 points
SHORTEST_MS = 500  # each model is run for at least this long, in turns
TURNS = 10
LOADS = 5  # the median of so many: the first one may read from the disk
PRODUCTS = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


def inputs(context: Context) -> dict:
    """What the figures depend on."""
    return {
        "variants": [[entry["name"], entry["sha256"]] for entry in context.result("optimize")["variants"]],
        "onnx": context.result("export")["sha256"],
        "gates": context.recipe.part("gates", "input", "labels"),
        "data": hash_of_data(context.options.data),
        "data_name": context.options.data_name,
        "version": context.version,
        "onnxruntime": [onnxruntime.__version__, service_runtime()],
        "pillow": find_spec("PIL") is not None,
    }


def run(context: Context) -> dict:
    """Measures; raises Fault with a sentence for each gate that fails."""
    variants = context.result("optimize")["variants"]
    folder = Path(context.result("optimize")["folder"])
    usable = [entry for entry in variants if entry["instructions"] in classes_here()]
    int8 = next((entry for entry in usable if entry["precision"] == "int8"), None)

    found = [entry["measured"]["largestDifferenceToPlainGraph"] for entry in variants if entry["optimizedBy"]]
    figures: Figures = {"optimized_difference": max(found, default=None)}
    for candidate in context.result("quantize")["candidates"][:1]:
        figures["agreement"] = candidate["held_out_agreement"]  # until labeled data, if given, says it better
    measured = {entry["name"]: {**entry["measured"], "bytes": size_of(folder, entry)} for entry in variants}
    for served in usable[:1]:
        figures["load_ms"] = load_ms(folder / served["file"], level_of(served))
        measured[served["name"]]["loadMs"] = round(figures["load_ms"], 1)
    if int8 is not None:
        figures |= measure_int8(context, folder, variants, int8, measured[int8["name"]])

    accuracy: list[dict] = []
    if context.options.data is None:
        say("  no accuracy, agreement or parity: --data names no labeled images")
    else:
        figures |= measure_on_data(context, variants, int8, measured, accuracy)

    gates = [same_runtime(onnxruntime.__version__, service_runtime()), *judge(context.recipe.gates, figures)]
    for gate in gates:
        say(f"  {gate.sentence}")
    failed = [gate.sentence for gate in gates if gate.passed is False]
    if failed:
        raise Fault("\n".join(failed))
    return {
        "gates": [asdict(gate) for gate in gates],
        "variants": [{**entry, "measured": measured[entry["name"]]} for entry in variants],
        "accuracy": accuracy,
    }


Figures = dict[str, float | None]
"""By the names of gates.LIMITS; None where nothing could be measured."""


def measure_int8(context: Context, folder: Path, variants: list[dict], int8: dict, measured: dict) -> Figures:
    """The figures of this processor's int8 variant; adds to what is `measured` of it."""
    counts = node_counts(folder / int8["file"])
    excluded = context.result("quantize")["candidates"][0]["excluded_products"]
    float32_ms, int8_ms = times(context, folder, variants, int8)
    measured |= {
        "nodes": dict(sorted(counts.items())),
        "runMs": round(int8_ms, 3),
        "float32RunMs": round(float32_ms, 3),
    }
    return {
        "float_convolutions": products_left(counts, excluded),
        "quantize_nodes": counts["QuantizeLinear"] + counts["DequantizeLinear"],
        "int8_bytes": measured["bytes"],
        "speedup": float32_ms / int8_ms if int8["instructions"] in INT8_CLASSES else None,
    }


def service_runtime() -> str:
    """The version of onnxruntime-node that the service pins."""
    package = json.loads((MODELS.parent / "package.json").read_text(encoding="utf-8"))
    return str(package["dependencies"]["onnxruntime-node"])


def size_of(folder: Path, variant: dict) -> int:
    """Bytes of a variant's graph and of its weights."""
    files = [variant["file"], *(entry["file"] for entry in variant.get("externalData", []))]
    return sum((folder / name).stat().st_size for name in files)


def node_counts(file: Path) -> Counter[str]:
    """How many nodes of each operator the graph has."""
    return Counter(entry.op_type for entry in onnx.load(file, load_external_data=False).graph.node)


def products_left(counts: Counter[str], excluded: int) -> int:
    """How many convolutions and matrix products are in float32 without having been excluded."""
    return max(0, sum(counts[kind] for kind in PRODUCTS) - excluded)


def level_of(variant: dict) -> str:
    """How a variant's file is loaded: what an optimizer wrote is taken as it is."""
    return "disabled" if variant["optimizedBy"] else "all"


def load_ms(file: Path, level: str) -> float:
    """Median milliseconds to make a session of a file."""

    def load() -> float:
        start = time.perf_counter()
        open_session(file, level)
        return (time.perf_counter() - start) * 1000

    return statistics.median(load() for _ in range(LOADS))


def times(context: Context, folder: Path, variants: list[dict], int8: dict) -> tuple[float, float]:
    """Median milliseconds of a run in float32 and in int8, on one thread, in turns: both see the same machine."""
    plain = card_input(context.recipe.input)
    portable = {"file": context.result("export")["onnx"], "optimizedBy": None, "input": plain}
    optimized = (entry for entry in variants if entry["precision"] == "float32" and entry["optimizedBy"])
    runs = [
        timed(open_session(folder / entry["file"], level_of(entry)), entry["input"])
        for entry in (next(optimized, portable), int8)
    ]
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for run_ms, into in zip(runs, found, strict=True):
            until = time.perf_counter() + SHORTEST_MS / 1000 / TURNS
            into.append(run_ms())
            while time.perf_counter() < until:
                into.append(run_ms())
    return statistics.median(found[0]), statistics.median(found[1])


def timed(session: onnxruntime.InferenceSession, given: dict) -> Callable[[], float]:
    """A function that runs the session once and returns the milliseconds that it took; run once already."""
    feed = {given["name"]: to_input(probes(2, given["crop"])[-1], given)}
    session.run(None, feed)

    def run_ms() -> float:
        start = time.perf_counter()
        session.run(None, feed)
        return (time.perf_counter() - start) * 1000

    return run_ms


def measure_on_data(
    context: Context, variants: list[dict], int8: dict | None, measured: dict[str, dict], accuracy: list[dict]
) -> Figures:
    """The figures that need labeled images; adds to what is measured of the variants and to the card's accuracy."""
    data = context.options.data
    models = context.folder / "models"
    write_folder(context, models / context.recipe.name, variants, gates=[], accuracy=[])
    portable = evaluate(context, models, "portable")
    figures: Figures = {"float_top1": portable["top1"]}
    accuracy.append(accuracy_row(context, portable, "portable"))
    if int8 is not None:
        found = evaluate(context, models, int8["name"])
        agreement = share_of_same(portable["classes"], found["classes"])
        figures |= {"agreement": agreement, "top1_loss": portable["top1"] - found["top1"]}
        tops = {"top1": found["top1"], "float32Top1": portable["top1"]}
        measured[int8["name"]] |= {**tops, "agreementWithFloat32": round(agreement, 4)}
        accuracy.append(accuracy_row(context, found, int8["name"]))

    if find_spec("PIL") is None:
        say("  no parity: Pillow is not installed (bash models/setup.sh training)")
        return figures
    pixels = context.folder / "pixels.npy"
    node.pixels(data, context.recipe.input, pixels, limit=PARITY_IMAGES, seed=1)
    from pipeline.parity import parity

    rows = node.read_table(pixels.with_suffix(".tsv"))
    return figures | parity(context, rows, np.load(pixels, mmap_mode="r"), portable["classes"])


def evaluate(context: Context, models: Path, variant: str) -> dict:
    """Accuracy by the service's own code, and the first class of each image by its name."""
    predictions = context.folder / f"{variant}.tsv"
    name = context.recipe.name
    result = node.evaluate(models, [name], context.options.data, variant=variant, predictions=predictions)
    return {**result["scores"][0], "classes": {row["image"]: row[name] for row in node.read_table(predictions)}}


def accuracy_row(context: Context, score: dict, variant: str) -> dict:
    """A row of the card's list of measured accuracies."""
    data = context.options.data_name or f"{context.options.data.name}, {score['images']} images"
    return {
        "data": data,
        "path": "sharp and onnxruntime-node",
        "variant": variant,
        "images": score["images"],
        "top1": round(score["top1"], 4),
        "top5": round(score["top5"], 4),
    }


def share_of_same(one: dict[str, str], other: dict[str, str]) -> float:
    """The share of the images of both that have the same first class in both; raises Fault where there are none."""
    names = one.keys() & other.keys()
    if not names:
        raise Fault("Expected the same images for two evaluations but received none in common")
    return sum(one[name] == other[name] for name in names) / len(names)
