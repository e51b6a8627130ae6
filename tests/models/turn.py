"""One turn of a loop that takes its time: of a number its cosine."""

from onnx import TensorProto, helper


def scalar(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [])


body = helper.make_graph(
    [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Cos", ["value_in"], ["value_out"])],
    "turn",
    [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
        scalar("value_in"),
    ],
    [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), scalar("value_out")],
)
