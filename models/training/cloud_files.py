"""Writes invented scenes with their truth as GeoTIFFs, for `npm run evaluate -- clouds` and for pictures.

    models/.venv/bin/python -m training.cloud_files --out scenes

For each kind of ground a folder: N.tif as Level-1C and Level-2A in turns, N_label.tif with 0 clear, 1 cloud, 2 shadow,
and N_clear.tif with the same ground under a clear sky. The seeds are others than those of training.
"""

import argparse
from pathlib import Path

import numpy as np

from training.cloud_patches import DN, NETWORK
from training.cloud_scenes import KINDS, make_scene

SEED = 1_000_000


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=12, metavar="N", help="scenes of each kind (default 12)")
    parser.add_argument("--side", type=int, default=256, metavar="N", help="pixels (default 256)")
    parser.add_argument("--bands", type=int, choices=(4, 6), default=6, help="with SWIR (6, the default) or without")
    args = parser.parse_args()
    for kind in KINDS:
        (args.out / kind).mkdir(parents=True, exist_ok=True)
        for index in range(args.count):
            level = ("L1C", "L2A")[index % 2]
            for name, is_clear in ((f"{index}", False), (f"{index}_clear", True)):
                rng = np.random.default_rng(SEED + index)
                scene = make_scene(rng, args.side, kind, level, is_clear=is_clear)
                numbers = np.clip(np.round(scene.bands[: args.bands] * DN), 1, 65535).astype(np.uint16)
                write_geotiff(args.out / kind / f"{name}.tif", numbers, level)
                if not is_clear:
                    truth = scene.truth.argmax(0).astype(np.uint8)
                    write_geotiff(args.out / kind / f"{name}_label.tif", truth, None)


def write_geotiff(file: Path, values: np.ndarray, level: str | None) -> None:
    """Writes [bands, H, W] or [H, W]; `level`, L1C or L2A, and the bands' names go into GDAL's metadata."""
    import tifffile

    names = NETWORK[: len(values)] if level else []
    bands = [f'<Item name="DESCRIPTION" sample="{i}" role="description">{name}</Item>' for i, name in enumerate(names)]
    items = [f'<Item name="PROCESSING_LEVEL">Level-{level[1:]}</Item>', *bands] if level else []
    text = f"<GDALMetadata>{''.join(items)}</GDALMetadata>"
    order = np.moveaxis(values, 0, -1) if level else values
    options = {"compression": "zlib", "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(file, order, planarconfig="contig", extratags=[(42112, "s", 0, text, True)], **options)


if __name__ == "__main__":
    main()
