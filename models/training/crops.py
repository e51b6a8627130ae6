"""What training and fine-tuning share: random crops of images as the pair takes them, and distillation's loss."""

import numpy as np
import torch
from torch.nn import functional

from training.architectures import MEAN, STD

TEMPERATURE = 2.0  # of distillation


def random_crops(count: int, least_area: float = 0.35) -> torch.Tensor:
    """float32 [count, 2, 3], `affine_grid`'s theta: a crop of `least_area` to all of the area, mirrored or not."""
    side = torch.sqrt(torch.empty(count).uniform_(least_area, 1))
    ratio = torch.exp(torch.empty(count).uniform_(-0.2, 0.2))
    width, height = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = width * (torch.randint(0, 2, (count,)) * 2 - 1)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (torch.rand(count) * 2 - 1) * (1 - width)
    theta[:, 1, 2] = (torch.rand(count) * 2 - 1) * (1 - height)
    return theta


def crop(images: np.ndarray, theta: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [n, side, side, 3] and the crop of each → normalized float32 [n, 3, size, size]."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    grid = functional.affine_grid(theta, [len(x), 3, size, size], align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return normalized(x).to(memory_format=torch.channels_last)


def normalized(pixels: torch.Tensor) -> torch.Tensor:
    """Float pixels [n, 3, h, w] of 0 to 255 as the pair takes them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    return (pixels - mean) / std


def distillation(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """What the student's logits lack of the teacher's, both [n, classes] (Hinton et al., arXiv 1503.02531)."""
    student = functional.log_softmax(logits / TEMPERATURE, 1)
    teacher = functional.log_softmax(taught / TEMPERATURE, 1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * TEMPERATURE**2
