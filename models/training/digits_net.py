"""The network that reads digits: what it is, how its images are varied, and its training, which resumes from a checkpoint.

    average = train(plain, photos, Path("digits.pt"), epochs=20)
"""

import math
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from pipeline.network import Network
from training.running import BATCH, Run, accuracy

SIDE = 28
CLASSES = 11  # ten digits, and what is none
PEAK = 4e-3  # AdamW's learning rate
WARM_UP = 0.05  # share of the steps
SMOOTHING = 0.03  # of the labels; more makes the probabilities of plain digits too low
CALM = 0.7  # share of the steps from which on digits are varied half as much
SAVED_STEPS = 200


class Net(nn.Sequential):
    """Five convolutions of 3x3, two of which halve the sides, and a weighted mean: 110,000 parameters, 8 million products a digit. Digits are
    float32 [n, 1, 28, 28] from 0 to 1, the result is logits [n, 11], the last one for what is no digit."""

    def __init__(self) -> None:
        def block(before: int, after: int, stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

        super().__init__(
            *block(1, 24),
            *block(24, 32, 2),
            *block(32, 48),
            *block(48, 64, 2),
            *block(64, 96),
            nn.Conv2d(96, 96, 7, groups=96),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(96, CLASSES),
        )
        # At first the mean of 7x7: what is where is learned, as a 6 and a 9 have the same parts.
        nn.init.constant_(self[15].weight, 1 / 49)
        nn.init.zeros_(self[15].bias)


def write_graph(model: Net, file: Path) -> None:
    """Writes the model as ONNX, for one digit a run."""
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    net = Network(lambda name, _shape: tensors[name], [1, 1, SIDE, SIDE])
    x = net.image
    for place, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d):
            norm = f"{place + 1}" if layer.bias is None else None
            more = {"norm": norm, "bias": norm is None, "padding": layer.padding[0]}
            x = net.conv(x, f"{place}", layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.groups, **more)
        elif isinstance(layer, nn.ReLU):
            x = net.relu(x)
    onnx.save(net.finish(net.linear(net.flatten(x), f"{len(model) - 1}", CLASSES)), file)


def vary(digits: torch.Tensor, random: torch.Generator, strength: float) -> torch.Tensor:
    """Digits [n, 1, 28, 28] turned, slanted, moved and scaled a little, with wider or narrower strokes and other grays;
    at a strength of 0 as they are."""
    count = len(digits)

    def between(least: float, most: float) -> torch.Tensor:
        middle, reach = (least + most) / 2, strength * (most - least) / 2
        return middle + reach * (2 * torch.rand(count, generator=random) - 1)

    turn, slant, scale, aspect = between(-0.2, 0.2), between(-0.2, 0.2), between(0.88, 1.12), between(0.9, 1.1)
    cos, sin = torch.cos(turn) / scale, torch.sin(turn) / scale
    theta = torch.stack(
        [cos * aspect, slant - sin, between(-0.09, 0.09), sin * aspect, cos, between(-0.09, 0.09)], dim=1
    ).view(count, 2, 3)
    bend = functional.interpolate(
        torch.randn(count, 2, 5, 5, generator=random), (SIDE, SIDE), mode="bicubic", align_corners=True
    )
    grid = functional.affine_grid(theta, (count, 1, SIDE, SIDE), align_corners=False)
    grid = grid + bend.permute(0, 2, 3, 1) * between(-0.06, 0.06).view(-1, 1, 1, 1)
    varied = functional.grid_sample(digits, grid, align_corners=False)
    width = between(-0.95, 0.95).view(-1, 1, 1, 1)
    wider = functional.max_pool2d(varied, 3, 1, 1)
    narrower = -functional.max_pool2d(-varied, 3, 1, 1)
    other = torch.where(width > 0, wider, narrower)
    share = (width.abs() - 0.4).clamp(min=0)  # most strokes stay as they are
    varied = varied + share * (other - varied)
    return (varied * between(0.5, 1.5).view(-1, 1, 1, 1)).clamp(0, 1)


def train(
    sets: list[tuple[np.ndarray, np.ndarray]], file: Path, epochs: int, check: tuple[np.ndarray, np.ndarray]
) -> tuple[Net, dict]:
    """The moving average of the weights, and what the training was (images, minutes). Each batch takes equal shares of
    the sets, (images uint8 [n, 28, 28], labels); an epoch is once the first set. `check` is only printed."""
    share = BATCH // len(sets)
    steps = epochs * len(sets[0][0]) // share
    torch.manual_seed(0)
    model = Net().to(memory_format=torch.channels_last)
    groups = [
        {"params": [value for value in model.parameters() if value.ndim > 1], "weight_decay": 0.05},
        {"params": [value for value in model.parameters() if value.ndim <= 1], "weight_decay": 0.0},
    ]
    run = Run(model, [torch.optim.AdamW([{**group, "peak": PEAK} for group in groups])])
    if file.exists():
        run.resume(file)
    started, before, losses = time.monotonic(), run.minutes, []
    for step in range(run.images // BATCH, steps):
        random = torch.Generator().manual_seed(step)  # so that a resumed training goes on as an uninterrupted one
        torch.manual_seed(step)
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
        run.set_rate(max(1e-3, min(1, step / steps / WARM_UP) * fall))
        digits, labels = zip(*(_pick(images, names, share, random) for images, names in sets), strict=True)
        strength = 1 if step < CALM * steps else 0.5
        varied = vary(torch.cat(digits), random, strength).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(varied).float()
        loss = functional.cross_entropy(logits, torch.cat(labels), label_smoothing=SMOOTHING)
        losses.append(run.learn(loss, BATCH))
        run.minutes = before + (time.monotonic() - started) / 60
        if (step + 1) % SAVED_STEPS == 0 or step + 1 == steps:
            run.save(file, [])
            right, _ = accuracy(answers_of(run.average), *check)
            done = f"{(step + 1) / steps:6.1%} {run.minutes:6.1f} min"
            print(f"{done}  loss {np.mean(losses):.4f}  {right:.2%} of {len(check[1])}", flush=True)
            losses = []
    return run.average, {"images": run.images, "minutes": run.minutes}


def answers_of(model: Net):
    """The logits for images uint8 [n, 28, 28]."""
    return lambda images: model(torch.from_numpy(images).unsqueeze(1).float() / 255)


def _pick(images: np.ndarray, labels: np.ndarray, count: int, random: torch.Generator):
    rows = torch.randint(len(images), (count,), generator=random).numpy()
    return torch.from_numpy(images[rows]).unsqueeze(1).float() / 255, torch.from_numpy(labels[rows]).long()
