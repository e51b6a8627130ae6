"""What every training here does: an average that follows the weights, checkpoints that a run resumes from, shuffled batches."""

import copy
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

BATCH = 128


class Run:
    """A training under way: the model, the moving average of its weights (what is shipped), the optimizers and what is done."""

    def __init__(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], steepest: float = math.inf):
        """`steepest` is the largest norm of all gradients together; larger ones are scaled down to it."""
        self.model, self.average, self.optimizers = model, copy.deepcopy(model).eval(), optimizers
        self.steepest = steepest
        self.minutes, self.images = 0.0, 0
        self.history: list[dict] = []

    def set_rate(self, rate: float) -> None:
        """Sets each group's learning rate to a share of its `peak`."""
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate * group["peak"]

    def learn(self, loss: torch.Tensor, images: int) -> float:
        """One step down the loss of so many images; the loss."""
        loss.backward()
        if self.steepest < math.inf:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.steepest)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.images += images
        decay = self.decay(images)
        with torch.no_grad():
            for mine, theirs in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)
        return loss.item()

    def decay(self, batch: int) -> float:
        """What a step leaves of the moving average: less at first, when the weights still move far."""
        steps = self.images / batch
        return min(0.998, (1 + steps) / (20 + steps))

    def save(self, file: Path, wnids: list[str], **more: object) -> None:
        """Writes a checkpoint; `more` comes last and may replace what is here."""
        states = {"model": self.model.state_dict(), "average": self.average.state_dict()}
        done = {"minutes": self.minutes, "images": self.images, "wnids": wnids, "history": self.history}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        part = file.with_suffix(".part")
        torch.save({**states, "optimizers": optimizers, **done, **more}, part)
        os.replace(part, file)

    def resume(self, file: Path) -> dict:
        """Goes on from a checkpoint, which is returned. Rates that the command line gives stay as they are."""
        saved = torch.load(file)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.minutes, self.images = saved["minutes"], saved["images"]
        self.history = saved.get("history", [])
        return saved

    def batches(self, count: int) -> Iterator[tuple[int, np.ndarray]]:
        """Without end: how often all of `count` images were seen, and the sorted places of the next batch."""
        torch.manual_seed(self.images)
        shuffle = np.random.RandomState(self.images)
        epoch = 0
        while True:
            order = shuffle.permutation(count)
            for position in range(0, count - BATCH + 1, BATCH):
                yield epoch, np.sort(order[position : position + BATCH])
            epoch += 1


@torch.no_grad()
def accuracy(answer: Callable[[np.ndarray], torch.Tensor], images: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Top-1 and top-5 of the logits that `answer` gives for images, each a share of 1."""
    top1 = top5 = 0
    for start in range(0, len(images), 250):
        best = answer(np.array(images[start : start + 250])).topk(5).indices
        right = best == torch.from_numpy(classes[start : start + 250]).view(-1, 1)
        top1 += right[:, 0].sum().item()
        top5 += right.any(1).sum().item()
    return top1 / len(images), top5 / len(images)
