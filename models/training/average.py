"""Averages the weights of two checkpoints of one model, of which the later began with the earlier.

    python average.py EARLIER LATER --out AVERAGE

Both lie in one basin then, and what lies between them is often better than either (model soups, arXiv 2203.05482). The
result can be exported and begun with, but not resumed.
"""

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    earlier, later = torch.load(args.earlier), torch.load(args.later)
    if earlier["wnids"] != later["wnids"]:
        raise SystemExit(f"Expected the classes of {args.earlier} for {args.later} but received others")
    average = {
        name: (weights + earlier["average"][name]) / 2 if weights.is_floating_point() else weights
        for name, weights in later["average"].items()
    }
    kept = {name: later[name] for name in ("minutes", "images", "wnids", "history")}
    torch.save({**kept, "average": average}, args.out)


if __name__ == "__main__":
    main()
