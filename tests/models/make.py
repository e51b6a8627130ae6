"""Writes the model folders beside this file: small graphs that misbehave.

    python tests/models/make.py        (needs onnx)

moody    does what the first pixel of an image says: any red raises; full green takes seconds; black answers at once, and so
         does the golden case (red 0, green 167, blue 78 of 255).
strange  answers, unless the first pixel has no blue: then its logits are not numbers.
future   is of an operator set that no runtime knows yet.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from turn import body

names = ["cat", "dog"]


def write(name, graph, opset=17):
    """Makes a folder of the graph, whose golden logits are 1 and 2."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if opset == 17:
        checker.check_model(model, full_check=True)
    folder = Path(__file__).parent / name
    folder.mkdir(exist_ok=True)
    save(model, folder / "model.onnx")
    card = {
        "name": name,
        "version": "1",
        "family": "test",
        "file": "model.onnx",
        "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
        "labels": "labels.json",
        "input": {
            "name": "image",
            "elementType": "float32",
            "layout": "NCHW",
            "resize": 4,
            "crop": 4,
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        },
        "output": {"name": "logits"},
        "golden": {"logits": [1, 2], "tolerance": 0.001},
    }
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    labels = [{"class": f"n{i}", "label": label} for i, label in enumerate(names)]
    (folder / "labels.json").write_text(json.dumps(labels) + "\n")


constants = [
    numpy_helper.from_array(np.array([0, 0, 0, 0], np.int64), "first"),
    numpy_helper.from_array(np.array([1, 2, 1, 1], np.int64), "second"),
    numpy_helper.from_array(np.array([0], np.int64), "red"),
    numpy_helper.from_array(np.array([1], np.int64), "green"),
    numpy_helper.from_array(np.array([0.7], np.float32), "bearable"),
    numpy_helper.from_array(np.array([0], np.int64), "scalar_axis"),
    numpy_helper.from_array(np.array(1000, np.float32), "beyond"),
    numpy_helper.from_array(np.array(4e6, np.float32), "turns"),
    numpy_helper.from_array(np.array([[1.0, 2.0]], np.float32), "answer"),
    numpy_helper.from_array(np.array(True), "true"),
    numpy_helper.from_array(np.array(0, np.float32), "zero"),
]
nodes = [
    helper.make_node("Slice", ["image", "first", "second"], ["pixel"]),
    helper.make_node("Squeeze", ["pixel"], ["channels"]),
    helper.make_node("Gather", ["channels", "red"], ["red_value"]),
    helper.make_node("Gather", ["channels", "green"], ["green_value"]),
    # An index beyond the only row raises.
    helper.make_node("Mul", ["red_value", "beyond"], ["row_float"]),
    helper.make_node("Cast", ["row_float"], ["row"], to=TensorProto.INT64),
    helper.make_node("Gather", ["answer", "row"], ["chosen"], axis=0),
    # A loop of as many turns as green says: up to 1.2 million.
    helper.make_node("Sub", ["green_value", "bearable"], ["excess"]),
    helper.make_node("Relu", ["excess"], ["weight"]),
    helper.make_node("Mul", ["weight", "turns"], ["count_float"]),
    helper.make_node("Squeeze", ["count_float", "scalar_axis"], ["count_scalar"]),
    helper.make_node("Cast", ["count_scalar"], ["count"], to=TensorProto.INT64),
    helper.make_node("Loop", ["count", "true", "zero"], ["wound"], body=body),
    helper.make_node("Mul", ["wound", "zero"], ["nothing"]),
    helper.make_node("Add", ["chosen", "nothing"], ["logits"]),
]
image = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])]
logits = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])]
write("moody", helper.make_graph(nodes, "moody", image, logits, constants))

constants = [
    numpy_helper.from_array(np.array([0, 2, 0, 0], np.int64), "first"),
    numpy_helper.from_array(np.array([1, 3, 1, 1], np.int64), "second"),
    numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
    numpy_helper.from_array(np.array([[1.0, 2.0]], np.float32), "answer"),
]
nodes = [
    helper.make_node("Slice", ["image", "first", "second"], ["pixel"]),
    helper.make_node("Squeeze", ["pixel", "axes"], ["blue"]),
    # 1, and for 0 what is not a number.
    helper.make_node("Div", ["blue", "blue"], ["one"]),
    helper.make_node("Mul", ["answer", "one"], ["logits"]),
]
graph = helper.make_graph(nodes, "strange", image, logits, constants)
write("strange", graph)
write("future", graph, opset=99)
