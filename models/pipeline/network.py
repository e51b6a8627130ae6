"""Writes a network as an ONNX graph, layer by layer, with the weights by the names that they have in PyTorch.

    network = Network(tensors.__getitem__, [1, 3, 224, 224])
    x = network.relu(network.conv(network.image, "stem", 16, kernel=3, stride=2, norm="norm"))
    graph = network.finish(network.linear(network.mean(x), "head", 1000))

A batch norm behind a convolution is folded into it, which spares its own products.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.graph import OPSET
from pipeline.recipe import INPUT_NAME, OUTPUT_NAME

IR_VERSION = 8  # of opset 17
EPSILON = 1e-5  # PyTorch's, of a batch norm
NORM = ("weight", "bias", "running_mean", "running_var")
"""The tensors of a batch norm, in the order of the operator's inputs."""

Tensors = Callable[[str, tuple[int, ...]], np.ndarray]
"""The float32 tensor of that name, which must have that shape."""


@dataclass(frozen=True)
class Value:
    """What flows between two nodes: its name, its channels, and its pixels a side."""

    name: str
    width: int
    side: int


class Network:
    """A graph in the making; each method adds a layer and gives what comes out of it.

    `norms` says what becomes of batch norms: `folded` into the convolutions before them; `kept` as they are; `measured`:
    each normalizes by what it sees, and gives mean and variance as outputs of the graph (`measures`).
    """

    def __init__(self, tensors: Tensors, shape: Sequence[int], norms: str = "folded"):
        self.tensors, self.shape, self.norms = tensors, list(shape), norms
        self.image = Value(INPUT_NAME, shape[1], shape[2])
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.measures: list[str] = []

    def finish(self, logits: Value) -> onnx.ModelProto:
        """The graph; `logits` came last."""
        self.nodes[-1].output[0] = OUTPUT_NAME
        rows = self.shape[0]
        outputs = [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [rows, logits.width])]
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.measures]
        given = [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, self.shape)]
        graph = helper.make_graph(self.nodes, "network", given, outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="understudy-models")

    def conv(
        self,
        x: Value,
        name: str,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: str | None = None,
        epsilon: float = EPSILON,
        bias: bool = False,
        padding: int | None = None,
        same: bool = False,
    ) -> Value:
        """A convolution of as many pixels on all sides as keep an odd kernel in the middle, or of `padding`, and the batch
        norm `norm`. `same`: padded as TensorFlow's SAME, ceil(side / stride) pixels a side, an odd pixel comes last."""
        padding = kernel // 2 if padding is None else padding
        around = max((-(-x.side // stride) - 1) * stride + kernel - x.side, 0) if same else 2 * padding
        before, side = around // 2, (x.side + around - kernel) // stride + 1
        given = [self.tensors(f"{name}.weight", (width, x.width // groups, kernel, kernel))]
        given += [self.tensors(f"{name}.bias", (width,))] if bias else []
        is_folded = norm is not None and self.norms == "folded"
        if is_folded:
            given = folded(*given, *self._norm(norm, width), epsilon)
        pads = [before, before, around - before, around - before]
        attributes = {"dilations": [1, 1], "group": groups, "kernel_shape": [kernel, kernel], "pads": pads}
        y = self._layer("Conv", name, [x], given, width, side, **attributes, strides=[stride, stride])
        return y if norm is None or is_folded else self.norm(y, norm, epsilon)

    def norm(self, x: Value, name: str, epsilon: float = EPSILON) -> Value:
        """A batch norm that follows no convolution."""
        if self.norms == "measured":
            return self._measured(x, name, epsilon)
        tensors = dict(zip(NORM, self._norm(name, x.width), strict=True))
        more = {"epsilon": epsilon, "momentum": 0.9, "training_mode": 0}
        return self._layer("BatchNormalization", name, [x], list(tensors.values()), x.width, x.side, NORM, **more)

    def linear(self, x: Value, name: str, width: int) -> Value:
        """A matrix product and a bias."""
        given = [self.tensors(f"{name}.weight", (width, x.width)), self.tensors(f"{name}.bias", (width,))]
        return self._layer("Gemm", name, [x], given, width, 1, alpha=1.0, beta=1.0, transB=1)

    def relu(self, x: Value) -> Value:
        return self._layer("Relu", f"{x.name}.relu", [x])

    def relu6(self, x: Value) -> Value:
        return self.clip(x, f"{x.name}.relu6", np.float32(0), np.float32(6))

    def hard_swish(self, x: Value) -> Value:
        return self._layer("HardSwish", f"{x.name}.swish", [x])

    def hard_sigmoid(self, x: Value) -> Value:
        return self._layer("HardSigmoid", f"{x.name}.sigmoid", [x], alpha=1 / 6)

    def clip(self, x: Value, name: str, low: np.ndarray, high: np.ndarray) -> Value:
        """Values below `low` and above `high` become those."""
        return self._layer("Clip", name, [x], [low, high], places=("low", "high"))

    def less(self, x: Value, name: str, constant: float) -> Value:
        """x - constant."""
        return self._layer("Sub", name, [x], [np.float32(constant)], places=("constant",))

    def add(self, x: Value, y: Value, name: str) -> Value:
        return self._layer("Add", name, [x, y])

    def multiply(self, x: Value, y: Value, name: str) -> Value:
        """A product; of one pixel and many, one for each channel."""
        return self._layer("Mul", name, [x, y], width=y.width, side=max(x.side, y.side))

    def max_pool(self, x: Value, name: str) -> Value:
        """The largest of 3x3 pixels, every other one."""
        attributes = {"dilations": [1, 1], "kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
        return self._layer("MaxPool", name, [x], side=(x.side - 1) // 2 + 1, ceil_mode=0, **attributes)

    def pool(self, x: Value) -> Value:
        """The mean over all pixels, as one pixel."""
        return self._layer("GlobalAveragePool", f"{x.name}.pool", [x], side=1)

    def mean(self, x: Value) -> Value:
        """The mean over all pixels, flat."""
        return self._layer("ReduceMean", f"{x.name}.mean", [x], side=1, axes=[2, 3], keepdims=0)

    def flatten(self, x: Value) -> Value:
        """Of one pixel its channels."""
        return self._layer("Flatten", f"{x.name}.flat", [x], axis=1)

    def _norm(self, name: str, width: int) -> list[np.ndarray]:
        return [self.tensors(f"{name}.{part}", (width,)) for part in NORM]

    def _measured(self, x: Value, name: str, epsilon: float) -> Value:
        over = {"axes": [0, 2, 3], "keepdims": 1}
        mean = self._layer("ReduceMean", f"{name}.{NORM[2]}", [x], **over)
        away = self._layer("Sub", f"{name}.away", [x, mean])
        square = self._layer("Mul", f"{name}.square", [away, away])
        variance = self._layer("ReduceMean", f"{name}.{NORM[3]}", [square], **over)
        self.measures += [mean.name, variance.name]
        raised = self._layer("Add", f"{name}.raised", [variance], [np.float32(epsilon)], places=("epsilon",))
        return self._layer("Div", name, [away, self._layer("Sqrt", f"{name}.root", [raised])])

    def _layer(
        self,
        operator: str,
        name: str,
        given: Sequence[Value],
        constants: Sequence[np.ndarray] = (),
        width: int | None = None,
        side: int | None = None,
        places: Sequence[str] = ("weight", "bias"),
        **attributes: object,
    ) -> Value:
        """Adds a node that reads the values and constants, which are stored as NAME.PLACE."""
        stored = [f"{name}.{place}" for place, _ in zip(places, constants, strict=False)]
        for key, value in zip(stored, constants, strict=True):
            self.weights.append(numpy_helper.from_array(np.asarray(value), key))
        names = [*(value.name for value in given), *stored]
        self.nodes.append(helper.make_node(operator, names, [name], name, **attributes))
        return Value(name, width or given[0].width, side or given[0].side)


def folded(weight: np.ndarray, *rest: np.ndarray | float) -> list[np.ndarray]:
    """Weight and bias of a convolution [out, ...] without bias and of the batch norm behind it; in float32 and in the
    order in which PyTorch does it, so that both agree to the bit. `rest`: the norm's tensors as NORM, and epsilon."""
    scale, shift, mean, variance, epsilon = rest
    factor = scale / np.sqrt(variance + np.float32(epsilon))
    return [weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift - mean * factor]
