"""The cloud network: seven channels at 10 m to logits of clear, cloud and shadow, 0.47 million parameters.

    logits = CloudNetwork()(values)         float32 [n, 7, H, W] to [n, 3, H, W]; H and W are multiples of 16

An encoder of four levels with sums instead of joined skips (U-Net, arXiv 1505.04597; LinkNet, arXiv 1707.03718).
The first step halves the sides and the last one doubles them, since a full-size level would cost more than all
others.
"""

import torch
from torch import nn
from torch.nn import functional

CHANNELS = 7  # B02, B03, B04, B08, B11, B12, and 1 where SWIR is there
WIDTHS = (32, 48, 64, 80)  # at a half to a sixteenth of the side
MULTIPLE = 16


def _layer(before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """A layer added to what it is given."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.layer = _layer(width, width, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer(x)


class CloudNetwork(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = WIDTHS
        self.first = nn.Sequential(_layer(CHANNELS, first, stride=2), Residual(first), Residual(first))
        self.second = nn.Sequential(_layer(first, second, stride=2), Residual(second), Residual(second))
        self.third = nn.Sequential(_layer(second, third, stride=2), Residual(third), Residual(third))
        wide = (Residual(fourth, dilation) for dilation in (1, 2, 4))
        self.fourth = nn.Sequential(_layer(third, fourth, stride=2), *wide)
        self.narrow = nn.ModuleList(_layer(b, a, 1) for b, a in ((fourth, third), (third, second), (second, first)))
        self.merge = nn.ModuleList(Residual(width) for width in (third, second, first))
        self.head = nn.Conv2d(first, 3 * 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        deep = self.fourth(third)
        for narrow, merge, skip in zip(self.narrow, self.merge, (third, second, first), strict=True):
            deep = merge(skip + functional.interpolate(narrow(deep), scale_factor=2, mode="nearest"))
        return functional.pixel_shuffle(self.head(deep), 2)
