"""Cards of model folders: reads them and their files with the hashes checked; needs the standard library alone.

    card, labels = read_card(Path("models/wide-resnet"))
    file = proven_file(Path("models/wide-resnet"), card)
"""

import json
from pathlib import Path

from pipeline.faults import Fault
from pipeline.steps import hash_of_file


def read_card(folder: Path) -> tuple[dict, list[dict]]:
    """The card and the labels of a model folder, as JSON holds them; raises Fault."""
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return card, json.loads((folder / card["labels"]).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as cause:
        found = (cause.strerror or "").lower() if isinstance(cause, OSError) else "something else"
        raise Fault(f"Expected a model folder with model.json and labels for {folder} but received {found}") from cause


def proven_file(folder: Path, entry: dict) -> Path:
    """The file that a card, or a variant of it, names; raises Fault where it is missing or has another hash."""
    for key in ("file", "sha256", "input"):
        if key not in entry:
            raise Fault(f"Expected {key} for {folder / 'model.json'} but received nothing")
    file = folder / entry["file"]
    if not file.is_file():
        raise Fault(f"Expected a file for {file} but received none")
    if (found := hash_of_file(file)) != entry["sha256"]:
        raise Fault(f"Expected SHA-256 {entry['sha256']} for {file} but received {found}")
    return file
