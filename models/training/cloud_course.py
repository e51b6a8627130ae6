"""The training of the cloud network: one thread, by the clock, resumed from its checkpoint.

    network, course = run_course(make_samples, Path("models/.work/clouds/course.pt"), minutes=60)

The checkpoint is a dict: `model`, `average` (moving average of the weights), `optimizer`, `minutes` (used up),
`steps`.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from pipeline.steps import say
from training.cloud_network import CloudNetwork
from training.cloud_samples import Samples

BATCH = 10
RATE = 3e-3  # of AdamW at its highest
DECAY = 0.02
WARM_STEPS = 200
AVERAGE = 0.998  # of the weights' moving average, a step
SAVE_S = 60
SAY_STEPS = 100


def run_course(make: Callable[[int], Samples], file: Path, minutes: float) -> tuple[CloudNetwork, dict]:
    """Trains until `minutes` are used up, earlier parts included: the averaged network, and minutes and steps.

    `make` gives the samples of a seed; a part that resumes has a seed of its own.
    """
    torch.manual_seed(1)
    model, average = CloudNetwork(), CloudNetwork()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    state = {"minutes": 0.0, "steps": 0}
    if file.exists():
        state = torch.load(file, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
    else:
        average.load_state_dict(model.state_dict())
    samples = make(1 + state["steps"]) if state["minutes"] < minutes else None
    model = model.to(memory_format=torch.channels_last).train()
    used, steps, saved_s, loss_sum = state["minutes"], state["steps"], time.monotonic(), 0.0

    def save() -> None:
        state.update(model=model.state_dict(), average=average.state_dict(), optimizer=optimizer.state_dict())
        state.update(minutes=used, steps=steps)
        part = file.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, file)

    while used < minutes:
        start_s = time.monotonic()
        rate = RATE * min(1, (steps + 1) / WARM_STEPS) * (0.5 + 0.5 * math.cos(math.pi * used / minutes)) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss_sum += _step(model, optimizer, samples.batch(BATCH))
        steps += 1
        _follow(average, model, min(AVERAGE, steps / (steps + 10)))
        used += min(time.monotonic() - start_s, 5) / 60  # a machine that was held for a while has not trained
        if steps % SAY_STEPS == 0:
            say(f"  {used:.1f} of {minutes:g} minutes, step {steps}: loss {loss_sum / SAY_STEPS:.4f}")
            loss_sum = 0.0
        if time.monotonic() - saved_s > SAVE_S:
            save()
            saved_s = time.monotonic()
    save()
    return average.eval(), {"minutes": used, "steps": steps}


def _step(model: CloudNetwork, optimizer: torch.optim.Optimizer, batch: tuple) -> float:
    """One step down the cross-entropy with soft labels; returns it."""
    values, truth, weight = (torch.from_numpy(part) for part in batch)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(values.contiguous(memory_format=torch.channels_last))
    losses = -(truth * functional.log_softmax(logits.float(), 1)).sum(1)
    loss = (losses * weight).sum() / weight.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _follow(average: CloudNetwork, model: CloudNetwork, share: float) -> None:
    with torch.no_grad():
        for slow, fast in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - share)
            else:
                slow.copy_(fast)
