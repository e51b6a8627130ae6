"""Reads the weights of an embedded model back out of its portable float32 ONNX file, for retraining.

    model = restore(Path("models/wide-resnet"), "wide-resnet")

The exporter folds a batch norm into the convolution before it and then drops the names of both. It keeps the order, so
the nodes of the graph are matched with the module's layers in the order in which an image runs through them. A folded
batch norm becomes one that adds the folded bias and does nothing else. The card's golden case proves the result.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from training.architectures import build
from pipeline.card import proven_file, read_card
from pipeline.faults import Fault
from pipeline.images import golden, normalized
from pipeline.learned import restore_floats
from training.light import Range

OPERATORS = {nn.Conv2d: "Conv", nn.Linear: "Gemm", nn.BatchNorm2d: "BatchNormalization", Range: "Clip"}
TENSORS = {
    "Conv": ("weight", "bias"),
    "Gemm": ("weight", "bias"),
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
    "Clip": ("low", "high"),
}
"""The layers' tensors in the order of a node's inputs, the image left out."""

Layer = tuple[str, list[np.ndarray]]
"""The operator of a node, and its weights."""


def restore(folder: Path, architecture: str) -> nn.Module:
    """The module of `folder`'s portable file, for inference; raises Fault when file, architecture and golden case
    disagree."""
    card, classes = read_card(folder)
    file, given = proven_file(folder, card), card["input"]
    model = build(architecture, len(classes)).eval()
    image = torch.from_numpy(normalized(golden(given["crop"])[None], given["mean"], given["std"]))
    fill(model, list(layers_of(file)), image, str(file))
    with torch.inference_mode():
        gap = float((model(image)[0] - torch.tensor(card["golden"]["logits"])).abs().max())
    if not gap <= card["golden"]["tolerance"]:
        raise Fault(
            f"Expected the golden logits of {folder / 'model.json'} within {card['golden']['tolerance']} for the "
            f"weights of {file} but received a difference of {gap:.4g}"
        )
    return model


def layers_of(file: Path) -> Iterator[Layer]:
    """The nodes with weights, in the graph's order; raises Fault about a file without a graph or without weights."""
    try:
        graph = onnx.load(str(file)).graph
    except Exception as cause:  # protobuf's and onnx's own, without a common base
        raise Fault(f"Expected an ONNX graph for {file} but received something else") from cause
    restore_floats(graph)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in tensors:  # equal tensors are stored once
            tensors[node.output[0]] = tensors[node.input[0]]
        elif node.op_type in TENSORS:
            missing = [name for name in node.input[1:] if name not in tensors]
            if missing:
                raise Fault(f"Expected weights for {node.op_type} {node.name} of {file} but received {missing[0]}")
            values = [numpy_helper.to_array(tensors[name]) for name in node.input[1:]]
            if node.op_type == "Gemm" and not any(entry.name == "transB" and entry.i for entry in node.attribute):
                values[0] = values[0].T
            yield node.op_type, values


def fill(model: nn.Module, layers: list[Layer], image: torch.Tensor, origin: str) -> None:
    """Puts the weights into the model's layers in the order of their calls; raises Fault, which names `origin`."""
    called = called_layers(model, image)
    # A Clip is an activation like any other, unless the module keeps its bounds.
    has_ranges = any(isinstance(module, Range) for _, module in called)
    layers = [layer for layer in layers if has_ranges or layer[0] != "Clip"]
    waiting = iter(layers)
    folded: np.ndarray | None = None
    for name, module in called:
        kind = operator_of(module)
        if folded is not None and kind == "BatchNormalization":
            # The layer adds eps to the variance again and divides by 1.
            neutral = np.ones_like(folded), np.zeros_like(folded), np.full_like(folded, 1 - module.eps)
            found, values, folded = kind, [neutral[0], folded, *neutral[1:]], None
        else:
            found, values = next(waiting, ("the end", []))
        if found != kind or folded is not None:
            raise Fault(f"Expected {kind} for {name} of {origin} but received {found}")
        if kind == "Conv" and module.bias is None and len(values) > 1:
            folded = values.pop()
        put(module, kind, values, f"{name} of {origin}")
    if (rest := len(list(waiting))) > 0:
        raise Fault(f"Expected {len(layers) - rest} layers for {origin} but received {len(layers)}")


def put(module: nn.Module, kind: str, values: list[np.ndarray], what: str) -> None:
    """Copies a node's weights into a layer; raises Fault about a tensor that is missing or of another shape."""
    targets = [tensor for tensor in (getattr(module, name) for name in TENSORS[kind]) if tensor is not None]
    expected, found = [tuple(target.shape) for target in targets], [value.shape for value in values]
    if expected != found:
        raise Fault(f"Expected weights of shape {expected} for {what} but received {found}")
    with torch.no_grad():
        for target, value in zip(targets, values, strict=True):
            target.copy_(torch.from_numpy(value.copy()))


def called_layers(model: nn.Module, image: torch.Tensor) -> list[tuple[str, nn.Module]]:
    """The layers with weights, with their names, in the order in which an image runs through them."""
    called: list[tuple[str, nn.Module]] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output, name=name: called.append((name, module)))
        for name, module in model.named_modules()
        if operator_of(module) is not None
    ]
    try:
        with torch.inference_mode():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return called


def operator_of(module: nn.Module) -> str | None:
    """The operator that the exporter writes for a layer; None for one without weights."""
    return next((operator for kind, operator in OPERATORS.items() if isinstance(module, kind)), None)
