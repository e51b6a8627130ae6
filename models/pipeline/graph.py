"""ONNX graphs: sessions and checks of the portable graph.

    check_graph(file, file, recipe, classes=200)
    logits = run_graph(file, images)
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

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


def run_graph(model: onnx.ModelProto | Path, images: np.ndarray, level: str = "all") -> np.ndarray:
    """The logits by ONNX Runtime, float32 [n, classes]; raises Fault when it refuses or a logit is not finite."""
    file = model if isinstance(model, Path) else "a graph in memory"
    try:
        session = open_session(model, level)
        logits = np.stack([session.run([OUTPUT_NAME], {INPUT_NAME: image[None]})[0][0] for image in images])
    except Exception as cause:  # onnxruntime's exceptions have no common class
        version = onnxruntime.__version__
        raise Fault(f"Expected a graph that ONNX Runtime {version} runs for {file} but received {cause}") from cause
    return finite(logits, file)


def finite(logits: np.ndarray, file: Path | str) -> np.ndarray:
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
