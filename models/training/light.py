"""MobileNetV3-Large with two blocks less, made of operators that have an int8 form, for weights and activations of 8 bits.

    model = MobileNetLight(200)
    simulate_bytes(model, True)  # computes what int8 will, and can still be trained

Each activation passes a `Range`, which the graph has as a Clip: the ranges of the int8 graph are part of the model
and are trained with it (after arXiv 1712.05877). Hard swish is u (u - SWISH_SHIFT) of u = (x + 3) / sqrt(6): the convolution
before it has factor and offset in its weights, the range of u cuts it off, and one product is left. Above x = 3 it stays
3, where hard swish goes on. There are no batch norms: those of the trained model are folded.
"""

import torch
from torch import nn
from torch.nn import functional

from pipeline.architectures import LIGHT, LIGHT_HIDDEN, SWISH_LEAST, SWISH_MOST, SWISH_SHIFT, SWISH_U_END, Shape

LEVELS = 255  # steps of a byte
LARGEST = 127  # of a signed byte; -128 is left out, so that weights are symmetric
PIXELS = (-2.118, 2.64)  # what normalizing makes of the bytes 0 and 255, over all channels


class Range(nn.Module):
    """Values outside `low` to `high` become those; `simulated`: and the rest the nearest of 256 levels."""

    def __init__(self, low: float, high: float):
        super().__init__()
        self.register_buffer("low", torch.tensor(float(low)))
        self.register_buffer("high", torch.tensor(float(high)))
        self.simulated = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = float(self.low), float(self.high)
        if not self.simulated:
            return functional.hardtanh(x, low, high)
        scale = (high - low) / LEVELS
        return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, LEVELS)


class ByteConv(nn.Conv2d):
    """A convolution; `simulated`: with weights of 8 bits, a scale for each output channel."""

    simulated = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, as_bytes(self.weight) if self.simulated else self.weight, self.bias)


class ByteLinear(nn.Linear):
    """A matrix product; `simulated`: with weights of 8 bits, a scale for each output feature."""

    simulated = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, as_bytes(self.weight) if self.simulated else self.weight, self.bias)


def as_bytes(weight: torch.Tensor) -> torch.Tensor:
    """float32 [out, ...] rounded to signed bytes times a scale for each output; gradients pass unchanged."""
    scale = weight_scale(weight)
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -LARGEST, LARGEST)


def weight_scale(weight: torch.Tensor) -> torch.Tensor:
    """float32 [out]: what a step of a signed byte stands for."""
    return weight.detach().abs().flatten(1).amax(1).clamp(min=1e-6) / LARGEST


def simulate_bytes(model: nn.Module, simulated: bool) -> None:
    """Whether the model computes with bytes, as int8 does, or with float32 between the same bounds."""
    for module in model.modules():
        if isinstance(module, Range | ByteConv | ByteLinear):
            module.simulated = simulated


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Puts the nearest weights of 8 bits in place of all weights; a second time changes nothing."""
    for module in model.modules():
        if isinstance(module, ByteConv | ByteLinear):
            module.weight.copy_(as_bytes(module.weight))


class Swish(nn.Module):
    """u (u - SWISH_SHIFT) of u, which the convolution before gives."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = Range(0, SWISH_U_END)
        self.out = Range(SWISH_LEAST, SWISH_MOST)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        u = self.cut(u)
        return self.out(u * (u - SWISH_SHIFT))


def activation(swish: bool) -> nn.Module:
    """Hard swish, or a ReLU: a range from 0."""
    return Swish() if swish else Range(0, 6)


class Squeeze(nn.Module):
    """Squeeze and excitation (arXiv 1709.01507): scales each channel by what the means of all say."""

    def __init__(self, width: int, narrow: int):
        super().__init__()
        self.pooled = Range(SWISH_LEAST, 6)
        self.squeeze, self.squeezed = ByteConv(width, narrow, 1), Range(0, 6)
        self.excite, self.gate = ByteConv(narrow, width, 1), Range(0, 1)
        self.out = Range(SWISH_LEAST, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = self.pooled(functional.adaptive_avg_pool2d(x, 1))
        return self.out(x * self.gate(self.excite(self.squeezed(self.squeeze(means)))))


class Block(nn.Module):
    """Inverted bottleneck of MobileNetV3 (arXiv 1905.02244)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.expands = shape.wide != shape.width
        if self.expands:
            self.expand, self.expanded = ByteConv(shape.width, shape.wide, 1), activation(shape.swish)
        self.spatial = ByteConv(
            shape.wide, shape.wide, shape.kernel, shape.stride, shape.kernel // 2, groups=shape.wide
        )
        self.active = activation(shape.swish)
        self.squeeze = Squeeze(shape.wide, shape.squeeze) if shape.squeeze else nn.Identity()
        self.project, self.projected = ByteConv(shape.wide, shape.out, 1), Range(-6, 6)
        self.skips = shape.width == shape.out and shape.stride == 1
        if self.skips:
            self.added = Range(-6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.expanded(self.expand(x)) if self.expands else x
        y = self.squeeze(self.active(self.spatial(y)))
        y = self.projected(self.project(y))
        return self.added(x + y) if self.skips else y


class MobileNetLight(nn.Module):
    """The model: normalized RGB [n, 3, h, w] to logits [n, classes]."""

    def __init__(self, classes: int, features: int = 960, hidden: int = LIGHT_HIDDEN):
        super().__init__()
        self.pixels = Range(*PIXELS)
        self.stem, self.stem_active = ByteConv(3, LIGHT[0].width, 3, 2, 1), Swish()
        self.blocks = nn.ModuleList(Block(shape) for shape in LIGHT)
        self.last, self.last_active = ByteConv(LIGHT[-1].out, features, 1), Swish()
        self.pooled = Range(SWISH_LEAST, SWISH_MOST)
        self.hidden, self.hidden_active = ByteConv(features, hidden, 1), Swish()
        self.head = ByteLinear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Without simulation the pixels' range would change nothing, and the graph would have a node more.
        x = self.pixels(x) if self.pixels.simulated else x
        x = self.stem_active(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = self.pooled(functional.adaptive_avg_pool2d(self.last_active(self.last(x)), 1))
        return self.head(self.hidden_active(self.hidden(x)).flatten(1))
