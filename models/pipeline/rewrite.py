"""The float32 graph in operators that have an int8 form, and the groups of its nodes that a recipe may leave in float32."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process

from pipeline import learned


def prepare(source: Path, to: Path) -> Path:
    """Writes `to`: constants folded, all shapes inferred, operators that have an int8 form, each node with a name."""
    model = onnx.load(source)
    learned.restore_floats(model.graph)
    for entry in list(model.graph.node):
        if entry.op_type == "ReduceMean":
            pool_instead(model.graph, entry)
    onnx.save(model, to)
    quant_pre_process(to, to, skip_symbolic_shape=True)  # all shapes are static
    model = onnx.load(to)
    copy_shared_weights(model.graph)
    for place, entry in enumerate(model.graph.node):
        entry.name = entry.name or f"{entry.op_type}-{place}"
        if entry.op_type == "BatchNormalization":
            convolve_instead(model.graph, entry)
    onnx.save(model, to)
    return to


def copy_shared_weights(graph: onnx.GraphProto) -> None:
    """Gives each reader of equal weights its own: the exporter stores one, and Identity nodes hide the others."""
    constants = {weight.name: weight for weight in graph.initializer}
    for entry in [entry for entry in graph.node if entry.op_type == "Identity" and entry.input[0] in constants]:
        copied = graph.initializer.add()
        copied.CopyFrom(constants[entry.input[0]])
        copied.name = entry.output[0]
        graph.node.remove(entry)


def convolve_instead(graph: onnx.GraphProto, norm: onnx.NodeProto) -> None:
    """Makes of a batch norm that follows no convolution one itself, of 1x1 for each channel; it has no int8 form."""
    constants = {weight.name: weight for weight in graph.initializer}
    scale, bias, mean, variance = (numpy_helper.to_array(constants[name]) for name in norm.input[1:5])
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + np.float32(epsilon))
    names = [f"{norm.name}-factor", f"{norm.name}-shift"]
    graph.initializer.append(numpy_helper.from_array(factor.reshape(-1, 1, 1, 1), names[0]))
    graph.initializer.append(numpy_helper.from_array(bias - mean * factor, names[1]))
    given, made = [norm.input[0], *names], [norm.output[0]]
    norm.CopyFrom(helper.make_node("Conv", given, made, norm.name, group=len(factor), kernel_shape=[1, 1]))


def pool_instead(graph: onnx.GraphProto, mean: onnx.NodeProto) -> None:
    """Makes of a mean over height and width a pool, which has an int8 form; another mean stays."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in mean.attribute}
    if sorted(attributes.get("axes", [])) not in ([2, 3], [-2, -1]):
        return
    is_flat = not attributes.get("keepdims", 1)
    pooled = f"{mean.output[0]}-pooled" if is_flat else mean.output[0]
    made = [helper.make_node("GlobalAveragePool", [mean.input[0]], [pooled], f"{mean.name}-pool")]
    if is_flat:
        made.append(helper.make_node("Flatten", [pooled], [mean.output[0]], f"{mean.name}-flatten"))
    place = list(graph.node).index(mean)
    graph.node.remove(mean)
    for entry in reversed(made):
        graph.node.insert(place, entry)


def nodes_of_groups(graph: onnx.GraphProto, groups: Iterable[str]) -> list[str]:
    """The names of the nodes that the recipe's words for groups mean."""
    return sorted({name for group in groups for name in GROUPS[group](list(graph.node))})


def _first_convolution(nodes: list[onnx.NodeProto]) -> list[str]:
    return [entry.name for entry in nodes if entry.op_type == "Conv"][:1]


def _classifier(nodes: list[onnx.NodeProto]) -> list[str]:
    return [entry.name for entry in nodes if entry.op_type in ("Gemm", "MatMul")][-1:]


def _squeeze_excite(nodes: list[onnx.NodeProto]) -> list[str]:
    """From each pool over a whole image up to the product that it scales; the classifier's pool leads to none."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for entry in nodes:
        for name in entry.input:
            readers.setdefault(name, []).append(entry)
    found: list[str] = []
    for pool in nodes:
        if pool.op_type not in ("GlobalAveragePool", "ReduceMean"):
            continue
        branch, ahead = [pool.name], readers.get(pool.output[0], [])
        while len(ahead) == 1 and ahead[0].op_type not in ("Mul", "Gemm", "MatMul"):
            branch.append(ahead[0].name)
            ahead = readers.get(ahead[0].output[0], [])
        if len(ahead) == 1 and ahead[0].op_type == "Mul":
            found += [*branch, ahead[0].name]
    return found


GROUPS: Mapping[str, Callable[[list[onnx.NodeProto]], list[str]]] = {
    "first-convolution": _first_convolution,
    "classifier": _classifier,
    "squeeze-excite": _squeeze_excite,
}
