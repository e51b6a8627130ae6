"""Patches that the cloud network learns from: read from GeoTIFFs, with what its teachers say of them.

    for patch in read_patches(Path("clouds")):
        print(patch.name, patch.level, patch.bands.shape)

The folder has two sub-folders: `sen12mscr` (Level-1C, 13 bands in the order of BANDS_L1C, named
`PLACE_pN_clear.tif` or `PLACE_pN_cloudy.tif`) and `on_cloud_n` (Level-2A, four bands). A file beside which a
`_label.tif` lies is for checking and is never read here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.faults import Fault

BANDS_L1C = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
NETWORK = ["B02", "B03", "B04", "B08", "B11", "B12"]
S2CLOUDLESS = ["B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12"]
DN = 10_000  # digital numbers for a reflectance of 1

# Kept from training, to choose by: whole places, since two patches of one place look alike.
HELD_OUT = (
    "ROIs1158_spring_26_p840",
    "ROIs1868_summer_101",
    "ROIs1868_summer_135_p501",
    "ROIs1868_summer_135_p502",
    "ROIs1970_fall_85_p782",
)


@dataclass(frozen=True)
class Patch:
    """A patch in reflectance: `bands` float32 [4 or 6, H, W] in NETWORK's order, `all13` float32 [13, H, W] or None."""

    name: str
    level: str
    bands: np.ndarray
    all13: np.ndarray | None

    @property
    def is_held_out(self) -> bool:
        """Whether the patch is for choosing, not for training."""
        return self.name.startswith(HELD_OUT)

    @property
    def is_clear(self) -> bool:
        """Whether the data set calls the patch clear."""
        return self.name.endswith("_clear")


def read_patches(data: Path) -> list[Patch]:
    """All patches without a reference mask, by name; raises Fault."""
    patches = [*_read_folder(data / "sen12mscr", "L1C", 13), *_read_folder(data / "on_cloud_n", "L2A", 4)]
    if not patches:
        raise Fault(f"Expected GeoTIFFs in sen12mscr and on_cloud_n for --data but received {data}")
    return patches


def _read_folder(folder: Path, level: str, count: int) -> list[Patch]:
    import tifffile

    patches = []
    for file in sorted(folder.glob("*.tif")):
        if file.stem.endswith("_label") or file.with_name(f"{file.stem}_label.tif").exists():
            continue
        values = tifffile.imread(file)
        bands = np.moveaxis(values, -1, 0) if values.ndim == 3 and values.shape[-1] == count else values
        if bands.ndim != 3 or len(bands) != count:
            raise Fault(f"Expected {count} bands for {file} but received the shape {values.shape}")
        whole = bands.astype(np.float32) / DN
        chosen = whole[[BANDS_L1C.index(name) for name in NETWORK]] if count == 13 else whole
        patches.append(Patch(file.stem, level, chosen, whole if count == 13 else None))
    return patches
