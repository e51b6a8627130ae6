"""Makes the two model folders of the comparison: the real architectures at 224 pixels with seeded random weights.

    python models.py --out build/models

The speed of a network does not depend on what its weights say, and nobody's trained weights have to be downloaded. But random
weights alone would give every photo the same class, so two things are measured on generated images first: the statistics of the
batch norms, and the mean of the logits, which the last bias then takes away.
"""

import argparse
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
RESIZE, CROP, CLASSES = 256, 224, 1000  # what both architectures were published with
OPSET = 17  # read by ONNX Runtime since 1.12
SEED = 4
LOGIT_SPREAD = 3.0  # standard deviation of the logits, so that the first prediction stands out
TOLERANCE = 0.02  # of the golden case, whose logits reach hundreds: about what float32 leaves after 50 layers
FAMILIES = {
    "wide-resnet": ("Wide ResNet (WRN-50-2)", torchvision.models.wide_resnet50_2),
    "mobilenet": ("MobileNet (V3-Large)", torchvision.models.mobilenet_v3_large),
}


def golden_input() -> np.ndarray:
    """The generated image of a card's golden case as a tensor: byte i of the RGB rows is (167 i + 59 floor(i / 64)) mod 256."""
    i = np.arange(CROP * CROP * 3)
    pixels = ((167 * i + 59 * (i // 64)) % 256).reshape(1, CROP, CROP, 3)
    return ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2).copy()


def calibration_images(count: int) -> torch.Tensor:
    """Normalized images of colored waves, edges and grain, about what photos are to a first layer, and the golden one."""
    generator = torch.Generator().manual_seed(SEED)
    y, x = torch.meshgrid(torch.linspace(0, 1, CROP), torch.linspace(0, 1, CROP), indexing="ij")
    images = []
    for _ in range(count):
        wave = torch.rand(3, 4, generator=generator)
        frequency, phase, base = 2 + 28 * wave[:, :2], 6.3 * wave[:, 2], wave[:, 3]
        angle = frequency[:, 0, None, None] * x + frequency[:, 1, None, None] * y + phase[:, None, None]
        edge = ((x + y) * 8 * wave[0, 0]).floor() % 2
        grain = torch.rand(3, CROP, CROP, generator=generator)
        images.append((base[:, None, None] + 0.3 * angle.sin() + 0.2 * edge + wave[1, 0] * (grain - 0.5)).clamp(0, 1))
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    return torch.cat([(torch.stack(images) - mean) / std, torch.from_numpy(golden_input())])


def build(name: str) -> torch.nn.Module:
    """The architecture, ready for inference, whose logits differ from image to image."""
    torch.manual_seed(SEED)
    model = FAMILIES[name][1](weights=None, num_classes=CLASSES)
    images = calibration_images(16)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        model.eval()
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain mean over what it sees
        model(images)
        model.eval()
        logits = model(images)
        head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
        mean = logits[:-1].mean(0)  # without the golden image, which is noise and stirs the network more than photos do
        scale = LOGIT_SPREAD / (logits[:-1] - mean).std()
        head.weight *= scale
        head.bias.copy_((head.bias - mean) * scale)
    return model


def write(name: str, folder: Path) -> None:
    """model.onnx with the batch norms folded into the convolutions, model.json and labels.json."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    model = build(name)
    image = golden_input()
    with warnings.catch_warnings():
        # The exporter that follows this one writes opset 18 and later only.
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
    left = sum(node.op_type == "BatchNormalization" for node in graph.graph.node)
    if left:
        raise SystemExit(f"Expected no batch norm for {file} but received {left}")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": image})
    with torch.no_grad():
        gap = float(np.abs(model(torch.from_numpy(image)).numpy() - logits).max())
    if gap > TOLERANCE / 5:
        raise SystemExit(f"Expected torch's logits within {TOLERANCE / 5} for {file} but received a difference of {gap:.6f}")

    card = {
        "name": name,
        "version": f"random-{SEED}",
        "family": FAMILIES[name][0],
        "description": f"torchvision {torchvision.__version__}'s architecture with random weights: right for speed, wrong for photos.",
        "license": "Apache-2.0",
        "provenance": f"Made by load/peers/models.py from seed {SEED}, torch {torch.__version__}; no data was used.",
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "labels": "labels.json",
        "input": {
            "name": "image",
            "elementType": "float32",
            "layout": "NCHW",
            "resize": RESIZE,
            "crop": CROP,
            "mean": MEAN,
            "std": STD,
        },
        "output": {"name": "logits"},
        "accuracy": [],
        "golden": {"logits": [round(float(logit), 5) for logit in logits[0]], "tolerance": TOLERANCE},
    }
    labels = [{"class": f"class-{index}", "label": f"class {index}"} for index in range(CLASSES)]
    (folder / "model.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (folder / "labels.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    print(f"{file}: {file.stat().st_size} bytes, torch within {gap:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="becomes the functions' MODELS_DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    for name in FAMILIES:
        write(name, args.out / name)


if __name__ == "__main__":
    main()
