"""Writes models/loud and models/quiet: what goes in comes out; loud raises at a first letter beyond ASCII. Needs onnx."""

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

tensors = [numpy_helper.from_array(np.array(v, t), n) for n, v, t in [("begin", [0, 0], np.int64), ("end", [1, 1], np.int64), ("silence", [[0.0]] * 128, np.float32)]]
loud = [
    helper.make_node("Slice", ["text", "begin", "end"], ["first"]),
    helper.make_node("Cast", ["first"], ["index"], to=TensorProto.INT64),
    helper.make_node("Gather", ["silence", "index"], ["nothing"]),
    helper.make_node("Squeeze", ["nothing"], ["zero"]),
    helper.make_node("Add", ["text", "zero"], ["echo"]),
]
for name, nodes in {"loud": loud, "quiet": [helper.make_node("Identity", ["text"], ["echo"])]}.items():
    folder = Path(__file__).parent / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    values = [helper.make_tensor_value_info(side, TensorProto.FLOAT, [1, 8]) for side in ("text", "echo")]
    graph = helper.make_graph(nodes, name, values[:1], values[1:], tensors if name == "loud" else [])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    card = {"name": name, "version": "1", "family": "test", "file": "model.onnx", "sha256": sha256, "golden": "hello"}
    card |= {"input": {"name": "text", "bytes": 8}, "output": {"name": "echo"}}
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n")
