"""Random weights that behave like trained ones where speed, memory and quantization are measured.

    model = seeded("wide_resnet50_2", 1000, seed=7, input=recipe.input)

Untrained batch norms would let activations grow or vanish layer by layer, and all images would have one class. So their
statistics are measured on generated images, and the last layer is centered and scaled on them.
"""

import numpy as np
import torch
from torch import nn

from pipeline.architectures import build
from pipeline.recipe import Input

IMAGES = 16  # enough for the mean and variance of each channel
LOGIT_SPREAD = (
    3.0  # standard deviation of the logits, about that of trained classifiers, so that a first class stands out
)


def generated_images(count: int, side: int, seed: int) -> np.ndarray:
    """Colored waves, edges and grain, about what photos are to a first layer: uint8 [count, side, side, 3] RGB."""
    random = np.random.RandomState(seed)  # its numbers are the same in every version of numpy
    y, x = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    images = np.empty((count, side, side, 3), np.uint8)
    for image in images:
        edge = np.floor((x + y) * 8 * random.rand()) % 2
        coarseness = random.rand()
        for channel in range(3):
            across, down = 2 + 28 * random.rand(2)
            wave = np.sin(across * x + down * y + 6.3 * random.rand())
            light = random.rand() + 0.3 * wave + 0.2 * edge + coarseness * (random.rand(side, side) - 0.5)
            image[..., channel] = np.rint(255 * np.clip(light, 0, 1))
    return images


def normalized(pixels: np.ndarray, input: Input) -> np.ndarray:
    """uint8 [n, side, side, 3] as the models' input: float32 [n, 3, side, side]."""
    return np.ascontiguousarray(((pixels / 255 - input.mean) / input.std).astype(np.float32).transpose(0, 3, 1, 2))


def seeded(architecture: str, classes: int, seed: int, input: Input) -> nn.Module:
    """The architecture with weights from `seed`, for inference."""
    torch.manual_seed(seed)
    model = build(architecture, classes).eval()
    images = torch.from_numpy(normalized(generated_images(IMAGES, input.crop, seed), input))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain mean over what it sees
        model(images)
        model.eval()
        logits = model(images)
        head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        mean = logits.mean(0)
        scale = LOGIT_SPREAD / (logits - mean).std()
        head.weight *= scale
        head.bias.copy_((head.bias - mean) * scale)
    return model
