"""What int8 makes of a model that was trained with the ranges of its activations (`training/light.py`).

Its graph has a Clip behind each activation, whose bounds are the ranges: the method `learned` takes them as they are.
More rewrites serve such graphs: bytes less a constant are the same bytes with another zero point, the logits stay the
float32 that the last product gives, and the portable file holds bytes of weights that were trained as bytes.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.faults import Fault

LARGEST = 127  # of a signed byte; -128 is left out, so that weights are symmetric
LEAST_SCALE = 1e-6 / LARGEST  # of channels that weigh nothing
CLOSE = 0.01  # of a step, by which a constant may miss a whole number of steps


def learned_ranges(graph: onnx.GraphProto) -> dict[str, tuple[np.float32, np.float32]]:
    """The bounds of each Clip, by the name of what it gives; raises Fault where the graph has none."""
    constants = _constants(graph)
    clips = [entry for entry in graph.node if entry.op_type == "Clip" and len(entry.input) == 3]
    found = {}
    for clip in clips:
        if all(name in constants for name in clip.input[1:]):
            low, high = (np.float32(constants[name].reshape(())) for name in clip.input[1:])
            found[clip.output[0]] = (low, high)
    if not found:
        raise Fault("Expected a graph with Clip nodes for the method learned but received one without")
    return found


def fold_offsets(graph: onnx.GraphProto) -> None:
    """Removes each Sub of a constant between two tensors of bytes, in place: what reads it gets the bytes before it
    with another zero point. Raises Fault where the constant is no whole number of steps."""
    constants = _constants(graph)
    for offset in [entry for entry in graph.node if entry.op_type == "Sub"]:
        source = next(entry for entry in graph.node if offset.input[0] in entry.output)
        rounding = [entry for entry in graph.node if offset.output[0] in entry.input]
        if source.op_type != "DequantizeLinear" or [entry.op_type for entry in rounding] != ["QuantizeLinear"]:
            continue
        scale, zero = (constants[name] for name in source.input[1:3])
        steps = float(constants[offset.input[1]].reshape(())) / float(scale)
        if abs(steps - round(steps)) > CLOSE:
            raise Fault(f"Expected a whole number of steps for the constant of {offset.name} but received {steps:.4f}")
        name = f"{offset.name}-zero"
        graph.initializer.append(numpy_helper.from_array(np.array(int(zero) + round(steps), zero.dtype), name))
        for reader in [entry for entry in graph.node if rounding[0].output[0] in entry.input]:
            reader.input[:] = [source.input[0], source.input[1], name]
        graph.node.remove(offset)
        graph.node.remove(rounding[0])
        if not any(source.output[0] in entry.input for entry in graph.node):
            graph.node.remove(source)


def keep_logits(graph: onnx.GraphProto) -> None:
    """Removes the rounding of the logits to bytes, in place, where a product gives them."""
    makers = {name: entry for entry in graph.node for name in entry.output}
    chain = [makers[graph.output[0].name]]
    while chain[-1].op_type in ("DequantizeLinear", "QuantizeLinear"):
        chain.append(makers[chain[-1].input[0]])
    if [entry.op_type for entry in chain[:-1]] == ["DequantizeLinear", "QuantizeLinear"]:
        chain[-1].output[0] = graph.output[0].name
        for entry in chain[:-1]:
            graph.node.remove(entry)


def drop_constants(graph: onnx.GraphProto) -> None:
    """Removes the constants that no node reads any more, in place; ONNX Runtime would warn of each."""
    read = {name for entry in graph.node for name in entry.input}
    for entry in [entry for entry in graph.node if entry.op_type == "Constant" and entry.output[0] not in read]:
        graph.node.remove(entry)
    for weight in [weight for weight in graph.initializer if weight.name not in read]:
        graph.initializer.remove(weight)


def round_to_bytes(weight: np.ndarray) -> np.ndarray:
    """float32 [out, ...]: the nearest signed bytes times a scale for each output; a second time changes nothing."""
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.maximum(largest, np.float32(LEAST_SCALE * LARGEST)) / np.float32(LARGEST)
    return np.clip(np.rint(weight * (np.float32(1) / scale)), -LARGEST, LARGEST).astype(np.float32) * scale


def store_bytes(graph: onnx.GraphProto) -> None:
    """Stores the weights of convolutions and matrix products as signed bytes and a scale for each output, in place.

    They must have been rounded so (`round_to_bytes`): what Cast and Mul make of them is then what they were.
    Raises Fault about a product whose weights are not an initializer with an output a row.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    made = []
    for product in [entry for entry in graph.node if entry.op_type in ("Conv", "Gemm")]:
        turned = any(attribute.name == "transB" and attribute.i for attribute in product.attribute)
        name = product.input[1]
        if name not in weights or (product.op_type == "Gemm" and not turned):
            raise Fault(f"Expected weights with an output a row for {product.name} but received others")
        values = numpy_helper.to_array(weights[name])
        scale = np.abs(values).reshape(len(values), -1).max(axis=1) / np.float32(LARGEST)
        scale = np.maximum(scale, LEAST_SCALE).reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
        stored, step, cast = f"{name}-bytes", f"{name}-scale", f"{name}-cast"
        graph.initializer.remove(weights.pop(name))
        graph.initializer.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), stored))
        graph.initializer.append(numpy_helper.from_array(scale, step))
        made.append(helper.make_node("Cast", [stored], [cast], cast, to=TensorProto.FLOAT))
        made.append(helper.make_node("Mul", [cast, step], [name], name))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*made, *rest])


def restore_floats(graph: onnx.GraphProto) -> None:
    """Undoes `store_bytes`, in place: weights are initializers again, float32."""
    weights = {weight.name: weight for weight in graph.initializer}
    for cast in [entry for entry in graph.node if entry.op_type == "Cast" and entry.input[0] in weights]:
        product = next(entry for entry in graph.node if cast.output[0] in entry.input)
        scale = product.input[1]
        values = numpy_helper.to_array(weights[cast.input[0]]).astype(np.float32) * numpy_helper.to_array(weights[scale])
        graph.initializer.append(numpy_helper.from_array(values, product.output[0]))
        for name in (cast.input[0], scale):
            graph.initializer.remove(weights[name])
        graph.node.remove(cast)
        graph.node.remove(product)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    found = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    given = [entry for entry in graph.node if entry.op_type == "Constant"]
    return found | {entry.output[0]: numpy_helper.to_array(entry.attribute[0].t) for entry in given}
