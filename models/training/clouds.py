"""`models train clouds`: trains the network that finds clouds, on patches and invented scenes, and writes its folder.

    models train clouds --data clouds

The wheels of the two teachers come through pip. What lies in --work already (wheels, labels, checkpoint) is taken
up again.
"""

import argparse
import json
from pathlib import Path

from pipeline import node
from pipeline.faults import Fault
from pipeline.recipe import MODELS

HELP = "train the network that finds clouds on Sentinel-2 patches and invented scenes"

VERSION = "distilled-1"
MINUTES = 80.0
TOLERANCE = 0.02  # of a golden logit, of some 10: one processor adds in another order than the next
SIDES = ((64, 64), (96, 160))  # at which the graph is held against PyTorch


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `models train clouds`."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder with sen12mscr and on_cloud_n, GeoTIFFs")
    add("--out", type=Path, default=MODELS / "clouds", metavar="DIR", help="the model folder to write")
    add("--version", default=VERSION, help=f"the card's version (default {VERSION})")
    add(
        "--work",
        type=Path,
        default=MODELS / ".work" / "clouds",
        metavar="DIR",
        help="where labels and checkpoint are kept",
    )
    add(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="N",
        help=f"training time, resumed parts included (default {MINUTES:g})",
    )


def main(args: argparse.Namespace) -> int:
    """Runs `models train clouds`; the exit status."""
    import torch

    from training.cloud_course import run_course
    from training.cloud_patches import read_patches
    from training.cloud_samples import Samples
    from training.cloud_teachers import Teachers

    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    patches = [patch for patch in read_patches(args.data) if not patch.is_held_out]
    network, course = run_course(
        lambda seed: Samples(patches, Teachers(args.work), seed), args.work / "course.pt", args.minutes
    )
    write_folder(network, args.out, args.version, {**course, "patches": len(patches)})
    print(args.out)
    return 0


def write_folder(network, folder: Path, version: str, course: dict) -> None:
    """Writes model.onnx and model.json; raises Fault where the graph's logits are not PyTorch's."""
    import numpy as np
    import torch

    from pipeline.graph import open_session

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    export(network, file)
    session = open_session(file)
    rng = np.random.default_rng(1)
    for height, width in SIDES:
        values = rng.normal(0, 1, (1, 7, height, width)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(values)).numpy()
        difference = float(np.abs(session.run(None, {"bands": values})[0] - expected).max())
        if not difference <= 1e-3:
            raise Fault(
                f"Expected PyTorch's logits within 0.001 for {file} but received a difference of {difference:.3g}"
            )
    (folder / "model.json").write_text(json.dumps(card_of(version, course)), encoding="utf-8")
    node.run_tool("golden-clouds", [folder, "--tolerance", TOLERANCE])


def export(network, file: Path) -> None:
    """Writes the network as ONNX for any sides that are multiples of 16."""
    import warnings

    import torch

    from pipeline.graph import OPSET

    sides = {2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the graph exporter that follows this one writes opset 18 and later only
        torch.onnx.export(
            network,
            (torch.zeros(1, 7, 64, 64),),
            str(file),
            input_names=["bands"],
            output_names=["logits"],
            dynamic_axes={"bands": sides, "logits": sides},
            opset_version=OPSET,
            dynamo=False,
        )


def card_of(version: str, course: dict) -> dict:
    """The card, without hash and golden case; the accuracy is left to `npm run evaluate -- clouds`."""
    from training.cloud_network import MULTIPLE
    from training.cloud_patches import NETWORK
    from training.cloud_samples import MEAN, STD

    return {
        "name": "clouds",
        "version": version,
        "family": "U-Net",
        "description": (
            "Clear, cloud and cloud shadow in Sentinel-2, Level-1C or Level-2A, from four bands, and SWIR where it is "
            "there. Thin cirrus, which only B10 shows, it cannot see."
        ),
        "dataSet": [
            {
                "name": "SEN12MS-CR, 34 patches of 17 places, Level-1C",
                "license": "CC BY 4.0",
                "source": "P. Ebel, A. Meraner, M. Schmitt, X. Zhu, 2020; modified Copernicus Sentinel data",
            },
            {
                "name": "Sentinel-2 Cloud Cover Segmentation Dataset, 5 patches without their reference, Level-2A",
                "license": "CC BY 4.0",
                "source": "Radiant Earth Foundation, doi 10.34911/rdnt.hfq6m7; modified Copernicus Sentinel data",
            },
            {"name": "scenes of models/training/cloud_scenes.py, whose truth is known", "license": "Apache-2.0"},
        ],
        "license": "Apache-2.0",
        "provenance": (
            "Trained by this project's models/training/clouds.py by distillation. On real patches the labels are the "
            "answers of ukis-csmask 1.0.0 (Apache-2.0, German Aerospace Center) and, for 15 % on Level-1C, of "
            "s2cloudless 1.7.3 (CC BY-SA 4.0, Sentinel Hub); on invented clouds over real ground and invented scenes "
            "they are the truth. No weight of another model is in this file, and no reference mask was trained on. "
            f"{course['steps']:,} steps of ten squares of 160 pixels in {course['minutes']:.0f} minutes on one thread "
            "of a shared two-core x64 server, no accelerator. The weights are a moving average over the training steps."
        ),
        "file": "model.onnx",
        "sha256": "",
        "input": {
            "name": "bands",
            "bands": NETWORK[:4],
            "optional": NETWORK[4:],
            "flag": True,
            "mean": MEAN,
            "std": STD,
            "multiple": MULTIPLE,
            "tile": None,
            "meters": 10,
            "levels": ["L1C", "L2A"],
        },
        "output": {"name": "logits"},
        "accuracy": [],
    }
