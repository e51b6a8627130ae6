"""Fine-tunes an embedded model on a few hundred images without forgetting what it knew.

    tuned = tune(model, Lesson(images, classes), rehearsal, Tuning())

Batch norms keep their statistics: a few hundred images would give worse ones. Beside the labels the old model's own
answers to the same crops are learned (distillation), and half of each batch are images that it was trained on, where
there are some. What is returned lies between the old and the tuned weights.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.architectures import MEAN, STD

BATCH = 64  # half of it rehearsal, where there is some
TEMPERATURE = 2.0  # of distillation, as in the pair's own training
SMOOTHING = 0.1  # of labels, as in the pair's own training
# How far the row of a new class points at first, as a share of the others' length. Further, new classes are named more
# often and others less: models/README.md has the figures.
FRESH_REACH = 0.5
WARM_UP = 0.1  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Lesson:
    """Images, uint8 [n, side, side, 3] RGB, larger than the model's input, and their classes, int64 [n], by
    position."""

    images: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Tuning:
    """How to fine-tune; the values are those that did best in the measurement of models/README.md."""

    epochs: int | None = 15
    minutes: float | None = None
    """In place of epochs."""
    learning_rate: float = 1e-4
    """Of AdamW, after a warm-up falling to 0."""
    size: int = 64
    """Pixels a side of the crops: below the size served, since crops show things larger (arXiv 1906.06423)."""
    least_area: float = 0.35
    """Of the image, that a crop shows."""
    distillation: float = 0.5
    """Weight of the old model's answers; the labels have the rest."""
    share: float = 0.5
    """How far to go from the old weights to the tuned ones."""
    seed: int = 1
    bfloat16: bool = False
    """Right for wide convolutions on a processor that has it; depthwise ones are slower with it."""


def tune(
    model: nn.Module,
    new: Lesson,
    rehearsal: Lesson | None,
    tuning: Tuning,
    fresh: Sequence[int] = (),
    on_progress: Callable[[float, float], None] = lambda share, loss: None,
) -> nn.Module:
    """A tuned copy of `model`. `fresh`: positions of classes that it has yet to learn. `on_progress` is told the share
    that is done and the loss. Takes as many threads as torch has."""
    teacher, tuned = model.eval(), imprinted(model, new, rehearsal, fresh, tuning.size)
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=tuning.learning_rate, weight_decay=0.0)
    kept = [position for position in range(last_layer(tuned)[1].out_features) if position not in set(fresh)]
    torch.manual_seed(tuning.seed)
    order = np.random.RandomState(tuning.seed)
    per_batch = BATCH // 2 if rehearsal is not None else BATCH
    steps_per_epoch = max(1, round(len(new.images) / per_batch))
    steps = steps_per_epoch * (tuning.epochs or 1)
    picks, old_picks = _endless(len(new.images), order), _endless(len(rehearsal.images) if rehearsal else 0, order)
    started, step = time.monotonic(), 0
    while True:
        done = step / steps if tuning.minutes is None else (time.monotonic() - started) / 60 / tuning.minutes
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = tuning.learning_rate * min(1.0, (done + 1e-3) / WARM_UP) * (1 - done)
        rows = [next(picks) for _ in range(per_batch)]
        images, classes = new.images[rows], new.classes[rows]
        if rehearsal is not None:
            rows = sorted(next(old_picks) for _ in range(BATCH - per_batch))
            images = np.concatenate([images, rehearsal.images[rows]])
            classes = np.concatenate([classes, rehearsal.classes[rows]])
        crops = crop(images, random_crops(len(images), tuning.least_area), tuning.size)
        with torch.autocast("cpu", torch.bfloat16, enabled=tuning.bfloat16):
            logits = tuned(crops).float()
        loss = functional.cross_entropy(logits, torch.from_numpy(classes), label_smoothing=SMOOTHING)
        if tuning.distillation > 0:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=tuning.bfloat16):
                taught = teacher(crops).float()
            loss = (1 - tuning.distillation) * loss + tuning.distillation * divergence(logits[:, kept], taught[:, kept])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        on_progress(min(1.0, done + 1 / steps if tuning.minutes is None else done), loss.item())
    mixed = between(model, tuned, tuning.share)
    with torch.no_grad():
        for mine, theirs in zip(last_layer(mixed)[1].parameters(), last_layer(tuned)[1].parameters(), strict=True):
            mine[list(fresh)] = theirs[list(fresh)]  # half way to a class that was not known would be half known
    return mixed


def imprinted(
    model: nn.Module, new: Lesson, rehearsal: Lesson | None, fresh: Sequence[int], size: int
) -> nn.Module:
    """A copy of `model` whose last layer's rows of the classes `fresh` point where the features of their images differ
    from those of all (after arXiv 1712.07136). What is alike in all images makes them neither likelier nor less likely
    than the other classes.

    A few dozen steps could not turn a row that far: Adam's are no longer than the learning rate.
    """
    copied = copy.deepcopy(model).eval()
    if not fresh:
        return copied
    head = last_layer(copied)[1]
    features = features_of(copied, new.images, size)
    usual = features_of(copied, rehearsal.images, size).mean(0) if rehearsal is not None else features.mean(0)
    with torch.no_grad():
        others = [row for row in range(head.out_features) if row not in set(fresh)]
        mean = head.weight[others].mean(0)
        reach = (head.weight[others] - mean).norm(dim=1).mean()
        for row in set(fresh) & set(new.classes.tolist()):
            away = features[torch.from_numpy(new.classes == row)].mean(0) - usual
            turned = functional.normalize(away, dim=0) * reach * FRESH_REACH
            head.weight[row] = mean + turned
            head.bias[row] = head.bias[others].mean() - turned @ usual
    return copied


def features_of(model: nn.Module, images: np.ndarray, size: int) -> torch.Tensor:
    """float32 [n, features]: what the last layer reads for whole images, uint8 [n, side, side, 3], of `size` pixels a
    side."""
    read: list[torch.Tensor] = []
    hook = last_layer(model)[1].register_forward_pre_hook(lambda _module, given: read.append(given[0]))
    whole = torch.eye(2, 3)
    try:
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                some = images[start : start + BATCH]
                model(crop(some, whole.expand(len(some), 2, 3), size))
    finally:
        hook.remove()
    return torch.cat(read)


def between(old: nn.Module, tuned: nn.Module, share: float) -> nn.Module:
    """A model whose weights lie `share` of the way from `old` to `tuned` (arXiv 2109.01903)."""
    mixed = copy.deepcopy(old)
    ends = tuned.state_dict()
    mixed.load_state_dict(
        {
            name: torch.lerp(value, ends[name], share) if value.is_floating_point() else value
            for name, value in old.state_dict().items()
        }
    )
    return mixed.eval()


def grow(model: nn.Module, old: list[str], new: list[str]) -> nn.Module:
    """A copy of `model` whose last layer answers for the classes `new` in place of `old`; a class that it did not
    know begins as the mean of all others, so that it is neither preferred nor ruled out."""
    grown = copy.deepcopy(model)
    name, head = last_layer(grown)
    wider = nn.Linear(head.in_features, len(new))
    place = {known: row for row, known in enumerate(old)}
    with torch.no_grad():
        for row, known in enumerate(new):
            kept = place.get(known)
            wider.weight[row] = head.weight.mean(0) if kept is None else head.weight[kept]
            wider.bias[row] = head.bias.mean() if kept is None else head.bias[kept]
    parent, _, leaf = name.rpartition(".")
    setattr(grown.get_submodule(parent), leaf, wider)
    return grown.eval()


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, bfloat16 is slower than float32."""
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


def last_layer(model: nn.Module) -> tuple[str, nn.Linear]:
    """The name and the module of the layer that gives the logits."""
    return [entry for entry in model.named_modules() if isinstance(entry[1], nn.Linear)][-1]


def random_crops(count: int, least_area: float) -> torch.Tensor:
    """float32 [count, 2, 3], `affine_grid`'s theta: a random crop of `least_area` to all of the image, mirrored or
    not."""
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


def divergence(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """What the logits lack of the teacher's, both [n, classes] (arXiv 1503.02531)."""
    student = functional.log_softmax(logits / TEMPERATURE, 1)
    teacher = functional.log_softmax(taught / TEMPERATURE, 1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * TEMPERATURE**2


def _endless(count: int, order: np.random.RandomState):
    """Positions below `count` in random order, each once before any comes again."""
    while count > 0:
        yield from order.permutation(count)
