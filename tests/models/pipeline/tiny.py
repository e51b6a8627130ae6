"""A graph of a few nodes that has what quantization meets: a batch norm of its own, a sum, a mean, shared weights.

    source = write_tiny(Path(folder) / "tiny.onnx")
    images = tiny_images(40)
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, WIDTH, CLASSES = 16, 8, 10
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_tiny(file: Path, spoiled: bool = False) -> Path:
    """Saves the graph; `spoiled`: with a weight that is not a number."""
    random = np.random.default_rng(3)

    def weights(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)

    constants = {
        "stem": weights(WIDTH, 3, 3, 3),
        "stem_bias": weights(WIDTH),
        "scale": (1 + weights(WIDTH) / 4).astype(np.float32),
        "shift": weights(WIDTH),
        "middle": weights(WIDTH),
        "variance": np.abs(1 + weights(WIDTH) / 4).astype(np.float32),
        "body": weights(WIDTH, WIDTH, 3, 3),
        "head": weights(CLASSES, WIDTH) * 4,
        "head_bias": weights(CLASSES),
    }
    if spoiled:
        constants["body"][0] = np.nan
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "stem", "stem_bias"], ["a"], "first", **same),
        helper.make_node("Relu", ["a"], ["b"], "first_relu"),
        helper.make_node("MaxPool", ["b"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["m", "scale", "shift", "middle", "variance"], ["c"], "norm"),
        helper.make_node("Relu", ["c"], ["d"], "norm_relu"),
        helper.make_node("Identity", ["stem_bias"], ["second_bias"], "same_bias"),
        helper.make_node("Conv", ["d", "body", "second_bias"], ["e"], "second", **same),
        helper.make_node("Add", ["e", "m"], ["f"], "sum"),
        helper.make_node("Relu", ["f"], ["g"], "sum_relu"),
        helper.make_node("ReduceMean", ["g"], ["h"], "mean", axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["h", "head", "head_bias"], ["logits"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file


def tiny_images(count: int) -> np.ndarray:
    """uint8 [count, SIDE, SIDE, 3]: one color each, with grain."""
    random = np.random.default_rng(5)
    colors = random.integers(0, 256, (count, 1, 1, 3))
    grain = random.integers(-30, 31, (count, SIDE, SIDE, 3))
    return np.clip(colors + grain, 0, 255).astype(np.uint8)
