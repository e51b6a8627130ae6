"""Tiny ImageNet as arrays: images uint8 [n, 64, 64, 3] RGB, classes int64 [n] as indexes into the sorted WordNet ids."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image


def _decode(source) -> np.ndarray:
    return np.asarray(Image.open(source).convert("RGB"))


def _from_parquet(file: Path) -> tuple[list, list[str]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    return [io.BytesIO(image) for image in table["image"].to_pylist()], table["wnid"].to_pylist()


def _from_authors_folder(root: Path, split: str) -> tuple[list, list[str]]:
    if split == "train":
        files = sorted(root.glob("train/*/images/*.JPEG"))
        return files, [file.parent.parent.name for file in files]
    lines = (root / "val" / "val_annotations.txt").read_text().splitlines()
    rows = [line.split("\t")[:2] for line in lines]
    return [root / "val" / "images" / name for name, _ in rows], [wnid for _, wnid in rows]


def load(root: Path, split: str, cache: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images, classes and the label order of split `train` or `val`.

    `root` is the data set as its authors ship it (`tiny-imagenet-200/`) or a folder with `train.parquet` and `val.parquet`
    (columns image: encoded bytes, wnid: string). Decoded pixels are kept in `cache` (1.2 GB) and mapped, not read.
    """
    images, names = cache / f"{split}-images.npy", cache / f"{split}-wnids.npy"
    if not (images.exists() and names.exists()):
        parquet = root / f"{split}.parquet"
        sources, wnids = _from_parquet(parquet) if parquet.exists() else _from_authors_folder(root, split)
        if not sources:
            raise SystemExit(f"Expected Tiny ImageNet for --data but received {root}, which holds no {split} images")
        cache.mkdir(parents=True, exist_ok=True)
        part = images.with_suffix(".part")
        with open(part, "wb") as file:
            np.save(file, np.stack([_decode(source) for source in sources]))
        os.replace(part, images)
        np.save(names, np.array(wnids))
    wnids = np.load(names)
    order = sorted(set(wnids.tolist()))
    index = {wnid: i for i, wnid in enumerate(order)}
    return np.load(images, mmap_mode="r"), np.array([index[wnid] for wnid in wnids]), order
