"""The architectures that recipes name: modules that take normalized RGB [n, 3, h, w] and give logits [n, classes].

model = build("efficientnet-lite0", 1000)
"""

from math import ceil

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

from pipeline.light import MobileNetLight

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, per channel of 0 to 1
STD = (0.229, 0.224, 0.225)


class WideBlock(nn.Module):
    """Pre-activation residual block B(3,3) of Zagoruyko and Komodakis, arXiv 1605.07146."""

    def __init__(self, width_in: int, width_out: int, stride: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        same = width_in == width_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width_out, 1, stride, bias=False)
        self.same = same

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(self.norm1(x))
        y = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return y + (x if self.same else self.shortcut(active))


class WideResNet(nn.Module):
    """WRN-depth-factor; the stem strides by 2, so 64x64 images cost what 32x32 do in the paper."""

    def __init__(self, classes: int, depth: int = 16, factor: int = 4):
        super().__init__()
        blocks = (depth - 4) // 6
        widths = [16, 16 * factor, 32 * factor, 64 * factor]
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.body = nn.Sequential(
            *[
                WideBlock(
                    widths[group] if block == 0 else widths[group + 1],
                    widths[group + 1],
                    2 if block == 0 and group > 0 else 1,
                )
                for group in range(3)
                for block in range(blocks)
            ]
        )
        self.norm = nn.BatchNorm2d(widths[3])
        self.head = nn.Linear(widths[3], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.relu(self.norm(self.body(self.stem(x)))).mean((2, 3)))


def mobilenet(classes: int) -> nn.Module:
    """MobileNetV3-Large (arXiv 1905.02244) for small images: the last of its five strides is 1, so that 64x64 pixels
    end as 4x4 and not 2x2, and its last hidden layer has 512 features, so that float32 weights stay below 15 MB."""
    stages, _ = _mobilenet_v3_conf("mobilenet_v3_large")
    last_stride = [stage for stage in stages if stage.stride == 2][-1]
    last_stride.stride = 1
    model = MobileNetV3(stages, last_channel=512, num_classes=classes, dropout=0.1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # torchvision's 0.01 lags behind in a training of minutes
    return model


class SameConv(nn.Conv2d):
    """Padded as TensorFlow's SAME: the output has ceil(side / stride) pixels a side, an odd one of padding is last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        padding = []
        for side in (int(x.shape[3]), int(x.shape[2])):  # int: an exporter then sees constants
            whole = max((ceil(side / stride) - 1) * stride + kernel - side, 0)
            padding += [whole // 2, whole - whole // 2]
        left, right, top, bottom = padding
        if left == right and top == bottom:
            return functional.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        return super().forward(functional.pad(x, padding))


LITE_EPSILON = 1e-3  # of TensorFlow's batch norms
LITE_DROPOUT = 0.2
# Blocks, kernel, stride of the first, expansion, width: EfficientNet-B0's stages, arXiv 1905.11946, table 1.
LITE_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class LiteBlock(nn.Module):
    """Inverted bottleneck without squeeze-and-excite; names are those of the published weights."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = width_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(width_in, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, LITE_EPSILON)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, LITE_EPSILON)
        self._project_conv = nn.Conv2d(wide, width_out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(width_out, LITE_EPSILON)
        self.skips = stride == 1 and width_in == width_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 without squeeze-and-excite and with ReLU6 for swish; names are those of the published weights."""

    def __init__(self, classes: int):
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, LITE_EPSILON)
        blocks, width = [], 32
        for count, kernel, stride, expansion, wider in LITE_STAGES:
            for index in range(count):
                blocks.append(LiteBlock(width, wider, kernel, stride if index == 0 else 1, expansion))
                width = wider
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(width, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, LITE_EPSILON)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._blocks(functional.relu6(self._bn0(self._conv_stem(x))))
        x = functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return self._fc(functional.dropout(x, LITE_DROPOUT, self.training))


def _torchvision(name: str):
    return lambda classes: torchvision.models.get_model(name, weights=None, num_classes=classes)


BUILDERS = {
    "wide-resnet": WideResNet,
    "mobilenet": mobilenet,
    "mobilenet-light": MobileNetLight,
    "wide_resnet50_2": _torchvision("wide_resnet50_2"),
    "mobilenet_v3_large": _torchvision("mobilenet_v3_large"),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "efficientnet-lite0": EfficientNetLite0,
}


def build(name: str, classes: int) -> nn.Module:
    """The untrained model of one of the architectures in BUILDERS, with as many logits as `classes`."""
    return BUILDERS[name](classes)
