"""Random weights that behave like trained ones where speed, memory and quantization are measured.

    model = seeded("wide_resnet50_2", 1000, seed=7, input=recipe.input)

With untrained batch norms, activations grow or vanish layer by layer, and all images have one class. So their
statistics are measured on generated images, and the last layer is centered and scaled on them.
"""

import torch
from torch import nn

from pipeline.architectures import build
from pipeline.images import generated, normalized
from pipeline.recipe import Input

IMAGES = 16  # enough for the mean and variance of each channel
LOGIT_SPREAD = 3.0  # standard deviation of the logits, about that of trained classifiers: a first class stands out


def seeded(architecture: str, classes: int, seed: int, input: Input) -> nn.Module:
    """The architecture with weights from `seed`, for inference."""
    torch.manual_seed(seed)
    model = build(architecture, classes).eval()
    images = torch.from_numpy(normalized(generated(IMAGES, input.crop, seed), input.mean, input.std))
    with torch.no_grad():
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
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
