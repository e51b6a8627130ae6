"""ONNX graphs without PyTorch: sessions, checks of the portable graph, and its padding.

    check_graph(file, file, recipe, classes=200)
    logits = run_graph(file, images)
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.faults import Fault
from pipeline.recipe import INPUT_NAME, OUTPUT_NAME, Recipe

OPSET = 17  # read by ONNX Runtime since 1.12


def session_options(level: str = "all") -> onnxruntime.SessionOptions:
    """One thread, as in the service; `level`: all or disabled."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns that an optimized file is bound to this hardware, which its name says
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if level == "all" else levels.ORT_DISABLE_ALL
    return options


def open_session(model: onnx.ModelProto | Path, level: str = "all") -> onnxruntime.InferenceSession:
    """A session of one thread; a graph in memory must be below 2 GB."""
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, session_options(level), providers=["CPUExecutionProvider"])


def run_graph(file: Path, images: np.ndarray) -> np.ndarray:
    """The logits by ONNX Runtime, float32 [n, classes]; raises Fault when it refuses or a logit is not finite."""
    try:
        session = open_session(file)
        logits = np.stack([session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0][0] for image in images])
    except Exception as cause:  # onnxruntime's exceptions have no common class
        version = onnxruntime.__version__
        raise Fault(f"Expected a graph that ONNX Runtime {version} runs for {file} but received {cause}") from cause
    return finite(logits, file)


def finite(logits: np.ndarray, file: Path) -> np.ndarray:
    """The logits; raises Fault, which names the graph, where one is not finite."""
    if not np.isfinite(logits).all():
        raise Fault(f"Expected finite logits for {file} but received NaN or infinity")
    return logits


def check_graph(file: Path, source: Path, recipe: Recipe, classes: int) -> None:
    """Raises Fault, naming `source`, unless the graph is valid, of opset 17 or older, folded, and of these shapes."""
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
    except Exception as cause:  # protobuf, the checker and shape inference each raise their own kinds
        found = "a file cut short or of another kind"
        raise Fault(f"Expected a valid ONNX graph for {source} but received {found}") from cause
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > OPSET:
        raise Fault(f"Expected opset {OPSET} or older for {source} but received opset {opset}")
    image, logits = [1, 3, recipe.input.crop, recipe.input.crop], [1, classes]
    for values, name, shape in ((model.graph.input, INPUT_NAME, image), (model.graph.output, OUTPUT_NAME, logits)):
        found = [(value.name, [axis.dim_value for axis in value.type.tensor_type.shape.dim]) for value in values]
        if found != [(name, shape)]:
            named = ", ".join(f"{name} of shape {shape}" for name, shape in found) or "none"
            raise Fault(f"Expected {name} of shape {shape} for {source} but received {named}")
    convolved = {name for node in model.graph.node if node.op_type == "Conv" for name in node.output}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    unfolded = [node.name for node in norms if node.input[0] in convolved]
    if unfolded:
        raise Fault(f"Expected batch norms folded into convolutions for {source} but received {unfolded[0]}")


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
            kept.insert(0, entry)
            read.update(entry.input)
    weights = [weight for weight in graph.initializer if weight.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
