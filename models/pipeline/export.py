"""Step 2: the portable float32 graph, opset 17, of static shapes, batch norms folded into convolutions; its golden case.

    models export wide-resnet-50-2 --random-weights 7

A recipe whose weights are an ONNX graph has it checked and taken as it is. The result: `onnx` (path), `sha256`,
`bytes`, `max_difference` (of a logit, as a share of the largest, to `compared`: the golden case beside the source, or the
same graph with its batch norms kept), `largest_logit`, `golden` (logits of the generated image), `tolerance`, `trained`
(what a checkpoint of training says of itself: images, minutes, note).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from pipeline.architectures import write_network
from pipeline.checkpoint import read_checkpoint
from pipeline.faults import Fault
from pipeline.features import hide
from pipeline.graph import check_graph, run_graph
from pipeline.images import normalized, probes
from pipeline.labels import read_labels
from pipeline.learned import round_to_bytes, store_bytes
from pipeline.seeded import seeded
from pipeline.steps import Context, hash_of_file

VERSION = 2
PROBES = 5  # images that are compared: the golden one and four generated ones
LEAST_TOLERANCE = 0.001  # of the golden case, of a logit: below, another processor's order of sums could fail it
TOLERANCE_FACTOR = 2  # what another processor may differ by more than the two graphs do here
TRAINED = {"images": int, "minutes": float, "note": str}  # what is told of a checkpoint


def inputs(context: Context) -> dict:
    """The weights, the architecture, the input's size and the labels."""
    fetched = context.result("fetch")
    return {
        **context.recipe.part("architecture", "input", "export"),
        "labels": read_labels(context.recipe),
        "kind": fetched["kind"],
        "sha256": fetched["sha256"],
        "random": context.options.random_weights,
        "onnxruntime": onnxruntime.__version__,
    }


def run(context: Context) -> dict:
    """Writes model.onnx; raises Fault."""
    recipe, fetched = context.recipe, context.result("fetch")
    labels = read_labels(recipe)
    file = context.folder / "model.onnx"
    images = normalized(probes(PROBES, recipe.input.crop), recipe.input.mean, recipe.input.std)
    trained: dict = {}
    if fetched["kind"] == "onnx":
        source = Path(fetched["weights"])
        shutil.copyfile(source, file)
        hide(file)
        check_graph(file, source, recipe, len(labels))
        logits = run_graph(file, images)
        compared, expected = "the golden case of its source", _golden_beside(source, fetched["sha256"], logits)
    else:
        tensors, trained = _tensors(context, labels)
        origin = fetched["weights"] or "random weights"
        model, kept = (
            write_graph(recipe.architecture, tensors, len(labels), recipe.input.crop, origin, norms)
            for norms in ("folded", "kept")
        )
        if recipe.export.byte_weights:
            store_bytes(model.graph)
        onnx.save(model, file)
        check_graph(file, file, recipe, len(labels))
        logits = run_graph(file, images)
        compared, expected = "the same graph with its batch norms kept", run_graph(kept, images, "disabled")
    largest = float(np.abs(logits).max())
    difference = float(np.abs(logits[: len(expected)] - expected).max()) / largest
    limit = recipe.export.max_difference
    if not difference <= limit:
        found = f"a difference of {difference:.3g}"
        raise Fault(f"Expected logits within {limit:g} of the largest for {file} but received {found}")
    golden = float(np.abs(logits[0]).max())
    return {
        "onnx": str(file),
        "sha256": hash_of_file(file),
        "bytes": file.stat().st_size,
        "compared": compared,
        "max_difference": difference,
        "largest_logit": largest,
        "golden": [round(float(logit), 5) for logit in logits[0]],
        "tolerance": max(LEAST_TOLERANCE, float(f"{TOLERANCE_FACTOR * limit * golden:.1g}")),
        "trained": trained,
    }


def _tensors(context: Context, labels: list[dict[str, str]]) -> tuple[Mapping[str, np.ndarray], dict]:
    """The weights by name, rounded to bytes where the recipe asks for it, and what is told of a checkpoint."""
    recipe, fetched = context.recipe, context.result("fetch")
    trained: dict = {}
    if fetched["kind"] == "random":
        tensors = seeded(recipe.architecture, len(labels), context.options.random_weights, recipe.input)
    else:
        file = Path(fetched["weights"])
        tensors, about = read_checkpoint(file)
        classes = about.get("wnids", [label["class"] for label in labels])
        if classes != [label["class"] for label in labels]:
            raise Fault(f"Expected the recipe's {len(labels)} classes for {file} but received {len(classes)} others")
        trained = {key: about[key] for key, kind in TRAINED.items() if isinstance(about.get(key), kind)}
    if recipe.export.byte_weights:
        tensors = {name: round_to_bytes(value) if value.ndim > 1 else value for name, value in tensors.items()}
    return tensors, trained


def write_graph(
    architecture: str, tensors: Mapping[str, np.ndarray], classes: int, side: int, origin: str, norms: str = "folded"
) -> onnx.ModelProto:
    """The architecture with these weights; raises Fault, naming `origin`, about those of another, and about NaN."""
    asked: dict[str, tuple[int, ...]] = {}

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        asked[name] = shape
        value = tensors.get(name)
        if value is None or value.shape != shape:
            return np.zeros(shape, np.float32)  # told of below, all at once
        if not np.isfinite(value).all():
            raise Fault(f"Expected finite weights for {origin} but received NaN or infinity in {name}")
        return value.astype(np.float32, copy=False)

    model, _ = write_network(architecture, classes, side, tensor, norms)
    lacking = [name for name in asked if name not in tensors]
    # What batch norms count in training, and old files lack.
    unknown = [name for name in tensors if name not in asked and not name.endswith("num_batches_tracked")]
    reshaped = [name for name, shape in asked.items() if name in tensors and tensors[name].shape != shape]
    differences = (lacking, "missing"), (unknown, "too many"), (reshaped, "of another shape")
    found = ", ".join(f"{len(names)} tensors {what} ({names[0]})" for names, what in differences if names)
    if found:
        raise Fault(f"Expected the weights of {architecture} with {classes} classes for {origin} but received {found}")
    return model


def _golden_beside(source: Path, sha256: str, logits: np.ndarray) -> np.ndarray:
    """The golden logits of the card beside `source`, if it is that card's file; else the logits themselves."""
    try:
        card = json.loads(source.with_name("model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return logits[:1]
    return np.array([card["golden"]["logits"]]) if card.get("sha256") == sha256 else logits[:1]
