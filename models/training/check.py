"""Compares the served path with this one: Pillow, torchvision's transforms and the checkpoint's weights in PyTorch.

    npm run evaluate -- --data DIR/val.parquet --predictions served.tsv
    python models/training/check.py wide-resnet --checkpoint wide-resnet.pt --data DIR --against served.tsv

Ends with status 1 when both name the same class for less than 99 % of the images, or when the checkpoint is not the one in
the model's folder.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

import data
from export import CARDS, HERE, averaged, golden_input

LEAST_AGREEMENT = 0.99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=CARDS)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the one that was exported")
    parser.add_argument("--data", type=Path, required=True, help="as for train.py")
    parser.add_argument("--against", type=Path, required=True, help="written by npm run evaluate -- --predictions")
    parser.add_argument("--cache", type=Path, help="where decoded pixels are kept; default: beside --checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    card = json.loads((HERE.parent / args.model / "model.json").read_text())
    recipe = card["input"]
    model = averaged(args.model, torch.load(args.checkpoint, map_location="cpu"))
    with torch.inference_mode():
        golden = model(torch.from_numpy(golden_input(recipe["crop"])))[0].numpy()
    if np.abs(golden - card["golden"]["logits"]).max() > card["golden"]["tolerance"]:
        sys.exit(f"Expected the checkpoint that was exported for --checkpoint but received {args.checkpoint}")

    transform = transforms.Compose(
        [
            transforms.Resize(recipe["resize"]),
            transforms.CenterCrop(recipe["crop"]),
            transforms.ToTensor(),
            transforms.Normalize(recipe["mean"], recipe["std"]),
        ]
    )
    images, classes, wnids = data.load(args.data, "val", args.cache or args.checkpoint.parent / "cache")
    with open(args.against, newline="") as file:
        served = list(csv.DictReader(file, delimiter="\t"))
    if not served or args.model not in served[0]:
        sys.exit(f"Expected predictions of {args.model} for --against but received {args.against}, which holds none")
    if [row["wnid"] for row in served] != [wnids[index] for index in classes[: len(served)]]:
        sys.exit(f"Expected the images of --data, in order, for --against but received others in {args.against}")

    agree = hits = hits5 = 0
    for start in range(0, len(served), 100):
        rows = served[start : start + 100]
        batch = torch.stack([transform(Image.fromarray(image)) for image in images[start : start + len(rows)]])
        with torch.inference_mode():
            top5 = model(batch).topk(5).indices.tolist()
        for row, best, index in zip(rows, top5, classes[start:]):
            agree += wnids[best[0]] == row[args.model]
            hits += best[0] == index
            hits5 += index in best
    count = len(served)
    print(f"{args.model}: the same class for {agree / count:.2%} of {count} images; here top-1 {hits / count:.2%}, top-5 {hits5 / count:.2%}")
    if agree / count < LEAST_AGREEMENT:
        sys.exit(1)


if __name__ == "__main__":
    main()
