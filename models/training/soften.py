"""Writes a trained model's logits for random crops of the training images: soft labels for another model.

    python soften.py wide-resnet --checkpoint wide-resnet.pt --data DIR --out soft-labels --crops 4

Each image is cropped the same few times, so that the teacher runs once a crop and not once a step (arXiv 2112.01528).
`--out` receives `crops.npy`, float32 [crops, n, 2, 3] (see `training/crops.py`), and `logits.npy`, float16 [crops, n, classes].
An interrupted run resumes.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import data
from training.architectures import build
from training.crops import crop, random_crops

BATCH = 250
SIZE = 56


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=["wide-resnet", "mobilenet"])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of train.py; its averaged weights teach")
    parser.add_argument("--data", type=Path, required=True, help="Tiny ImageNet: tiny-imagenet-200/ or a folder of parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--crops", type=int, default=4, help="of each image")
    parser.add_argument("--cache", type=Path, help="where decoded pixels are kept; default: beside --out")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    images, _, wnids = data.load(args.data, "train", args.cache or args.out.parent / "cache")
    saved = torch.load(args.checkpoint)
    if saved["wnids"] != wnids:
        raise SystemExit(f"Expected a checkpoint with the classes of --data but received {args.checkpoint}")
    model = build(args.model, len(wnids)).to(memory_format=torch.channels_last)
    model.load_state_dict(saved["average"])
    model.eval()

    args.out.mkdir(parents=True, exist_ok=True)
    n, done = len(images), args.out / "done"
    mode = "r+" if done.exists() else "w+"
    open_array = np.lib.format.open_memmap
    crops = open_array(args.out / "crops.npy", mode, np.float32, (args.crops, n, 2, 3))
    logits = open_array(args.out / "logits.npy", mode, np.float16, (args.crops, n, len(wnids)))
    begin = int(done.read_text()) if done.exists() else 0
    torch.manual_seed(begin)
    for position in range(begin, args.crops * n, BATCH):
        repeat, start = divmod(position, n)
        rows = slice(start, min(start + BATCH, n))
        theta = random_crops(len(images[rows]))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=args.model == "wide-resnet"):
            logits_here = model(crop(np.array(images[rows]), theta, SIZE)).float()
        crops[repeat, rows], logits[repeat, rows] = theta.numpy(), logits_here.numpy()
        if start % 10_000 == 0:
            crops.flush()
            logits.flush()
            done.write_text(str(position))
            print(f"{position / n:.1f} of {args.crops} crops of each of {n} images", flush=True)
    done.write_text(str(args.crops * n))


if __name__ == "__main__":
    main()
