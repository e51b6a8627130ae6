"""Fine-tunes an embedded model on a few hundred images without forgetting what it knew.

    tuned = tune(model, Lesson(images, classes), rehearsal, Tuning())

Batch norms keep their statistics: a few hundred images would give worse ones. Beside the labels the old model's own
answers to the same crops are learned (distillation), and half of each batch are images that it was trained on, where
there are some. What is returned lies between the old and the tuned weights.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.crops import crop, distillation, random_crops

BATCH = 64  # half of it rehearsal, where there is some
SMOOTHING = 0.1  # of labels, as in the pair's own training
# How far the row of a new class points at first, as a share of the others' length. Further, new classes are named more
# often and others less often: of five classes taught anew, 0.6 has 59 % right for 43, and 0.75 points less on the rest.
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
    """A tuned copy of `model`. `fresh`: positions of classes that it has yet to learn. `on_progress` receives the share
    that is done and the loss. Takes as many threads as torch has."""
    teacher, tuned = model.eval(), imprinted(model, new, rehearsal, fresh, tuning.size)
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=tuning.learning_rate, weight_decay=0.0)
    kept = [position for position in range(last_layer(tuned)[1].out_features) if position not in set(fresh)]
    torch.manual_seed(tuning.seed)
    per_batch = BATCH // 2 if rehearsal is not None else BATCH
    steps = max(1, round(len(new.images) / per_batch)) * (tuning.epochs or 1)
    batches = _batches(new, rehearsal, per_batch, tuning.seed)
    started, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = tuning.learning_rate * min(1.0, (done + 1e-3) / WARM_UP) * (1 - done)
        images, classes = next(batches)
        crops = crop(images, random_crops(len(images), tuning.least_area), tuning.size)
        with torch.autocast("cpu", torch.bfloat16, enabled=tuning.bfloat16):
            logits = tuned(crops).float()
            with torch.no_grad():
                taught = teacher(crops).float()
        loss = functional.cross_entropy(logits, torch.from_numpy(classes), label_smoothing=SMOOTHING)
        loss = torch.lerp(loss, distillation(logits[:, kept], taught[:, kept]), tuning.distillation)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        done = step / steps if tuning.minutes is None else (time.monotonic() - started) / 60 / tuning.minutes
        on_progress(min(1.0, done), loss.item())
    mixed = between(model, tuned, tuning.share)
    with torch.no_grad():
        for mine, theirs in zip(last_layer(mixed)[1].parameters(), last_layer(tuned)[1].parameters(), strict=True):
            mine[list(fresh)] = theirs[list(fresh)]  # half way to a class that was not known would be half known
    return mixed


Batch = tuple[np.ndarray, np.ndarray]


def _batches(new: Lesson, rehearsal: Lesson | None, per_batch: int, seed: int) -> Iterator[Batch]:
    """Images and classes without end: `per_batch` new ones, and rehearsal up to BATCH."""
    order = np.random.RandomState(seed)
    picks, old_picks = _endless(len(new.images), order), _endless(len(rehearsal.images) if rehearsal else 0, order)
    while True:
        rows = [next(picks) for _ in range(per_batch)]
        images, classes = new.images[rows], new.classes[rows]
        if rehearsal is not None:
            rows = sorted(next(old_picks) for _ in range(BATCH - per_batch))
            images = np.concatenate([images, rehearsal.images[rows]])
            classes = np.concatenate([classes, rehearsal.classes[rows]])
        yield images, classes


def imprinted(model: nn.Module, new: Lesson, rehearsal: Lesson | None, fresh: Sequence[int], size: int) -> nn.Module:
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
    headless, whole = with_last_layer(model, nn.Identity()), torch.eye(2, 3)
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    with torch.inference_mode():
        return torch.cat([headless(crop(part, whole.expand(len(part), 2, 3), size)) for part in parts])


def between(old: nn.Module, tuned: nn.Module, share: float) -> nn.Module:
    """A model whose weights lie `share` of the way from `old` to `tuned` (arXiv 2109.01903)."""
    mixed = copy.deepcopy(old)
    with torch.no_grad():
        for mine, theirs in zip(mixed.parameters(), tuned.parameters(), strict=True):
            mine.lerp_(theirs, share)
    return mixed.eval()


def grow(model: nn.Module, old: list[str], new: list[str]) -> nn.Module:
    """A copy of `model` whose last layer answers for the classes `new` in place of `old`; a class that it did not
    know begins as the mean of all others, so that it is neither preferred nor ruled out."""
    head = last_layer(model)[1]
    wider = nn.Linear(head.in_features, len(new))
    place = {known: row for row, known in enumerate(old)}
    with torch.no_grad():
        for row, known in enumerate(new):
            kept = place.get(known)
            wider.weight[row] = head.weight.mean(0) if kept is None else head.weight[kept]
            wider.bias[row] = head.bias.mean() if kept is None else head.bias[kept]
    return with_last_layer(model, wider)


def with_last_layer(model: nn.Module, layer: nn.Module) -> nn.Module:
    """A copy of `model`, for inference, whose logits come from `layer`."""
    copied = copy.deepcopy(model)
    parent, _, leaf = last_layer(copied)[0].rpartition(".")
    setattr(copied.get_submodule(parent), leaf, layer)
    return copied.eval()


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


def _endless(count: int, order: np.random.RandomState) -> Iterator[int]:
    """Positions below `count` in random order, each once before any comes again."""
    while count > 0:
        yield from order.permutation(count)
