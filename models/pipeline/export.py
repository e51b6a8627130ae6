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
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.architectures import build
from pipeline.faults import Fault
from pipeline.labels import read_labels
from pipeline.learned import store_bytes
from pipeline.light import round_weights
from pipeline.recipe import INPUT_NAME, OUTPUT_NAME, Recipe
from pipeline.restore import golden_input, restore
from pipeline.seeded import generated_images, normalized, seeded
from pipeline.steps import Context, hash_of_file

VERSION = 1
OPSET = 17  # read by ONNX Runtime since 1.12
PROBES = 4  # generated images that are compared beside the golden one
PROBE_SEED = 1
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
    images = probe_inputs(recipe)
    trained: dict = {}
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    if fetched["kind"] == "onnx":
        source = Path(fetched["weights"])
        shutil.copyfile(source, file)
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
        raise Fault(
            f"Expected logits within {limit:g} of the largest for {file} but received a difference of {difference:.3g}"
        )
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


def probe_inputs(recipe: Recipe) -> np.ndarray:
    """float32 [1 + PROBES, 3, crop, crop]: the golden image first."""
    given = {"crop": recipe.input.crop, "mean": recipe.input.mean, "std": recipe.input.std}
    images = generated_images(PROBES, recipe.input.crop, PROBE_SEED)
    return np.concatenate([golden_input(given), normalized(images, recipe.input)])


def load_weights(file: Path, architecture: str, labels: list[dict[str, str]]) -> tuple[torch.nn.Module, dict]:
    """The architecture with the weights of a PyTorch file, for inference, and what a checkpoint says of its training.

    Raises Fault about a file that is cut short or no PyTorch file, about another architecture, other classes, and NaN.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as cause:
        raise Fault(
            f"Expected weights in PyTorch's format for {file} but received a file cut short or of another kind"
        ) from cause
    trained = {}
    if isinstance(content, dict) and isinstance(content.get("average"), dict) and "wnids" in content:
        if content["wnids"] != [label["class"] for label in labels]:
            raise Fault(
                f"Expected the recipe's {len(labels)} classes for {file} but received {len(content['wnids'])} others"
            )
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
    if lacking or unknown or reshaped:
        found = [
            f"{len(names)} tensors {what} ({names[0]})"
            for names, what in ((lacking, "missing"), (unknown, "too many"), (reshaped, "of another shape"))
            if names
        ]
        raise Fault(
            f"Expected the weights of {architecture} with {len(labels)} classes for {file}"
            f" but received {', '.join(found)}"
        )
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


def fold_padding(graph: onnx.GraphProto) -> None:
    """Moves constant zero padding into the convolution that alone reads it: TensorFlow's SAME, uneven by a pixel."""
    constants = _constants(graph)
    for pad in [entry for entry in graph.node if entry.op_type == "Pad"]:
        mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
        amounts = constants.get(pad.input[1])
        value = constants.get(pad.input[2], np.ones(1)) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
        after = [entry for entry in graph.node if pad.output[0] in entry.input]
        if mode != b"constant" or amounts is None or np.any(value) or [entry.op_type for entry in after] != ["Conv"]:
            continue
        own = next(attribute for attribute in after[0].attribute if attribute.name == "pads")
        if len(amounts) == 8 and not amounts[[0, 1, 4, 5]].any():  # of batch and channels
            own.ints[:] = [int(one + other) for one, other in zip(own.ints, amounts[[2, 3, 6, 7]], strict=True)]
            after[0].input[0] = pad.input[0]
    _drop_unread(graph)
    del graph.value_info[:]  # shapes that were inferred before


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """What does not depend on the image, weights included, by name."""
    found = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for entry in graph.node:
        if all(name in found for name in entry.input if name):
            values = ReferenceEvaluator(entry).run(None, {name: found[name] for name in entry.input if name})
            found.update(zip(entry.output, values, strict=True))
    return found


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {value.name for value in graph.output}
    kept = []
    for entry in reversed(graph.node):
        if read.intersection(entry.output):
            kept.append(entry)
            read.update(entry.input)
    kept.reverse()
    weights = [weight for weight in graph.initializer if weight.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)


def check_graph(file: Path, source: Path, recipe: Recipe, classes: int) -> None:
    """Raises Fault, naming `source`, unless the graph is valid, of opset 17 or older, folded, and of these shapes."""
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
    except Exception as cause:  # protobuf, the checker and shape inference each raise their own kinds
        raise Fault(
            f"Expected a valid ONNX graph for {source} but received a file cut short or of another kind"
        ) from cause
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > OPSET:
        raise Fault(f"Expected opset {OPSET} or older for {source} but received opset {opset}")
    side = recipe.input.crop
    for values, name, shape in (
        (model.graph.input, INPUT_NAME, [1, 3, side, side]),
        (model.graph.output, OUTPUT_NAME, [1, classes]),
    ):
        found = [(value.name, [axis.dim_value for axis in value.type.tensor_type.shape.dim]) for value in values]
        if found != [(name, shape)]:
            raise Fault(f"Expected {name} of shape {shape} for {source} but received {_named(found)}")
    convolved = {name for node in model.graph.node if node.op_type == "Conv" for name in node.output}
    unfolded = [
        node.name for node in model.graph.node if node.op_type == "BatchNormalization" and node.input[0] in convolved
    ]
    if unfolded:
        raise Fault(
            f"Expected batch norms folded into the convolutions before them for {source} but received {unfolded[0]}"
        )


def _named(values: list[tuple[str, list[int]]]) -> str:
    return ", ".join(f"{name} of shape {shape}" for name, shape in values) or "none"


def run_graph(file: Path, images: np.ndarray) -> np.ndarray:
    """The logits by ONNX Runtime, float32 [n, classes]; raises Fault when it refuses or a logit is not finite."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        logits = np.stack([session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0][0] for image in images])
    except Exception as cause:  # onnxruntime's exceptions have no common class
        raise Fault(
            f"Expected a graph that ONNX Runtime {onnxruntime.__version__} runs for {file} but received {cause}"
        ) from cause
    if not np.isfinite(logits).all():
        raise Fault(f"Expected finite logits for {file} but received NaN or infinity")
    return logits


def _golden_beside(source: Path, sha256: str, logits: np.ndarray) -> np.ndarray:
    """The golden logits of the card beside `source`, if it is that card's file; else the logits themselves."""
    try:
        card = json.loads(source.with_name("model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return logits[:1]
    return np.array([card["golden"]["logits"]]) if card.get("sha256") == sha256 else logits[:1]
