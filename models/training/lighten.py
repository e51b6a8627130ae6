"""Makes the light MobileNet of a trained one: fewer blocks, then fine-tuning, at the end as int8 computes.

    python lighten.py --model mobilenet.pt --teacher wide-resnet.pt --data DIR --out light.pt --minutes 41

Both models are checkpoints of train.py or model folders. The light model learns from the labels and from what the
teacher says of the same crops. It begins in float32 between the bounds that int8 will have; from `--bytes-from` on
weights and activations are rounded to bytes in the forward pass and gradients pass unchanged. The checkpoint is like
train.py's, and a run resumes from its own.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import data
from training.architectures import build
from training.crops import crop, distillation, random_crops
from training.light import MobileNetLight, round_weights, simulate_bytes
from training.restore import restore
from running import Run, accuracy
from surgery import fit_ranges, lightened
from train import Muon

SIZES = ((0.0, 56), (0.55, 64))  # share of the time at which a training size begins, and pixels a side
SERVED = 72  # pixels a side of an image that is classified
WARM_UP = 6000  # images
LEAST_RATE = 0.005  # of the peak
ADAM_SHARE = 0.3  # a step of depthwise kernels and biases, as a share of Muon's, both relative to the weights' size
LEAST_SIZE = 0.02  # of weights, for steps relative to it
BIAS_SIZE = 0.3  # of biases, which are about as large as what they are added to, whatever they are now
RANGE_IMAGES = 192
SMOOTHING = 0.1  # of labels
EVALUATED = 2000
EVERY = 3  # minutes between evaluations


def load(source: Path, architecture: str, classes: int) -> nn.Module:
    """A model folder's model or the averaged weights of a checkpoint, for inference."""
    if source.is_dir():
        return restore(source, architecture)
    model = build(architecture, classes).eval()
    model.load_state_dict(torch.load(source)["average"])
    return model


class RelativeMuon(Muon):
    """Muon whose steps are a share of the weights' root mean square singular value when training began: without batch
    norms a layer's size matters."""

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                state, rank = self.state[param], min(param.shape[0], param[0].numel())
                if "momentum" not in state:
                    state["momentum"], state["size"] = torch.zeros_like(param), float(param.norm() / rank**0.5)
                momentum = state["momentum"].lerp_(param.grad, 1 - group["momentum"])
                update = param.grad.lerp(momentum, group["momentum"]).reshape(param.shape[0], -1)
                param.add_(self.orthogonalize(update).view(param.shape), alpha=-group["lr"] * state["size"])


def optimizers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for depthwise kernels, the stem and biases; each group's `peak` is its rate."""
    matrices, groups = [], []
    for param in model.parameters():
        if param.ndim > 1 and param.shape[1] > 3:
            matrices.append(param)
        else:
            size = float(param.detach().pow(2).mean().sqrt()) if param.ndim > 1 else BIAS_SIZE
            peak = rate * ADAM_SHARE * max(size, LEAST_SIZE)
            groups.append({"params": [param], "lr": peak, "peak": peak, "weight_decay": 0.0})
    muon = RelativeMuon(matrices, rate)
    muon.param_groups[0]["peak"] = rate
    return [muon, torch.optim.AdamW(groups, betas=(0.9, 0.99))]


def as_served(model: nn.Module):
    """What the model answers for whole images of the size served."""
    return lambda images: model(crop(images, torch.eye(2, 3).expand(len(images), 2, 3), SERVED))


class LightRun(Run):
    """A run that computes as int8 does from some moment on."""

    def __init__(self, model: MobileNetLight, rate: float):
        super().__init__(model, optimizers(model, rate))
        self.in_bytes = False

    def step(self, x: torch.Tensor, classes: torch.Tensor, taught: torch.Tensor, share: float) -> float:
        """One step at `share` of the time; the loss."""
        self.set_rate(min(1, self.images / WARM_UP) * (1 - share) + LEAST_RATE)
        logits = self.model(x)
        labels = functional.cross_entropy(logits, classes, label_smoothing=SMOOTHING)
        return self.learn((labels + distillation(logits, taught)) / 2, len(x))

    def begin_bytes(self, images: np.ndarray) -> None:
        """From here on with the averaged weights, new ranges and rounding to bytes."""
        self.model.load_state_dict(self.average.state_dict())
        fit_ranges(self.model, images, SERVED)
        self.average.load_state_dict(self.model.state_dict())
        self.simulate()

    def simulate(self) -> None:
        self.in_bytes = True
        simulate_bytes(self.model, True)
        simulate_bytes(self.average, True)

    def save(self, file: Path, wnids: list[str], **more: object) -> None:
        rounded = copy.deepcopy(self.average)
        if self.in_bytes:
            round_weights(rounded)
        super().save(file, wnids, **{"average": rounded.state_dict(), "in_bytes": self.in_bytes, **more})

    def resume(self, file: Path) -> dict:
        saved = super().resume(file)
        if saved["in_bytes"]:
            self.simulate()
        return saved


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the trained MobileNet: checkpoint or model folder")
    parser.add_argument("--teacher", type=Path, required=True, help="the Wide ResNet: checkpoint or model folder")
    parser.add_argument("--data", type=Path, required=True, help="Tiny ImageNet: tiny-imagenet-200/ or a folder of parquet")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed from if it exists")
    parser.add_argument("--minutes", type=float, required=True, help="training time in all, resumed parts included")
    parser.add_argument("--learning-rate", type=float, default=0.0015, help="Muon's peak, as a share of the weights")
    parser.add_argument("--bytes-from", type=float, default=0.75, help="share of the time at which rounding begins")
    parser.add_argument("--cache", type=Path, help="where decoded pixels are kept; default: beside --out")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    cache = args.cache or args.out.parent / "cache"
    images, classes, wnids = data.load(args.data, "train", cache)
    val_images, val_classes, _ = data.load(args.data, "val", cache)
    probe = np.sort(np.random.RandomState(0).permutation(len(val_images))[:EVALUATED])
    sample = images[np.sort(np.random.RandomState(5).permutation(len(images))[:RANGE_IMAGES])]
    teacher = load(args.teacher, "wide-resnet", len(wnids)).to(memory_format=torch.channels_last)
    model = lightened(load(args.model, "mobilenet", len(wnids)), len(wnids)).to(memory_format=torch.channels_last)
    fit_ranges(model, sample, SERVED)
    run = LightRun(model, args.learning_rate)
    if args.out.exists():
        run.resume(args.out)
    since = run.minutes
    for _, rows in run.batches(len(images)):
        if run.minutes >= args.minutes:
            break
        started = time.monotonic()
        share = run.minutes / args.minutes
        if not run.in_bytes and share >= args.bytes_from:
            run.begin_bytes(sample)
        size = [size for begin, size in SIZES if share >= begin][-1]
        x = crop(images[rows], random_crops(len(rows)), size)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):  # depthwise kernels are slower in it, wide ones faster
            taught = teacher(x).float()
        loss = run.step(x, torch.from_numpy(classes[rows]), taught, share)
        run.minutes += (time.monotonic() - started) / 60
        if run.minutes - since >= EVERY:
            since = run.minutes
            top1, top5 = accuracy(as_served(run.average), val_images[probe], val_classes[probe])
            print(f"{share:5.1%}  {run.images} images  loss {loss:.3f}  top-1 {top1:.2%}  top-5 {top5:.2%}", flush=True)
            run.save(args.out, wnids)
    run.save(args.out, wnids)
    top1, top5 = accuracy(as_served(run.average), val_images, val_classes)
    print(f"done: {run.images} images, top-1 {top1:.2%}, top-5 {top5:.2%} (10,000 images)", flush=True)


if __name__ == "__main__":
    main()
