"""The architectures that recipes name, as graphs: normalized RGB [1, 3, side, side] to logits [1, classes].

    model = write_network("efficientnet-lite0", 1000, 224, tensors)

The tensors have the names of the published weights. `training/architectures.py` has those in PyTorch that are trained here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import onnx

from pipeline.network import Network, Tensors, Value

IMAGES = 1  # a run


@dataclass(frozen=True)
class Shape:
    """Of a block of MobileNetV3: `wide` channels inside, `squeeze` those of its squeeze and excitation, 0 for none."""

    width: int
    kernel: int
    wide: int
    out: int
    squeeze: int
    swish: bool
    stride: int


# MobileNetV3-Large's, arXiv 1905.02244, table 1.
V3_LARGE = (
    Shape(16, 3, 16, 16, 0, False, 1),
    Shape(16, 3, 64, 24, 0, False, 2),
    Shape(24, 3, 72, 24, 0, False, 1),
    Shape(24, 5, 72, 40, 24, False, 2),
    Shape(40, 5, 120, 40, 32, False, 1),
    Shape(40, 5, 120, 40, 32, False, 1),
    Shape(40, 3, 240, 80, 0, True, 2),
    Shape(80, 3, 200, 80, 0, True, 1),
    Shape(80, 3, 184, 80, 0, True, 1),
    Shape(80, 3, 184, 80, 0, True, 1),
    Shape(80, 3, 480, 112, 120, True, 1),
    Shape(112, 3, 672, 112, 168, True, 1),
    Shape(112, 5, 672, 160, 168, True, 2),
    Shape(160, 5, 960, 160, 240, True, 1),
    Shape(160, 5, 960, 160, 240, True, 1),
)
LAST_STRIDE = 12  # the block whose stride is 1 in the models for small images
V3_EPSILON = 1e-3  # of its batch norms

MULTIPLE = 16  # channels inside a block of the light model: a register of AVX-512 holds as many sums
# Without the second block of 112 channels and the last of 160, which gave least: without them and without training the
# model named the right class for 46.4 % of 2,000 validation images (with them: 48.1 %).
LEFT_OUT = (11, 14)
LIGHT = tuple(
    replace(shape, wide=ceil(shape.wide / MULTIPLE) * MULTIPLE, stride=1 if place == LAST_STRIDE else shape.stride)
    for place, shape in enumerate(V3_LARGE)
    if place not in LEFT_OUT
)
"""The blocks of `training/light.py`, with channels inside in whole registers."""
LIGHT_HIDDEN = 512  # features of the last hidden layer in the models for small images
SWISH_FACTOR = 6**-0.5  # of x in u, so that the product of u with itself is divided by 6: see training/light.py
SWISH_SHIFT = 3 * SWISH_FACTOR
# u ends at 2 SWISH_SHIFT, where x is 3; one step of 254 more makes SWISH_SHIFT exactly 127 steps.
SWISH_U_END = 2 * SWISH_SHIFT * 255 / 254
SWISH_LEAST = -0.375  # of x (x + 3) / 6, at x = -1.5
SWISH_MOST = SWISH_U_END * (SWISH_U_END - SWISH_SHIFT)


def small_wide_resnet(net: Network, classes: int, depth: int = 16, factor: int = 4) -> Value:
    """WRN-depth-factor of pre-activated blocks B(3,3) with a stem of stride 2, arXiv 1605.07146."""
    widths = [16, 16 * factor, 32 * factor, 64 * factor]
    # The stem's only reader is the first block's norm.
    x = active = net.relu(net.conv(net.image, "stem", widths[0], 3, 2, norm="body.0.norm1"))
    count = (depth - 4) // 6
    for block in range(3 * count):
        name, width = f"body.{block}", widths[block // count + 1]
        stride = 2 if block in (count, 2 * count) else 1
        if block > 0:
            active = net.relu(net.norm(x, f"{name}.norm1"))
        y = net.relu(net.conv(active, f"{name}.conv1", width, 3, stride, norm=f"{name}.norm2"))
        y = net.conv(y, f"{name}.conv2", width, 3)
        if x.width != width or stride != 1:
            x = net.conv(active, f"{name}.shortcut", width, 1, stride)
        x = net.add(y, x, name)
    return net.linear(net.mean(net.relu(net.norm(x, "norm"))), "head", classes)


def wide_resnet50_2(net: Network, classes: int) -> Value:
    """torchvision's: ResNet-50 with its bottlenecks twice as wide, their stride on the 3x3 convolution."""
    x = net.max_pool(net.relu(net.conv(net.image, "conv1", 64, 7, 2, norm="bn1")), "maxpool")
    for group, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            name, width = f"layer{group + 1}.{block}", 128 << group
            stride = 2 if block == 0 and group > 0 else 1
            y = net.relu(net.conv(x, f"{name}.conv1", width, norm=f"{name}.bn1"))
            y = net.relu(net.conv(y, f"{name}.conv2", width, 3, stride, norm=f"{name}.bn2"))
            y = net.conv(y, f"{name}.conv3", 2 * width, norm=f"{name}.bn3")
            if block == 0:
                x = net.conv(x, f"{name}.downsample.0", 2 * width, 1, stride, norm=f"{name}.downsample.1")
            x = net.relu(net.add(y, x, name))
    return net.linear(net.flatten(net.pool(x)), "fc", classes)


def mobilenet_v2(net: Network, classes: int) -> Value:
    """torchvision's, arXiv 1801.04381, table 2."""
    x = net.relu6(net.conv(net.image, "features.0.0", 32, 3, 2, norm="features.0.1"))
    place = 1
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, width, count, first_stride in stages:
        for index in range(count):
            name, stride, wide = f"features.{place}.conv", first_stride if index == 0 else 1, x.width * expansion
            y, part = x, 0
            if expansion != 1:
                y, part = net.relu6(net.conv(x, f"{name}.0.0", wide, norm=f"{name}.0.1")), 1
            y = net.conv(y, f"{name}.{part}.0", wide, 3, stride, groups=wide, norm=f"{name}.{part}.1")
            y = net.conv(net.relu6(y), f"{name}.{part + 1}", width, norm=f"{name}.{part + 2}")
            x = net.add(x, y, name) if stride == 1 and x.width == width else y
            place += 1
    x = net.relu6(net.conv(x, f"features.{place}.0", 1280, norm=f"features.{place}.1"))
    return net.linear(net.flatten(net.pool(x)), "classifier.1", classes)


def mobilenet_v3(net: Network, classes: int, hidden: int = 1280, last_stride: int = 2) -> Value:
    """torchvision's MobileNetV3-Large."""

    def conv(x: Value, name: str, width: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Value:
        return net.conv(x, f"{name}.0", width, kernel, stride, groups, f"{name}.1", V3_EPSILON)

    x = net.hard_swish(conv(net.image, "features.0", 16, 3, 2))
    for place, shape in enumerate(V3_LARGE):
        active = net.hard_swish if shape.swish else net.relu
        name, part, y = f"features.{place + 1}.block", 0, x
        stride = last_stride if place == LAST_STRIDE else shape.stride
        if shape.wide != shape.width:
            y, part = active(conv(x, f"{name}.0", shape.wide)), 1
        y = active(conv(y, f"{name}.{part}", shape.wide, shape.kernel, stride, shape.wide))
        if shape.squeeze:
            part += 1
            few = net.relu(net.conv(net.pool(y), f"{name}.{part}.fc1", shape.squeeze, bias=True))
            scale = net.hard_sigmoid(net.conv(few, f"{name}.{part}.fc2", shape.wide, bias=True))
            y = net.multiply(scale, y, f"{name}.{part}")
        y = conv(y, f"{name}.{part + 1}", shape.out)
        x = net.add(y, x, name) if stride == 1 and shape.width == shape.out else y
    x = net.hard_swish(conv(x, f"features.{len(V3_LARGE) + 1}", 960))
    x = net.hard_swish(net.linear(net.flatten(net.pool(x)), "classifier.0", hidden))
    return net.linear(x, "classifier.3", classes)


def mobilenet_light(net: Network, classes: int, features: int = 960) -> Value:
    """`training/light.py` without simulated bytes: ranges of the activations are Clip nodes."""

    def ranged(x: Value, name: str) -> Value:
        return net.clip(x, name, net.tensors(f"{name}.low", ()), net.tensors(f"{name}.high", ()))

    def active(x: Value, name: str, swish: bool = True) -> Value:
        if not swish:
            return ranged(x, name)
        cut = ranged(x, f"{name}.cut")
        product = net.multiply(cut, net.less(cut, f"{name}.less", SWISH_SHIFT), f"{name}.product")
        return ranged(product, f"{name}.out")

    def conv(x: Value, name: str, width: int, *more: int) -> Value:
        return net.conv(x, name, width, *more, bias=True)

    for end in ("low", "high"):
        net.tensors(f"pixels.{end}", ())  # serves training alone
    x = active(conv(net.image, "stem", LIGHT[0].width, 3, 2), "stem_active")
    for place, shape in enumerate(LIGHT):
        name, y = f"blocks.{place}", x
        if shape.wide != shape.width:
            y = active(conv(x, f"{name}.expand", shape.wide), f"{name}.expanded", shape.swish)
        y = conv(y, f"{name}.spatial", shape.wide, shape.kernel, shape.stride, shape.wide)
        y = active(y, f"{name}.active", shape.swish)
        if shape.squeeze:
            squeeze = f"{name}.squeeze"
            few = conv(ranged(net.pool(y), f"{squeeze}.pooled"), f"{squeeze}.squeeze", shape.squeeze)
            gate = ranged(conv(ranged(few, f"{squeeze}.squeezed"), f"{squeeze}.excite", shape.wide), f"{squeeze}.gate")
            y = ranged(net.multiply(y, gate, squeeze), f"{squeeze}.out")
        y = ranged(conv(y, f"{name}.project", shape.out), f"{name}.projected")
        skips = shape.width == shape.out and shape.stride == 1
        x = ranged(net.add(x, y, name), f"{name}.added") if skips else y
    x = ranged(net.pool(active(conv(x, "last", features), "last_active")), "pooled")
    return net.linear(net.flatten(active(conv(x, "hidden", LIGHT_HIDDEN), "hidden_active")), "head", classes)


LITE_EPSILON = 1e-3  # of TensorFlow's batch norms
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
LITE_MULTIPLE = 8  # of which the widths are the nearest, but not less than 0.9 of what they should be


def efficientnet_lite(net: Network, classes: int, wider: float = 1.0, deeper: float = 1.0) -> Value:
    """EfficientNet-Lite: without squeeze-and-excite and with ReLU6 for swish; the stem, the head and the number of blocks
    of the first and the last stage do not grow. Names are those of the published weights."""

    def conv(x: Value, name: str, norm: str, width: int, *more: int) -> Value:
        return net.conv(x, name, width, *more, norm=norm, epsilon=LITE_EPSILON, same=True)

    x = net.relu6(conv(net.image, "_conv_stem", "_bn0", 32, 3, 2))
    place = 0
    for stage, (count, kernel, first_stride, expansion, width) in enumerate(LITE_STAGES):
        is_fixed = stage in (0, len(LITE_STAGES) - 1)
        for index in range(count if is_fixed else ceil(count * deeper)):
            name, stride, wide = f"_blocks.{place}", first_stride if index == 0 else 1, x.width * expansion
            y = x
            if expansion != 1:
                y = net.relu6(conv(x, f"{name}._expand_conv", f"{name}._bn0", wide))
            y = net.relu6(conv(y, f"{name}._depthwise_conv", f"{name}._bn1", wide, kernel, stride, wide))
            y = conv(y, f"{name}._project_conv", f"{name}._bn2", lite_width(width * wider))
            x = net.add(x, y, name) if stride == 1 and x.width == y.width else y
            place += 1
    return net.linear(net.mean(net.relu6(conv(x, "_conv_head", "_bn1", 1280))), "_fc", classes)


def lite_width(width: float) -> int:
    """The multiple of LITE_MULTIPLE for a stage."""
    nearest = max(LITE_MULTIPLE, int(width + LITE_MULTIPLE / 2) // LITE_MULTIPLE * LITE_MULTIPLE)
    return nearest if nearest >= 0.9 * width else nearest + LITE_MULTIPLE


WRITERS: dict[str, Callable[[Network, int], Value]] = {
    "wide-resnet": small_wide_resnet,
    "mobilenet": lambda net, classes: mobilenet_v3(net, classes, LIGHT_HIDDEN, last_stride=1),
    "mobilenet-light": mobilenet_light,
    "wide_resnet50_2": wide_resnet50_2,
    "mobilenet_v3_large": mobilenet_v3,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet-lite0": efficientnet_lite,
    "efficientnet-lite2": lambda net, classes: efficientnet_lite(net, classes, wider=1.1, deeper=1.2),
}


def write_network(
    architecture: str, classes: int, side: int, tensors: Tensors, norms: str = "folded", images: int = IMAGES
) -> tuple[onnx.ModelProto, Network]:
    """The graph for images of `side` pixels, and what wrote it."""
    net = Network(tensors, [images, 3, side, side], norms)
    return net.finish(WRITERS[architecture](net, classes)), net
