"""From a trained MobileNet to its light form: which weights go where, and which ranges its activations get."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.mobilenetv3 import MobileNetV3

from pipeline.architectures import LEFT_OUT, SWISH_FACTOR
from training.crops import crop
from training.light import LEVELS, MobileNetLight, Range, Squeeze, Swish

SAMPLES = 400_000  # values of a tensor that a range is chosen by
HIGHS = np.linspace(0.15, 1, 35)  # ends that are tried, as a share of the largest value
LOWS = np.linspace(0.3, 1, 8)
WIDE = 0.4  # a swish gives no less than -0.375: a larger negative end is one of a sum, and is tried shorter
LEAST_END = 0.1  # of a tensor that is always zero


@torch.no_grad()
def lightened(original: MobileNetV3, classes: int) -> MobileNetLight:
    """The light model with the original's weights: batch norms folded, hard swish and hard sigmoid rescaled, the blocks
    LEFT_OUT left out, channels that were added zero."""
    light = MobileNetLight(classes).eval()
    original.eval()
    features = original.features
    put(light.stem, *folded(features[0]), light.stem_active)
    kept = [block for place, block in enumerate(list(features)[1:-1]) if place not in LEFT_OUT]
    for mine, theirs in zip(light.blocks, kept, strict=True):
        parts = list(theirs.block)
        if mine.expands:
            put(mine.expand, *folded(parts.pop(0)), mine.expanded)
        put(mine.spatial, *folded(parts.pop(0)), mine.active)
        if isinstance(mine.squeeze, Squeeze):
            given = parts.pop(0)
            put(mine.squeeze.squeeze, given.fc1.weight, given.fc1.bias)
            put(mine.squeeze.excite, given.fc2.weight / 6, given.fc2.bias / 6 + 0.5)  # hard sigmoid is clip(x / 6 + 0.5)
        put(mine.project, *folded(parts.pop(0)))
    put(light.last, *folded(features[-1]), light.last_active)
    hidden, head = original.classifier[0], original.classifier[3]
    put(light.hidden, hidden.weight[:, :, None, None], hidden.bias, light.hidden_active)
    put(light.head, head.weight, head.bias)
    return light


def folded(layer: nn.Sequential) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution with the batch norm behind it."""
    fused = fuse_conv_bn_eval(layer[0], layer[1])
    return fused.weight, fused.bias


def put(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor, then: nn.Module | None = None) -> None:
    """Copies into the first channels, as the activation `then` needs it; the others become zero."""
    if isinstance(then, Swish):
        weight, bias = weight * SWISH_FACTOR, (bias + 3) * SWISH_FACTOR
    layer.weight.zero_()
    layer.bias.zero_()
    layer.weight[: weight.shape[0], : weight.shape[1]] = weight
    layer.bias[: len(bias)] = bias


@torch.no_grad()
def fit_ranges(model: MobileNetLight, images: np.ndarray, size: int) -> None:
    """Gives each activation the range whose 256 levels tell with the least squared error what it is for these images,
    uint8 [n, side, side, 3], at `size` pixels; those of `fixed` stay."""
    ranges = {name: module for name, module in model.named_modules() if isinstance(module, Range)}
    free = {name: module for name, module in ranges.items() if name not in fixed(model)}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in free}

    def keep(name: str):
        return lambda _module, given: seen[name].append(given[0].flatten()[::7].clone())

    for name, module in free.items():
        module.low.fill_(0 if is_relu(name) else -torch.inf)
        module.high.fill_(torch.inf)
    hooks = [module.register_forward_pre_hook(keep(name)) for name, module in free.items()]
    whole = torch.eye(2, 3)
    for start in range(0, len(images), 64):
        some = images[start : start + 64]
        model(crop(some, whole.expand(len(some), 2, 3), size))
    for hook in hooks:
        hook.remove()
    for name, module in free.items():
        values = torch.cat(seen[name]).clamp(min=module.low)
        low, high = best_range(values[torch.randperm(len(values))[:SAMPLES]])
        module.low.fill_(low)
        module.high.fill_(high)


def fixed(model: MobileNetLight) -> set[str]:
    """Ranges that the arithmetic needs as they are: of the pixels, of hard swish's u and of hard sigmoid."""
    found = {"pixels"}
    for name, module in model.named_modules():
        if isinstance(module, Swish):
            found.add(f"{name}.cut")
        elif isinstance(module, Squeeze):
            found.add(f"{name}.gate")
    return found


def is_relu(name: str) -> bool:
    """Whether the range is a ReLU's and begins at 0."""
    return name.rpartition(".")[2] in ("expanded", "active", "squeezed")


def best_range(values: torch.Tensor) -> tuple[float, float]:
    """The low and high end with the least squared error of bytes."""
    least, most = min(0.0, values.min().item()), max(LEAST_END, values.max().item())
    if least > -1e-3:
        least = 0.0
    best = (float("inf"), least, most)
    for high in most * HIGHS:
        for low in least * (LOWS if least < -WIDE else np.ones(1)):
            scale = (high - low) / LEVELS
            zero = round(-low / scale)
            told = ((values / scale).round() + zero).clamp(0, LEVELS) - zero
            best = min(best, ((told * scale - values).pow(2).mean().item(), float(low), float(high)))
    return best[1:]
