"""Writes the graph of the clouds-index model: a published test, without weights.

    python clouds_index.py OUT.onnx        (needs onnx)

Braaten, Cohen and Yang (2015), doi 10.1016/j.rse.2015.08.006, as Sentinel-2 is commonly tested by it: cloud where
(B03 > 0.175 and B03 > B04) or B03 > 0.39, and B11 > 0.2 where there is B11. Input is float32 [1, 4, height, width] of
reflectance: B03, B04, B11, and 1 where B11 is there. Output are logits [1, 3, height, width], 1 for the class and 0
for the others: clear, cloud, and shadow, which the test does not know.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


def main(out: Path) -> None:
    numbers = {"bright": 0.175, "brightest": 0.39, "moist": 0.2, "zero": 0.0, "half": 0.5}
    nodes = [
        helper.make_node("Split", ["bands"], ["green", "red", "swir", "has_swir"], axis=1),
        node("Greater", ["green", "bright"], "is_bright"),
        node("Greater", ["green", "red"], "is_not_soil"),
        node("And", ["is_bright", "is_not_soil"], "is_haze"),
        node("Greater", ["green", "brightest"], "is_white"),
        node("Or", ["is_haze", "is_white"], "is_visible"),
        node("Greater", ["swir", "moist"], "is_no_snow"),
        node("Greater", ["has_swir", "half"], "knows_snow"),
        node("Not", ["knows_snow"], "knows_no_snow"),
        node("Or", ["is_no_snow", "knows_no_snow"], "may_be_cloud"),
        node("And", ["is_visible", "may_be_cloud"], "is_cloud"),
        node("Not", ["is_cloud"], "is_clear"),
        node("Cast", ["is_clear"], "clear", to=TensorProto.FLOAT),
        node("Cast", ["is_cloud"], "cloud", to=TensorProto.FLOAT),
        node("Mul", ["cloud", "zero"], "shadow"),
        node("Concat", ["clear", "cloud", "shadow"], "logits", axis=1),
    ]
    side = ["height", "width"]
    graph = helper.make_graph(
        nodes,
        "clouds-index",
        [helper.make_tensor_value_info("bands", TensorProto.FLOAT, [1, 4, *side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, *side])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    save(model, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
