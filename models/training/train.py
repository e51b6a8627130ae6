"""Trains one model of the pair in a fixed time on a CPU, and resumes from its own checkpoint.

    python train.py mobilenet --data DIR --out mobilenet.pt --minutes 110

The checkpoint holds `model` (raw weights), `average` (their moving average: what is shipped), `optimizer`, `minutes`
(training time used up), `images` (images seen), `wnids` (label order) and `history`.
"""

import argparse
import copy
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import data
from pipeline.architectures import MEAN, STD, build
from pipeline.crops import crop, distillation, random_crops

BATCH = 128
# Share of the time at which a training size begins. Crops of random area show things about 1.2 times larger than the
# whole image does, so the last size stays below the 64 pixels served (arXiv 1906.06423).
SIZES = {"wide-resnet": [(0.0, 40), (0.5, 48), (0.78, 56)], "mobilenet": [(0.0, 40), (0.5, 48), (0.78, 56)]}
WARM_UP = 0.04
ADAM_SHARE = 0.1  # AdamW's peak learning rate, as a share of Muon's

mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
std = torch.tensor(STD).view(1, 3, 1, 1) * 255


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by Newton-Schulz steps, for weights that act as matrices (K. Jordan et al., 2024).
    It reaches an accuracy in fewer images than SGD or AdamW do, which is what counts on a CPU."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @staticmethod
    def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
        x = matrix.bfloat16()
        if matrix.shape[0] > matrix.shape[1]:
            x = x.T
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return (x.T if matrix.shape[0] > matrix.shape[1] else x).float()

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(param)
                momentum = state["momentum"].lerp_(param.grad, 1 - group["momentum"])
                update = param.grad.lerp(momentum, group["momentum"])
                rows, columns = param.shape[0], param[0].numel()
                ortho = self.orthogonalize(update.reshape(rows, columns)).view(update.shape)
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(ortho, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def optimizers(model: torch.nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for convolutions over several channels; AdamW for the stem, depthwise kernels, the classifier, norms and biases."""
    matrices, kernels, vectors = [], [], []
    for name, param in model.named_parameters():
        if param.ndim == 4 and param.shape[1] > 3:
            matrices.append(param)
        elif param.ndim > 1:
            kernels.append(param)
        else:
            vectors.append(param)
    adam = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}], lr=rate * ADAM_SHARE, betas=(0.9, 0.98)
    )
    return [Muon(matrices, rate, weight_decay=0.05), adam]


@torch.no_grad()
def accuracy(model: torch.nn.Module, images: np.ndarray, classes: np.ndarray, bfloat16: bool) -> tuple[float, float]:
    """Top-1 and top-5 on whole images, each a share of 1."""
    top1 = top5 = 0
    for start in range(0, len(images), 250):
        x = torch.from_numpy(np.array(images[start : start + 250])).permute(0, 3, 1, 2).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(((x - mean) / std).to(memory_format=torch.channels_last)).float()
        best = logits.topk(5).indices == torch.from_numpy(classes[start : start + 250]).view(-1, 1)
        top1 += best[:, 0].sum().item()
        top5 += best.any(1).sum().item()
    return top1 / len(images), top5 / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=SIZES)
    parser.add_argument("--data", type=Path, required=True, help="Tiny ImageNet: tiny-imagenet-200/ or a folder of parquet")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed from if it exists")
    parser.add_argument("--minutes", type=float, required=True, help="training time in all, resumed parts included")
    parser.add_argument("--start-from", type=Path, help="checkpoint whose averaged weights to begin with")
    parser.add_argument("--learning-rate", type=float, default=0.02, help="Muon's peak; AdamW's follows")
    parser.add_argument("--sizes", help="other training sizes: share of the time and pixels, 0:48,0.4:56,0.8:64")
    parser.add_argument("--soft-labels", type=Path, help="folder of soften.py, to learn from its crops and logits as well")
    parser.add_argument("--cache", type=Path, help="where decoded pixels are kept; default: beside --out")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    cache = args.cache or args.out.parent / "cache"
    images, classes, wnids = data.load(args.data, "train", cache)
    val_images, val_classes, _ = data.load(args.data, "val", cache)
    probe = np.random.RandomState(0).permutation(len(val_images))[:2000]
    probe.sort()

    sizes = SIZES[args.model]
    if args.sizes:
        sizes = [(float(begin), int(size)) for begin, size in (part.split(":") for part in args.sizes.split(","))]
    if args.soft_labels:
        soft_crops = np.load(args.soft_labels / "crops.npy", mmap_mode="r")
        soft_logits = np.load(args.soft_labels / "logits.npy", mmap_mode="r")
    repeat = 0

    bfloat16 = args.model == "wide-resnet"  # depthwise kernels are slower in bfloat16 on CPUs
    model = build(args.model, len(wnids)).to(memory_format=torch.channels_last)
    minutes, seen, history = 0.0, 0, []
    opts = optimizers(model, args.learning_rate)
    saved = torch.load(args.out) if args.out.exists() else None
    if saved:
        model.load_state_dict(saved["model"])
        for opt, state in zip(opts, saved["optimizers"]):
            opt.load_state_dict(state)
        minutes, seen, history = saved["minutes"], saved["images"], saved["history"]
    elif args.start_from:
        model.load_state_dict(torch.load(args.start_from)["average"])
    average = copy.deepcopy(model).eval()
    if saved:
        average.load_state_dict(saved["average"])
    for opt in opts:
        for group in opt.param_groups:
            group["peak"] = args.learning_rate * (1 if isinstance(opt, Muon) else ADAM_SHARE)

    def save() -> None:
        part = args.out.with_suffix(".part")
        torch.save(
            {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizers": [opt.state_dict() for opt in opts],
                "minutes": minutes,
                "images": seen,
                "wnids": wnids,
                "history": history,
            },
            part,
        )
        os.replace(part, args.out)

    torch.manual_seed(seen)
    shuffle = np.random.RandomState(seen)
    order, position, since = shuffle.permutation(len(images)), 0, minutes
    while minutes < args.minutes:
        started = time.monotonic()
        share = minutes / args.minutes
        size = [size for begin, size in sizes if share >= begin][-1]
        rate = min(1, share / WARM_UP) * (1 - max(0.0, share - WARM_UP) / (1 - WARM_UP))
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = max(1e-3, rate) * group["peak"]
        if position + BATCH > len(order):
            order, position, repeat = shuffle.permutation(len(images)), 0, repeat + 1
        rows = np.sort(order[position : position + BATCH])
        position += BATCH
        theta = random_crops(len(rows))
        if args.soft_labels:
            theta = torch.from_numpy(soft_crops[repeat % len(soft_crops), rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(crop(images[rows], theta, size)).float()
        loss = functional.cross_entropy(logits, torch.from_numpy(classes[rows]), label_smoothing=0.1)
        if args.soft_labels:
            taught = torch.from_numpy(soft_logits[repeat % len(soft_logits), rows]).float()
            loss = (loss + distillation(logits, taught)) / 2
        loss.backward()
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        seen += BATCH
        decay = min(0.998, (1 + seen / BATCH) / (20 + seen / BATCH))
        with torch.no_grad():
            for mine, theirs in zip(average.state_dict().values(), model.state_dict().values()):
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - decay)
                else:
                    mine.copy_(theirs)
        minutes += (time.monotonic() - started) / 60
        if minutes - since >= min(5, args.minutes / 4):
            since = minutes
            top1, top5 = accuracy(average, val_images[probe], val_classes[probe], bfloat16)
            history.append({"images": seen, "size": size, "loss": loss.item(), "top1": top1, "top5": top5})
            print(
                f"{share:5.1%}  {minutes:6.1f} min  {seen:8d} images  {size} px  loss {loss.item():.3f}"
                f"  top-1 {top1:.2%}  top-5 {top5:.2%} (2,000 images)",
                flush=True,
            )
            save()
    top1, top5 = accuracy(average, val_images, val_classes, bfloat16)
    print(f"done: {seen} images, top-1 {top1:.2%}, top-5 {top5:.2%}", flush=True)
    save()
    assert not math.isnan(top1)


if __name__ == "__main__":
    main()
