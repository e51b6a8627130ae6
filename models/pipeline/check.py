"""Step `check`: measures a model as it would be served and holds it against the recipe's gates.

    models check wide-resnet --calibrate-on train.parquet --data val.parquet

Accuracy and agreement are those of the service's own code in Node.js. Pixels and first classes are compared with those
of Pillow, torchvision and PyTorch on up to PARITY_IMAGES of the images. A gate that fails ends the build; its sentence
says which number.
"""

import csv
import io
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from pipeline import export, node
from pipeline.faults import Fault
from pipeline.gates import as_rows, failures, judge, same_runtime
from pipeline.labels import read_labels
from pipeline.optimize import probes, to_input
from pipeline.pack import write_folder
from pipeline.processor import INT8_CLASSES, classes_here
from pipeline.quantize import card_input, float_table, open_session, to_float_input
from pipeline.recipe import MODELS
from pipeline.steps import Context, hash_of_data, progress, say

VERSION = 1
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
    }


def run(context: Context) -> dict:
    """Measures; raises Fault with a sentence for each gate that fails."""
    variants = context.result("optimize")["variants"]
    folder = Path(context.result("optimize")["folder"])
    here = classes_here()
    served = next((entry for entry in variants if entry["instructions"] in here), None)
    int8 = next((entry for entry in variants if entry["instructions"] in here and entry["precision"] == "int8"), None)

    found = [entry["measured"]["largestDifferenceToPlainGraph"] for entry in variants if entry["optimizedBy"]]
    figures: dict[str, float | None] = {"optimized_difference": max(found, default=None)}
    for candidate in context.result("quantize")["candidates"][:1]:
        figures["agreement"] = candidate["held_out_agreement"]  # until labeled data, if given, says it better
    measured: dict[str, dict] = {entry["name"]: dict(entry["measured"]) for entry in variants}
    for entry in variants:
        measured[entry["name"]]["bytes"] = size_of(folder, entry)
    if served is not None:
        figures["load_ms"] = load_ms(folder / served["file"], served["optimizedBy"] is not None)
        measured[served["name"]]["loadMs"] = round(figures["load_ms"], 1)
    if int8 is not None:
        counts = node_counts(folder / int8["file"])
        candidate = context.result("quantize")["candidates"][0]
        figures["float_convolutions"] = products_left(counts, candidate["excluded_products"])
        figures["quantize_nodes"] = counts["QuantizeLinear"] + counts["DequantizeLinear"]
        figures["int8_bytes"] = measured[int8["name"]]["bytes"]
        float32_ms, int8_ms = times(context, folder, variants, int8)
        figures["speedup"] = float32_ms / int8_ms if int8["instructions"] in INT8_CLASSES else None
        measured[int8["name"]] |= {
            "nodes": dict(sorted(counts.items())),
            "runMs": round(int8_ms, 3),
            "float32RunMs": round(float32_ms, 3),
        }

    accuracy: list[dict] = []
    if context.options.data is None:
        say("  no accuracy, agreement or parity: --data names no labeled images")
    else:
        figures |= measure_on_data(context, variants, int8, measured, accuracy)

    gates = [same_runtime(onnxruntime.__version__, service_runtime()), *judge(context.recipe.gates, figures)]
    for gate in gates:
        say(f"  {gate.sentence}")
    failed = failures(gates)
    if failed:
        raise Fault("\n".join(gate.sentence for gate in failed))
    return {
        "gates": as_rows(gates),
        "variants": [{**entry, "measured": measured[entry["name"]]} for entry in variants],
        "accuracy": accuracy,
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


def load_ms(file: Path, is_optimized: bool) -> float:
    """Median milliseconds to make a session of a file."""

    def load() -> float:
        start = time.perf_counter()
        open_session(file, "disabled" if is_optimized else "all")
        return (time.perf_counter() - start) * 1000

    return statistics.median(load() for _ in range(LOADS))


def times(context: Context, folder: Path, variants: list[dict], int8: dict) -> tuple[float, float]:
    """Median milliseconds of a run in float32 and in int8, on one thread, in turns: both see the same machine."""
    float32 = next((entry for entry in variants if entry["precision"] == "float32" and entry["optimizedBy"]), None)
    file = folder / float32["file"] if float32 else Path(context.result("export")["onnx"])
    given = float32["input"] if float32 else card_input(context.recipe.input)
    runs = [
        timed(open_session(file, "disabled" if float32 else "all"), given),
        timed(open_session(folder / int8["file"], "disabled" if int8["optimizedBy"] else "all"), int8["input"]),
    ]
    found: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for run_ms, into in zip(runs, found, strict=True):
            until = time.perf_counter() + SHORTEST_MS / 1000 / TURNS
            into.append(run_ms())
            while time.perf_counter() < until:
                into.append(run_ms())
    return statistics.median(found[0]), statistics.median(found[1])


def timed(session: onnxruntime.InferenceSession, given: dict) -> Callable[[], float]:
    """A function that runs the session once and returns the milliseconds that it took; run once already."""
    feed = {given["name"]: to_input(probes(given["crop"])[-1], given)}
    session.run(None, feed)

    def run_ms() -> float:
        start = time.perf_counter()
        session.run(None, feed)
        return (time.perf_counter() - start) * 1000

    return run_ms


def measure_on_data(
    context: Context, variants: list[dict], int8: dict | None, measured: dict[str, dict], accuracy: list[dict]
) -> dict[str, float | None]:
    """The figures that need labeled images; adds to what is measured of the variants and to the card's accuracy."""
    data = context.options.data
    models = context.folder / "models"
    write_folder(context, models / context.recipe.name, variants, gates=[], accuracy=[])
    portable = evaluate(context, models, "portable")
    figures: dict[str, float | None] = {"float_top1": portable["top1"]}
    accuracy.append(accuracy_row(context, portable, "portable"))
    if int8 is not None:
        found = evaluate(context, models, int8["name"])
        agreement = share_of_same(portable["classes"], found["classes"])
        figures |= {"agreement": agreement, "top1_loss": portable["top1"] - found["top1"]}
        tops = {"top1": found["top1"], "float32Top1": portable["top1"]}
        measured[int8["name"]] |= {**tops, "agreementWithFloat32": round(agreement, 4)}
        accuracy.append(accuracy_row(context, found, int8["name"]))

    pixels = context.folder / "pixels.npy"
    node.pixels(data, context.recipe.input, pixels, limit=PARITY_IMAGES, seed=1)
    with open(pixels.with_suffix(".tsv"), encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    return figures | parity(context, rows, np.load(pixels, mmap_mode="r"), portable["classes"])


def evaluate(context: Context, models: Path, variant: str) -> dict:
    """Accuracy by the service's own code, and the first class of each image by its name."""
    predictions = context.folder / f"{variant}.tsv"
    name = context.recipe.name
    result = node.evaluate(models, [name], context.options.data, variant=variant, predictions=predictions)
    with open(predictions, encoding="utf-8", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        classes = {row["image"]: row[name] for row in rows}
    (score,) = result["scores"]
    return {**score, "classes": classes}


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


def parity(context: Context, rows: list[dict], pixels: np.ndarray, served: dict[str, str]) -> dict[str, float | None]:
    """How far the service's pixels and first classes are from those of torchvision and PyTorch on the same files."""
    import torch

    recipe = context.recipe.input
    expected_pixels = reference(recipe.resize, recipe.crop, recipe.kernel)
    torch.set_num_threads(1)  # as ONNX Runtime's in this step
    model = export.torch_model(context)
    floats = float_table(recipe.mean, recipe.std)
    classes = [label["class"] for label in read_labels(context.recipe)]
    differences: dict[str, list[float]] = {"parity_larger": [], "parity_smaller": []}
    same: list[bool] = []
    show = progress("parity", len(rows))
    for done, (row, image, encoded) in enumerate(zip(rows, pixels, originals(context.options.data, rows), strict=True)):
        expected = expected_pixels(encoded)
        is_larger = min(int(row["width"]), int(row["height"])) >= recipe.resize
        difference = float(np.abs(image.astype(np.int16) - expected).mean())
        differences["parity_larger" if is_larger else "parity_smaller"].append(difference)
        if row["image"] in served:
            with torch.inference_mode():
                best = int(model(torch.from_numpy(to_float_input(expected, floats)))[0].argmax())
            same.append(classes[best] == served[row["image"]])
        show(done + 1)
    means = {name: statistics.mean(found) if found else None for name, found in differences.items()}
    return means | {"path_agreement": statistics.mean(same) if same else None}


def reference(resize: int, crop: int, kernel: str) -> Callable[[bytes], np.ndarray]:
    """A function from an encoded image to torchvision's pixels, uint8 [crop, crop, 3], upright as in the service."""
    from PIL import Image, ImageOps
    from torchvision import transforms

    modes = {"linear": transforms.InterpolationMode.BILINEAR, "cubic": transforms.InterpolationMode.BICUBIC}
    transform = transforms.Compose([transforms.Resize(resize, modes[kernel]), transforms.CenterCrop(crop)])

    def to_pixels(encoded: bytes) -> np.ndarray:
        return np.asarray(transform(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")))

    return to_pixels


def originals(data: Path, rows: list[dict]) -> Iterator[bytes]:
    """The encoded images of a folder or a Parquet file by the names that the service's tools give them."""
    if data.is_dir():
        for row in rows:
            places = [folder / row["image"] for folder in (data, data / "images", data / "val" / "images")]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise Fault(f"Expected a file for {places[0]} but received none")
            yield found.read_bytes()
        return
    import pyarrow.parquet

    images = pyarrow.parquet.read_table(data, columns=["image"])["image"]
    for row in rows:
        yield images[int(row["image"])].as_py()
