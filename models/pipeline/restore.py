"""Reads the weights of an embedded model back out of its portable float32 ONNX file, for retraining.

    model = restore(Path("models/wide-resnet"), "wide-resnet")

The exporter keeps the order of the layers but not their names, and it folds a batch norm into the convolution before
it. So convolutions, matrix products and batch norms of the graph are matched, in order, with the module's layers in
the order in which an image runs through them. A folded batch norm becomes one that adds the folded bias and does
nothing else. The card's golden case then says whether the module computes what the file does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.faults import Fault
from pipeline.steps import hash_of_file

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import torch

LAYERS = ("Conv", "Gemm", "BatchNormalization", "Clip")


@dataclass(frozen=True)
class Layer:
    """A node of the graph with weights: `tensors` in the order of the node's inputs, the image left out."""

    kind: str
    tensors: tuple["np.ndarray", ...]


def restore(folder: Path, architecture: str) -> "torch.nn.Module":
    """The module of `folder`'s portable file, for inference; raises Fault when file, architecture and golden case
    disagree."""
    import numpy as np
    import torch

    from pipeline.architectures import build

    card, classes = read_card(folder)
    file = proven_file(folder, card)
    model = build(architecture, len(classes)).eval()
    size = card["input"]["crop"]
    fill(model, list(layers_of(file)), torch.zeros(1, 3, size, size), str(file))
    with torch.inference_mode():
        logits = model(torch.from_numpy(golden_input(card["input"])))[0].numpy()
    gap = float(np.abs(logits - np.array(card["golden"]["logits"])).max())
    if not gap <= card["golden"]["tolerance"]:
        raise Fault(
            f"Expected the golden logits of {folder / 'model.json'} within {card['golden']['tolerance']} for the "
            f"weights of {file} but received a difference of {gap:.4g}"
        )
    return model


def read_card(folder: Path) -> tuple[dict, list[dict]]:
    """The card and the labels of a model folder, as JSON holds them; raises Fault."""
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return card, json.loads((folder / card["labels"]).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as cause:
        found = (cause.strerror or "").lower() if isinstance(cause, OSError) else "something else"
        raise Fault(f"Expected a model folder with model.json and labels for {folder} but received {found}") from cause


def proven_file(folder: Path, entry: dict) -> Path:
    """The file that a card, or a variant of it, names; raises Fault where it is missing or has another hash."""
    for key in ("file", "sha256", "input"):
        if key not in entry:
            raise Fault(f"Expected {key} for {folder / 'model.json'} but received nothing")
    file = folder / entry["file"]
    if not file.is_file():
        raise Fault(f"Expected a file for {file} but received none")
    if (found := hash_of_file(file)) != entry["sha256"]:
        raise Fault(f"Expected SHA-256 {entry['sha256']} for {file} but received {found}")
    return file


def golden_pixels(side: int) -> "np.ndarray":
    """uint8 [side, side, 3]: the image of a card's golden case; byte i is (167 i + 59 floor(i / 64)) mod 256."""
    import numpy as np

    i = np.arange(side * side * 3)
    return ((167 * i + 59 * (i // 64)) % 256).astype(np.uint8).reshape(side, side, 3)


def golden_input(recipe: dict) -> "np.ndarray":
    """The generated image of a card's golden case, float32 [1, 3, crop, crop], normalized; `recipe`: the card's
    input."""
    import numpy as np

    pixels = golden_pixels(recipe["crop"])[None]
    return ((pixels / 255 - recipe["mean"]) / recipe["std"]).astype(np.float32).transpose(0, 3, 1, 2).copy()


def layers_of(file: Path) -> Iterator[Layer]:
    """The nodes with weights, in the graph's order; raises Fault about a file that is no ONNX graph with its weights
    inside."""
    import onnx
    from onnx import numpy_helper

    from pipeline.learned import restore_floats

    try:
        graph = onnx.load(str(file)).graph
    except Exception as cause:  # protobuf's and onnx's own, without a common base
        raise Fault(f"Expected an ONNX graph for {file} but received something else") from cause
    restore_floats(graph)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        # Equal tensors are stored once, and the others are Identity nodes of it.
        if node.op_type == "Constant":
            tensors[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
        elif node.op_type in LAYERS:
            missing = [name for name in node.input[1:] if name not in tensors]
            if missing:
                raise Fault(
                    f"Expected float32 weights for {node.op_type} {node.name} of {file} but received {missing[0]}"
                )
            weights = tuple(numpy_helper.to_array(tensors[name]) for name in node.input[1:])
            yield Layer(node.op_type, _upright(node, weights))


def _upright(node: "onnx.NodeProto", tensors: tuple["np.ndarray", ...]) -> tuple["np.ndarray", ...]:
    """A matrix product's weights as [out, in], whichever way the node holds them."""
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return (tensors[0].T, *tensors[1:]) if node.op_type == "Gemm" and not turned else tensors


def fill(model: "torch.nn.Module", layers: list[Layer], image: "torch.Tensor", origin: str) -> None:
    """Puts the weights of `layers` into the model's layers in the order of their calls; raises Fault, which names
    `origin`."""
    import torch
    from torch import nn

    from pipeline.light import Range

    called = called_layers(model, image)
    # A Clip is an activation like any other, unless the module keeps its bounds.
    has_ranges = any(isinstance(module, Range) for _, module in called)
    kinds = {nn.BatchNorm2d: "BatchNormalization", nn.Linear: "Gemm", nn.Conv2d: "Conv", Range: "Clip"}
    waiting = [layer for layer in reversed(layers) if has_ranges or layer.kind != "Clip"]
    folded: "np.ndarray | None" = None

    def put(target: torch.Tensor, values: "np.ndarray", name: str) -> None:
        if tuple(target.shape) != values.shape:
            raise Fault(
                f"Expected weights of shape {tuple(target.shape)} for {name} of {origin} but received {values.shape}"
            )
        with torch.no_grad():
            target.copy_(torch.from_numpy(values.copy()))

    for name, module in called:
        is_norm = isinstance(module, nn.BatchNorm2d)
        if is_norm and folded is not None:
            with torch.no_grad():
                module.running_mean.zero_()
                module.running_var.fill_(1 - module.eps)  # the layer adds eps again and divides by 1
                module.weight.fill_(1)
            put(module.bias, folded, name)
            folded = None
            continue
        kind = next(kind for layer_type, kind in kinds.items() if isinstance(module, layer_type))
        layer = waiting.pop() if waiting else None
        if layer is None or layer.kind != kind or folded is not None:
            raise Fault(f"Expected {kind} for {name} of {origin} but received {layer.kind if layer else 'the end'}")
        if kind == "Clip":
            put(module.low, layer.tensors[0], name)
            put(module.high, layer.tensors[1], name)
            continue
        if is_norm:
            for target, values in zip(
                (module.weight, module.bias, module.running_mean, module.running_var), layer.tensors
            ):
                put(target, values, name)
            continue
        put(module.weight, layer.tensors[0], name)
        bias = layer.tensors[1] if len(layer.tensors) > 1 else None
        if module.bias is None:
            folded = bias
        elif bias is None:
            raise Fault(f"Expected a bias for {name} of {origin} but received none")
        else:
            put(module.bias, bias, name)
    if waiting:
        raise Fault(f"Expected {len(layers) - len(waiting)} layers for {origin} but received {len(layers)}")


def called_layers(model: "torch.nn.Module", image: "torch.Tensor") -> "list[tuple[str, torch.nn.Module]]":
    """The convolutions, matrix products, batch norms and ranges, with their names, in the order in which an image runs
    through them."""
    import torch
    from torch import nn

    from pipeline.light import Range

    called: list[tuple[str, nn.Module]] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _output, name=name: called.append((name, module)))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | Range)
    ]
    try:
        with torch.inference_mode():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return called
