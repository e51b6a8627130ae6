"""New images for retraining: read, freed of what would spoil a result, split into those to learn from and to check by.

    gathered = read_images(Path("photos"), "--data")
    learned, checked = hold_out(gathered.pictures, seed=1)

A folder names the class by the sub-folder or by the beginning of each file's name (`n02099601_dog.jpg`), as it does for
`npm run evaluate`; here the first sub-folder may also be the name of a new class. A Parquet file has the columns
`image` (encoded bytes) and `wnid`. Files that are no readable image are listed, never fatal.
"""

import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.faults import Fault
from pipeline.labels import ID

LEAST_IMAGES = 5  # of a class: of fewer, learning and checking both would hang on one or two images
HOLD_OUT = 0.3  # of a class: of five images two, so that one lucky image is not the whole verdict on it
LABELS = "labels.json"
WORDNET_ID = re.compile(r"n\d{8}")
NAMED = re.compile(r"(n\d{8})[_.-]")
SHOWN = 5  # names in a message

Row = tuple[str, str | None, bytes]
"""Name, class and bytes of a file."""


@dataclass(frozen=True)
class Picture:
    """An encoded image, the class it shows, and a hash of its decoded pixels, by which two pictures are the same."""

    name: str
    shows: str
    data: bytes
    pixels: str


@dataclass(frozen=True)
class Gathered:
    """What a place held: pictures, why files were left out, and labels that came along, by class."""

    pictures: tuple[Picture, ...]
    left_out: dict[str, str]
    labels: dict[str, str]


def read_images(place: Path, option: str, limit: int | None = None, seed: int = 1) -> Gathered:
    """The images of a folder or a Parquet file, each but once; at most `limit` of them, evenly over the classes.

    Raises Fault, which names the command line's `option`, when no image is left or when a class' name cannot be one.
    """
    if place.is_dir():
        rows, labels = list(_of_folder(place)), _labels(place / LABELS)
    elif place.is_file():
        rows, labels = _of_parquet(place), {}
    else:
        raise Fault(f"Expected a folder or a Parquet file for {option} but received {place}")
    count = len(rows)
    if limit is not None and count > limit:
        rows = _evenly([row for row in rows if row[1] is not None], limit, seed)
    left_out: dict[str, str] = {}
    seen: dict[str, Picture] = {}
    for name, shows, data in rows:
        if shows is None:
            left_out[name] = "no class: not in a sub-folder, and its name begins with no WordNet id"
            continue
        if not ID.fullmatch(shows):
            rule = "1 to 64 letters, digits, dots, hyphens or underscores"
            raise Fault(f"Expected a class id ({rule}) for the folder of {name} but received {shows}")
        pixels = hash_of_pixels(data)
        if pixels is None:
            left_out[name] = "no image that can be decoded"
        elif (twin := seen.get(pixels)) is not None:
            left_out[name] = f"the same image as {twin.name}" + (f", but as {shows}" if shows != twin.shows else "")
        else:
            seen[pixels] = Picture(name, shows, data, pixels)
    if not seen:
        raise Fault(f"Expected images with their classes for {option} but received none among the {count} of {place}")
    return Gathered(tuple(seen.values()), left_out, labels)


def hash_of_pixels(data: bytes) -> str | None:
    """SHA-256 of the image's size and upright RGB pixels, None for bytes that are no image."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # Pillow's formats raise a dozen kinds, SyntaxError and struct.error among them
        return None
    return hashlib.sha256(repr(upright.size).encode() + upright.tobytes()).hexdigest()


def hold_out(pictures: Sequence[Picture], seed: int) -> tuple[list[Picture], list[Picture]]:
    """Images to learn from and to check by. Of each class HOLD_OUT, rounded up, are held out: the same ones for the
    same seed, whatever the files are called and whatever other images there are."""
    learned: list[Picture] = []
    checked: list[Picture] = []
    for group in by_class(pictures).values():
        drawn = sorted(group, key=lambda picture: _lot(seed, picture.pixels))
        count = math.ceil(HOLD_OUT * len(drawn))
        checked += drawn[:count]
        learned += drawn[count:]
    return learned, checked


def refuse_few(pictures: Sequence[Picture]) -> None:
    """Raises Fault when a class has fewer than LEAST_IMAGES images."""
    few = [f"{len(group)} of {shows}" for shows, group in by_class(pictures).items() if len(group) < LEAST_IMAGES]
    if few:
        raise Fault(f"Expected at least {LEAST_IMAGES} images of each class for --data but received {_listed(few)}")


def refuse_leaks(learned: Sequence[Picture], checked: Sequence[Picture]) -> None:
    """Raises Fault when an image to check by is also one to learn from, whatever the files' formats."""
    seen = {picture.pixels: picture.name for picture in learned}
    leaks = [f"{picture.name} (as {seen[picture.pixels]})" for picture in checked if picture.pixels in seen]
    if leaks:
        found = f"{len(leaks)}: {_listed(leaks)}"
        raise Fault(f"Expected no image to check by among those to learn from but received {found}")


def without(pictures: Iterable[Picture], others: Iterable[Picture]) -> list[Picture]:
    """The pictures that are none of the others."""
    hashes = {picture.pixels for picture in others}
    return [picture for picture in pictures if picture.pixels not in hashes]


def by_class(pictures: Iterable[Picture]) -> dict[str, list[Picture]]:
    """The pictures of each class, classes sorted."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.shows, []).append(picture)
    return dict(sorted(groups.items()))


def write_parquet(pictures: Sequence[Picture], file: Path) -> None:
    """The pictures as the service's tools read them, row by row."""
    import pyarrow
    import pyarrow.parquet

    columns = {"image": [picture.data for picture in pictures], "wnid": [picture.shows for picture in pictures]}
    schema = pyarrow.schema([("image", pyarrow.binary()), ("wnid", pyarrow.string())])
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)


def _of_folder(folder: Path) -> Iterable[Row]:
    """Name, class and bytes of each file, hidden ones and the labels left out, in the order of their names."""
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or parts == (LABELS,):
            continue
        named = NAMED.match(file.name)
        folders = [part for part in reversed(parts[:-1]) if WORDNET_ID.fullmatch(part)]
        shows = folders[0] if folders else named[1] if named else parts[0] if len(parts) > 1 else None
        try:
            yield "/".join(parts), shows, file.read_bytes()
        except OSError:
            yield "/".join(parts), shows, b""


def _evenly(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """At most `count` of the rows, as evenly over their classes as they allow, drawn by their bytes."""
    piles: dict[str | None, list[Row]] = {}
    for row in sorted(rows, key=lambda row: _lot(seed, hashlib.sha256(row[2]).hexdigest())):
        piles.setdefault(row[1], []).append(row)
    turns = max((len(pile) for pile in piles.values()), default=0)
    return [pile[turn] for turn in range(turns) for pile in piles.values() if turn < len(pile)][:count]


def _lot(seed: int, name: str) -> str:
    """What to sort by in order to draw: the same for the same seed, whatever else there is to draw from."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _of_parquet(file: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file, columns=["image", "wnid"])
        images, names = table["image"].to_pylist(), table["wnid"].to_pylist()
    except (pyarrow.ArrowException, OSError, KeyError) as cause:
        what = "a Parquet file with the columns image and wnid"
        raise Fault(f"Expected {what} for {file} but received another") from cause
    if not all(isinstance(image, bytes) and isinstance(name, str) for image, name in zip(images, names)):
        raise Fault(f"Expected bytes in the column image and text in wnid for {file} but received other types")
    return [(f"row {row}", name, image) for row, (image, name) in enumerate(zip(images, names))]


def _labels(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        labels = None
    if not isinstance(labels, dict) or not all(isinstance(label, str) and label.strip() for label in labels.values()):
        raise Fault(f"Expected {{class id: label}} for {file} but received something else")
    return labels


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
