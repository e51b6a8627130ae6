"""Trains one model of the pair in a fixed time on a CPU, and resumes from its own checkpoint.

    python train.py mobilenet --data DIR --out mobilenet.pt --minutes 110

The checkpoint holds `model` (raw weights), `average` (their moving average: what is shipped), `optimizer`, `minutes`
(training time used up), `images` (images seen), `wnids` (label order) and `history`.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import data
from training.architectures import MEAN, STD, build
from training.crops import crop, distillation, random_crops
from running import Run, accuracy

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
    groups = [{"params": kernels, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    both = [Muon(matrices, rate, weight_decay=0.05), torch.optim.AdamW(groups, lr=rate * ADAM_SHARE, betas=(0.9, 0.98))]
    for group in (group for optimizer in both for group in optimizer.param_groups):
        group["peak"] = group["lr"]
    return both


def whole_images(model: torch.nn.Module, bfloat16: bool):
    """What the model answers for whole images."""

    def answer(images: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return model(((x - mean) / std).to(memory_format=torch.channels_last)).float()

    return answer


def arguments() -> argparse.Namespace:
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
    return parser.parse_args()


def sizes_of(args: argparse.Namespace) -> list[tuple[float, int]]:
    if not args.sizes:
        return SIZES[args.model]
    return [(float(begin), int(size)) for begin, size in (part.split(":") for part in args.sizes.split(","))]


class SoftLabels:
    """The crops and logits that soften.py wrote."""

    def __init__(self, folder: Path):
        self.crops = np.load(folder / "crops.npy", mmap_mode="r")
        self.logits = np.load(folder / "logits.npy", mmap_mode="r")

    def of(self, epoch: int, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        turn = epoch % len(self.crops)
        return torch.from_numpy(self.crops[turn, rows]), torch.from_numpy(self.logits[turn, rows]).float()


def begin(args: argparse.Namespace, classes: int) -> Run:
    """A run from the start, from other weights or from its checkpoint."""
    model = build(args.model, classes).to(memory_format=torch.channels_last)
    if args.start_from and not args.out.exists():
        model.load_state_dict(torch.load(args.start_from)["average"])
    run = Run(model, optimizers(model, args.learning_rate))
    if args.out.exists():
        run.resume(args.out)
    return run


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    cache = args.cache or args.out.parent / "cache"
    images, classes, wnids = data.load(args.data, "train", cache)
    val_images, val_classes, _ = data.load(args.data, "val", cache)
    probe = np.sort(np.random.RandomState(0).permutation(len(val_images))[:2000])
    sizes = sizes_of(args)
    soft = SoftLabels(args.soft_labels) if args.soft_labels else None
    bfloat16 = args.model == "wide-resnet"  # depthwise kernels are slower in bfloat16 on CPUs
    run = begin(args, len(wnids))
    answer = whole_images(run.average, bfloat16)
    since = run.minutes
    for epoch, rows in run.batches(len(images)):
        if run.minutes >= args.minutes:
            break
        started = time.monotonic()
        share = run.minutes / args.minutes
        size = [size for begin, size in sizes if share >= begin][-1]
        run.set_rate(max(1e-3, min(1, share / WARM_UP) * (1 - max(0.0, share - WARM_UP) / (1 - WARM_UP))))
        theta, taught = soft.of(epoch, rows) if soft else (random_crops(len(rows)), None)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = run.model(crop(images[rows], theta, size)).float()
        loss = functional.cross_entropy(logits, torch.from_numpy(classes[rows]), label_smoothing=0.1)
        loss = run.learn(loss if taught is None else (loss + distillation(logits, taught)) / 2, len(rows))
        run.minutes += (time.monotonic() - started) / 60
        if run.minutes - since >= min(5, args.minutes / 4):
            since = run.minutes
            top1, top5 = accuracy(answer, val_images[probe], val_classes[probe])
            run.history.append({"images": run.images, "size": size, "loss": loss, "top1": top1, "top5": top5})
            done = f"{share:5.1%}  {run.minutes:6.1f} min  {run.images:8d} images  {size} px  loss {loss:.3f}"
            print(f"{done}  top-1 {top1:.2%}  top-5 {top5:.2%} (2,000 images)", flush=True)
            run.save(args.out, wnids)
    top1, top5 = accuracy(answer, val_images, val_classes)
    print(f"done: {run.images} images, top-1 {top1:.2%}, top-5 {top5:.2%}", flush=True)
    run.save(args.out, wnids)
    assert not math.isnan(top1)


if __name__ == "__main__":
    main()
