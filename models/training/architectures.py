"""The architectures that are trained here: modules that take normalized RGB [n, 3, h, w] and give logits [n, classes].

    model = build("wide-resnet", 200)

`pipeline/architectures.py` writes them as graphs, with the same names of weights.
"""

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

from training.light import MobileNetLight

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


BUILDERS = {"wide-resnet": WideResNet, "mobilenet": mobilenet, "mobilenet-light": MobileNetLight}


def build(name: str, classes: int) -> nn.Module:
    """The untrained model of one of the architectures in BUILDERS, with as many logits as `classes`."""
    return BUILDERS[name](classes)
