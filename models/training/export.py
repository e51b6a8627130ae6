"""Turns a checkpoint into the folder that the service loads: model.onnx, model.json (the card) and labels.json.

    python export.py wide-resnet --checkpoint wide-resnet.pt

Takes seconds. The card's measured accuracy is written afterwards by `npm run evaluate -- --data ... --write-card`.
"""

import argparse
import hashlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from architectures import MEAN, STD, build

HERE = Path(__file__).parent
MAX_BYTES = 15_000_000  # the weights are committed plainly
OPSET = 17  # read by ONNX Runtime since 1.12
CARDS = {
    "wide-resnet": {
        "family": "Wide ResNet (WRN-16-4)",
        "description": "Wide ResNet of 16 layers, 4 times as wide as a plain one, with a stem of stride 2: the leading model.",
    },
    "mobilenet": {
        "family": "MobileNet (V3-Large)",
        "description": "MobileNetV3-Large with four strides for small images and 512 hidden features: the model that stands by.",
    },
}


def averaged(name: str, checkpoint: dict) -> torch.nn.Module:
    """The model that is shipped: a checkpoint's moving average of the weights, for inference."""
    model = build(name, len(checkpoint["wnids"]))
    model.load_state_dict(checkpoint["average"])
    return model.eval()


def golden_input(side: int) -> np.ndarray:
    """The generated image of a card's golden case as a tensor: byte i of the RGB rows is (167 i + 59 floor(i / 64)) mod 256."""
    i = np.arange(side * side * 3)
    pixels = ((167 * i + 59 * (i // 64)) % 256).reshape(1, side, side, 3)
    return ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2).copy()


def to_json(value, indent: str = "") -> str:
    """JSON as the repository's formatter writes it: lists of numbers fill lines of 120 columns, small objects in lists take one."""
    deeper = indent + "  "
    if isinstance(value, dict):
        members = [f"{deeper}{json.dumps(key)}: {to_json(entry, deeper)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = [deeper + "{ " + json.dumps(row, ensure_ascii=False)[1:-1] + " }" for row in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list) or len(text) < 80:
        return text
    lines = [deeper]
    for number in text[1:-1].split(", "):
        if len(lines[-1]) + len(number) + 1 > 120:
            lines[-1] = lines[-1].rstrip()
            lines.append(deeper)
        lines[-1] += f"{number}, "
    return "[\n" + "\n".join(lines).rstrip(", ") + f"\n{indent}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=CARDS)
    parser.add_argument("--checkpoint", type=Path, required=True, help="written by train.py")
    parser.add_argument("--size", type=int, default=64, help="pixels a side; must be the same for both models")
    parser.add_argument("--version", default="tiny-imagenet-2")
    parser.add_argument("--machine", default="one thread of a shared two-core x64 server, no accelerator")
    parser.add_argument("--note", default="", help="a further sentence for the card's provenance, such as where training began")
    parser.add_argument("--out", type=Path, help="default: the model's folder beside this tool's")
    args = parser.parse_args()
    torch.set_num_threads(1)

    checkpoint = torch.load(args.checkpoint, map_location="cpu")
    labels = json.loads((HERE / "labels.json").read_text())
    if checkpoint["wnids"] != sorted(labels):
        sys.exit(f"Expected the classes of labels.json for {args.checkpoint} but received {len(checkpoint['wnids'])} others")
    folder = args.out or HERE.parent / args.model
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"

    model = averaged(args.model, checkpoint)
    image = golden_input(args.size)
    with warnings.catch_warnings():
        # The graph exporter that follows this one writes opset 18 and later only, in larger files.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.from_numpy(image),),
            str(file),
            input_names=["image"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(file)
    onnx.checker.check_model(graph, full_check=True)
    if file.stat().st_size > MAX_BYTES:
        sys.exit(f"Expected at most {MAX_BYTES} bytes for {file} but received {file.stat().st_size}")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": image})
    with torch.no_grad():
        gap = float(np.abs(model(torch.from_numpy(image)).numpy() - logits).max())
    if gap > 1e-4:
        sys.exit(f"Expected the checkpoint's logits within 0.0001 for {file} but received a difference of {gap:.6f}")

    card = {
        "name": args.model,
        "version": args.version,
        **CARDS[args.model],
        "dataSet": {
            "name": "Tiny ImageNet",
            "classes": len(labels),
            "images": 100_000,
            "license": "A subset of ImageNet: the images belong to their owners; ImageNet's terms allow research and education"
            " without commercial purpose",
            "source": "tiny-imagenet-200 of Stanford's course CS231n",
        },
        "license": "Apache-2.0",
        "provenance": " ".join(
            [
                f"Trained by this project's models/training on the {100_000:,} training images alone:",
                f"{checkpoint['images']:,} images seen in {round(checkpoint['minutes'])} minutes on {args.machine};",
                "the weights are a moving average over the training steps.",
                args.note,
            ]
        ).strip(),
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "labels": "labels.json",
        "input": {
            "name": "image",
            "elementType": "float32",
            "layout": "NCHW",
            "resize": args.size,
            "crop": args.size,
            "mean": list(MEAN),
            "std": list(STD),
        },
        "output": {"name": "logits"},
        "accuracy": [],
        "golden": {"logits": [round(float(logit), 5) for logit in logits[0]], "tolerance": 0.001},
    }
    (folder / "model.json").write_text(to_json(card) + "\n", encoding="utf-8")
    rows = [{"class": wnid, "label": labels[wnid]} for wnid in sorted(labels)]
    (folder / "labels.json").write_text(to_json(rows) + "\n", encoding="utf-8")
    print(f"{file}: {file.stat().st_size} bytes, {args.size} pixels, torch within {gap:.1e}")


if __name__ == "__main__":
    main()
