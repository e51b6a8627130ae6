"""Writes the GeoTIFFs beside this file by GDAL: one for each way to store the same numbers that is not drawn by the tests.

    python tests/tasks/clouds/make.py        (needs rasterio)

Each is 80 x 72 pixels with bands B02, B03, B04 and B08, whose number at column x and row y of band k is
(3 x + 5 y + 700 k + floor(x y / 16)) mod 9000, as reflectance of a ten-thousandth of it where the file has floats.
"""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

width, height = 80, 72
x, y = np.meshgrid(np.arange(width), np.arange(height))
numbers = np.stack([(3 * x + 5 * y + 700 * band + x * y // 16) % 9000 for band in range(4)])

layouts = {
    "zstd": {"compress": "zstd"},
    "zstd-tiled": {"compress": "zstd", "predictor": 2, "tiled": True, "blockxsize": 32, "blockysize": 48},
    "zstd-float": {"compress": "zstd", "predictor": 3, "dtype": "float32"},
    "lzw-tiled": {"compress": "lzw", "predictor": 2, "tiled": True, "blockxsize": 64, "blockysize": 32},
    "lzw-big-endian": {"compress": "lzw", "predictor": 2, "ENDIANNESS": "BIG"},
    "packbits": {"compress": "packbits", "interleave": "band"},
    "deflate-float": {"compress": "deflate", "predictor": 3, "dtype": "float32", "ENDIANNESS": "BIG"},
    "deflate-big": {"compress": "deflate", "predictor": 2, "BIGTIFF": "YES", "dtype": "int16"},
    "cloud-optimized": {"driver": "COG", "compress": "deflate"},
}

for name, options in layouts.items():
    options = {"driver": "GTiff", "dtype": "uint16", "interleave": "pixel", **options}
    scale = 10_000 if options["dtype"] == "float32" else 1
    profile = {
        "width": width,
        "height": height,
        "count": 4,
        "crs": "EPSG:32633",
        "transform": from_origin(500_000, 5_200_000, 10, 10),
        **options,
    }
    with rasterio.open(Path(__file__).parent / f"{name}.tif", "w", **profile) as file:
        file.write((numbers / scale).astype(options["dtype"]))
        file.update_tags(PROCESSING_LEVEL="Level-1C")
        for index, band in enumerate(["B2", "B3", "B4", "B8"], 1):
            file.set_band_description(index, f"{band}, central wavelength")
