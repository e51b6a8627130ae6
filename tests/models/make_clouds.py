"""Writes the folder weather beside this file: a small graph for POST /infer that misbehaves.

    python tests/models/make_clouds.py && node dist/models/golden-clouds.js tests/models/weather --tolerance 0.0001        (needs onnx)

It does what B02 of the first pixel says: more than 1.5 raises; more than 1 takes seconds; else it answers, by B08: cloud
above 0.5, shadow below 0.05.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from turn import body


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


numbers = {
    "first": np.array([0, 0, 0, 0], np.int64),
    "second": np.array([1, 1, 1, 1], np.int64),
    "all_axes": np.array([0, 1, 2, 3], np.int64),
    "raising": np.array(1.5, np.float32),
    "slow": np.array(1, np.float32),
    "beyond": np.array(1000, np.float32),
    "turns": np.array(4e6, np.float32),
    "rows": np.array([0], np.float32),
    "true": np.array(True),
    "zero": np.array(0, np.float32),
    "bright": np.array(0.5, np.float32),
    "dark": np.array(0.05, np.float32),
}
nodes = [
    node("Slice", ["bands", "first", "second"], "pixel"),
    node("Squeeze", ["pixel", "all_axes"], "blue"),
    # An index beyond the only row raises.
    node("Sub", ["blue", "raising"], "over"),
    node("Relu", ["over"], "excess"),
    node("Mul", ["excess", "beyond"], "row_float"),
    node("Cast", ["row_float"], "row", to=TensorProto.INT64),
    node("Gather", ["rows", "row"], "nothing"),
    # A loop of as many turns as the first pixel is bright: 4 million for each 1 above 1.
    node("Sub", ["blue", "slow"], "late"),
    node("Relu", ["late"], "weight"),
    node("Mul", ["weight", "turns"], "turns_float"),
    node("Add", ["turns_float", "nothing"], "count_float"),  # after what may raise
    node("Cast", ["count_float"], "count", to=TensorProto.INT64),
    node("Loop", ["count", "true", "zero"], "wound", body=body),
    node("Mul", ["wound", "zero"], "none"),
    helper.make_node("Split", ["bands"], ["b02", "b03", "b04", "b08"], axis=1),
    node("Sub", ["b08", "bright"], "cloud"),
    node("Sub", ["dark", "b08"], "shadow"),
    node("Mul", ["b08", "none"], "clear"),
    node("Concat", ["clear", "cloud", "shadow"], "logits", axis=1),
]
side = ["height", "width"]
graph = helper.make_graph(
    nodes,
    "weather",
    [helper.make_tensor_value_info("bands", TensorProto.FLOAT, [1, 4, *side])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, *side])],
    [numpy_helper.from_array(value, name) for name, value in numbers.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
folder = Path(__file__).parent / "weather"
folder.mkdir(exist_ok=True)
save(model, folder / "model.onnx")
card = {
    "name": "weather",
    "version": "1",
    "family": "test",
    "file": "model.onnx",
    "sha256": "",
    "input": {
        "name": "bands",
        "bands": ["B02", "B03", "B04", "B08"],
        "optional": [],
        "flag": False,
        "mean": [0, 0, 0, 0],
        "std": [1, 1, 1, 1],
        "multiple": 1,
        "tile": None,
        "meters": 10,
        "levels": ["L1C", "L2A"],
    },
    "output": {"name": "logits"},
}
(folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
