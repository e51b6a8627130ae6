"""The training of the cloud network: one thread, by the clock, resumed from its checkpoint.

    network, course = run_course(make_samples, Path("models/.work/clouds/course.pt"), minutes=60)

The checkpoint is that of `running.Run`; `images` are squares.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from pipeline.steps import say
from training.cloud_network import CloudNetwork
from training.cloud_samples import Samples
from training.running import Run

BATCH = 10
RATE = 3e-3  # of AdamW at its highest
LEAST_RATE = 1e-5
WEIGHT_DECAY = 0.02
STEEPEST = 1.0  # norm of the gradients
WARM_STEPS = 200
AVERAGE = 0.998  # of the weights' moving average, a step
SAVE_S = 60
SAY_STEPS = 100


class CloudRun(Run):
    """A run whose average follows more closely at first than that of others."""

    def decay(self, batch: int) -> float:
        steps = self.images // batch
        return min(AVERAGE, steps / (steps + 10))


def run_course(make: Callable[[int], Samples], file: Path, minutes: float) -> tuple[CloudNetwork, dict]:
    """Trains until `minutes` are used up, earlier parts included: the averaged network, and minutes and steps.

    `make` gives the samples of a seed; a part that resumes has a seed of its own.
    """
    torch.manual_seed(1)
    model = CloudNetwork().to(memory_format=torch.channels_last).train()
    group = {"params": list(model.parameters()), "lr": RATE, "peak": RATE}
    run = CloudRun(model, [torch.optim.AdamW([group], weight_decay=WEIGHT_DECAY)], STEEPEST)
    if file.exists():
        run.resume(file)
    samples = make(1 + run.images // BATCH) if run.minutes < minutes else None
    saved_s, loss_sum = time.monotonic(), 0.0
    while run.minutes < minutes:
        start_s = time.monotonic()
        steps = run.images // BATCH
        fall = 0.5 + 0.5 * math.cos(math.pi * run.minutes / minutes)
        run.set_rate(min(1, (steps + 1) / WARM_STEPS) * fall + LEAST_RATE / RATE)
        loss_sum += run.learn(_loss(model, samples.batch(BATCH)), BATCH)
        run.minutes += min(time.monotonic() - start_s, 5) / 60  # a machine that was held for a while has not trained
        if (steps + 1) % SAY_STEPS == 0:
            say(f"  {run.minutes:.1f} of {minutes:g} minutes, step {steps + 1}: loss {loss_sum / SAY_STEPS:.4f}")
            loss_sum = 0.0
        if time.monotonic() - saved_s > SAVE_S:
            run.save(file, [])
            saved_s = time.monotonic()
    run.save(file, [])
    return run.average, {"minutes": run.minutes, "steps": run.images // BATCH}


def _loss(model: CloudNetwork, batch: tuple) -> torch.Tensor:
    """The cross-entropy with soft labels."""
    values, truth, weight = (torch.from_numpy(part) for part in batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(values.contiguous(memory_format=torch.channels_last))
    losses = -(truth * functional.log_softmax(logits.float(), 1)).sum(1)
    return (losses * weight).sum() / weight.sum()
