"""Step 2: the portable float32 graph, opset 17, of static shapes, compared with PyTorch; its golden case.

    models export wide-resnet-50-2 --random-weights 7

A recipe whose weights are an ONNX graph has it checked and taken as it is. The result: `onnx` (path), `sha256`,
`bytes`, `max_difference` (of a logit, as a share of the largest), `largest_logit`, `golden` (logits of the generated
image), `tolerance`, `torch` (whether the difference is to PyTorch; else it is to the golden case beside the source),
`trained` (what a checkpoint of training says of itself: images, minutes, note).
"""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from pipeline.architectures import build
from pipeline.faults import Fault
from pipeline.features import hide
from pipeline.graph import OPSET, check_graph, fold_padding, run_graph
from pipeline.images import normalized, probes
from pipeline.labels import read_labels
from pipeline.learned import store_bytes
from pipeline.light import round_weights
from pipeline.recipe import INPUT_NAME, OUTPUT_NAME
from pipeline.restore import restore
from pipeline.seeded import seeded
from pipeline.steps import Context, hash_of_file

VERSION = 1
PROBES = 5  # images that are compared: the golden one and four generated ones
LEAST_TOLERANCE = 0.001  # of the golden case, of a logit: below, another processor's order of sums could fail it
TOLERANCE_FACTOR = 2  # what another processor may differ by more than PyTorch does here


def inputs(context: Context) -> dict:
    """The weights, the architecture, the input's size and the labels."""
    fetched = context.result("fetch")
    return {
        **context.recipe.part("architecture", "input", "export"),
        "labels": read_labels(context.recipe),
        "kind": fetched["kind"],
        "sha256": fetched["sha256"],
        "random": context.options.random_weights,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def run(context: Context) -> dict:
    """Writes model.onnx; raises Fault."""
    recipe, fetched = context.recipe, context.result("fetch")
    labels = read_labels(recipe)
    file = context.folder / "model.onnx"
    images = normalized(probes(PROBES, recipe.input.crop), recipe.input.mean, recipe.input.std)
    trained: dict = {}
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    if fetched["kind"] == "onnx":
        source = Path(fetched["weights"])
        shutil.copyfile(source, file)
        hide(file)
        check_graph(file, source, recipe, len(labels))
        logits = run_graph(file, images)
        expected = _golden_beside(source, fetched["sha256"], logits)
    else:
        model, trained = _model(context, labels)
        write_graph(model, images[:1], len(labels), file)
        if recipe.export.byte_weights:
            written = onnx.load(file)
            store_bytes(written.graph)
            onnx.save(written, file)
        check_graph(file, file, recipe, len(labels))
        logits = run_graph(file, images)
        with torch.inference_mode():
            expected = np.stack([model(torch.from_numpy(image[None]))[0].numpy() for image in images])
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
        "max_difference": difference,
        "largest_logit": largest,
        "golden": [round(float(logit), 5) for logit in logits[0]],
        "tolerance": max(LEAST_TOLERANCE, float(f"{TOLERANCE_FACTOR * limit * golden:.1g}")),
        "torch": fetched["kind"] != "onnx",
        "trained": trained,
    }


def load_weights(file: Path, architecture: str, labels: list[dict[str, str]]) -> tuple[torch.nn.Module, dict]:
    """The architecture with the weights of a PyTorch file, for inference, and what a checkpoint says of its training.

    Raises Fault about a file that is cut short or no PyTorch file, about another architecture, other classes, and NaN.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as cause:
        found = "a file cut short or of another kind"
        raise Fault(f"Expected weights in PyTorch's format for {file} but received {found}") from cause
    trained = {}
    if isinstance(content, dict) and isinstance(content.get("average"), dict) and "wnids" in content:
        if content["wnids"] != [label["class"] for label in labels]:
            found = f"{len(content['wnids'])} others"
            raise Fault(f"Expected the recipe's {len(labels)} classes for {file} but received {found}")
        trained = {key: content[key] for key in ("images", "minutes", "note") if key in content}
        content = content["average"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise Fault(f"Expected tensors by name for {file} but received something else")

    model = build(architecture, len(labels)).eval()
    wanted = model.state_dict()
    # Old files lack what batch norms count in training; inference does not read it.
    lacking = [name for name in wanted if name not in content and not name.endswith("num_batches_tracked")]
    unknown = [name for name in content if name not in wanted]
    reshaped = [name for name in wanted if name in content and content[name].shape != wanted[name].shape]
    differences = (lacking, "missing"), (unknown, "too many"), (reshaped, "of another shape")
    found = ", ".join(f"{len(names)} tensors {what} ({names[0]})" for names, what in differences if names)
    if found:
        classes = f"{architecture} with {len(labels)} classes"
        raise Fault(f"Expected the weights of {classes} for {file} but received {found}")
    for name, value in content.items():
        if not torch.isfinite(value).all():
            raise Fault(f"Expected finite weights for {file} but received NaN or infinity in {name}")
    model.load_state_dict(content, strict=False)
    return model, trained


def torch_model(context: Context) -> torch.nn.Module:
    """The model in PyTorch, for inference; what came as an ONNX graph is read back out of it."""
    fetched = context.result("fetch")
    if fetched["kind"] == "onnx":
        return restore(Path(fetched["weights"]).parent, context.recipe.architecture)
    return _model(context, read_labels(context.recipe))[0]


def _model(context: Context, labels: list[dict[str, str]]) -> tuple[torch.nn.Module, dict]:
    recipe, fetched = context.recipe, context.result("fetch")
    if fetched["kind"] == "random":
        model, trained = seeded(recipe.architecture, len(labels), context.options.random_weights, recipe.input), {}
    else:
        model, trained = load_weights(Path(fetched["weights"]), recipe.architecture, labels)
    if recipe.export.byte_weights:
        round_weights(model)
    return model, trained


def write_graph(model: torch.nn.Module, image: np.ndarray, classes: int, file: Path) -> None:
    """Writes the model as ONNX for inputs of the image's shape; batch norms after convolutions are folded into them."""
    with warnings.catch_warnings():
        # The graph exporter that follows this one writes opset 18 and later only, in larger files.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.from_numpy(image),),
            str(file),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            opset_version=OPSET,
            dynamo=False,
        )
    written = onnx.load(file)
    fold_padding(written.graph)
    for value, side in zip(written.graph.output[0].type.tensor_type.shape.dim, (1, classes), strict=True):
        value.dim_value = side  # the exporter leaves them open behind a padding
    onnx.save(written, file)


def _golden_beside(source: Path, sha256: str, logits: np.ndarray) -> np.ndarray:
    """The golden logits of the card beside `source`, if it is that card's file; else the logits themselves."""
    try:
        card = json.loads(source.with_name("model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return logits[:1]
    return np.array([card["golden"]["logits"]]) if card.get("sha256") == sha256 else logits[:1]
