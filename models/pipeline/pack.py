"""Step 6: the model folder, its card filled with what was measured.

    models pack mobilenet-v3-large --calibrate-on photos --data photos      models/mobilenet-v3-large@imagenet-1k-v2/

A folder of the same name and version is replaced as a whole; one that is half written is never seen under its name.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline import node
from pipeline.faults import Fault
from pipeline.labels import read_labels
from pipeline.recipe import INPUT_NAME, OUTPUT_NAME
from pipeline.steps import Context, hash_of_file, say

VERSION = 1


def inputs(context: Context) -> dict:
    """All that the card says."""
    return {
        **context.recipe.part(*CARD_PARTS),
        "labels": read_labels(context.recipe),
        "version": context.version,
        "fetch": {key: value for key, value in context.result("fetch").items() if key != "weights"},
        "export": context.result("export")["sha256"],
        "check": context.result("check"),
        "out": str(context.options.out.resolve()),
    }


CARD_PARTS = ("name", "family", "description", "license", "provenance", "data_set", "input", "export")


def run(context: Context) -> dict:
    """Writes OUT/NAME@VERSION; raises Fault."""
    checked = context.result("check")
    folder = context.options.out.resolve() / f"{context.recipe.name}@{context.version}"
    write_folder(context, folder, checked["variants"], checked["gates"], checked["accuracy"])
    say(f"  {folder}")
    return {"folder": str(folder), "card": hash_of_file(folder / "model.json")}


def holds(context: Context, result: dict) -> bool:
    """Whether the folder still has the card that was written."""
    card = Path(result["folder"]) / "model.json"
    return card.is_file() and hash_of_file(card) == result["card"]


def write_folder(
    context: Context, folder: Path, variants: Sequence[dict], gates: Sequence[dict], accuracy: Sequence[dict]
) -> None:
    """Writes a model folder with the portable file and the variants, whose files lie in the folder of step optimize.

    Raises Fault when the labels are not as many as the logits, or a file is not the one that its variant names.
    """
    exported = context.result("export")
    labels = read_labels(context.recipe)
    if len(labels) != len(exported["golden"]):
        raise Fault(f"Expected {len(exported['golden'])} labels (one a logit) for {folder} but received {len(labels)}")
    files = {variant["file"]: variant["sha256"] for variant in variants}
    files |= {entry["file"]: entry["sha256"] for variant in variants for entry in variant.get("externalData") or []}

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copyfile(exported["onnx"], part / "model.onnx")
    for name, sha256 in files.items():
        source = Path(context.result("optimize")["folder"]) / name
        shutil.copyfile(source, part / name)
        if (found := hash_of_file(part / name)) != sha256:
            raise Fault(f"Expected SHA-256 {sha256} for {source} but received {found}")
    card = card_of(context, variants, gates, accuracy)
    for name, value, indent in (("labels.json", labels, None), ("model.json", card, 2)):
        # The formatter gives an object one line, if it fits and did not begin with a line break: a label each.
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        (part / name).write_text(node.formatted(text), encoding="utf-8")
    _replace(part, folder)


def _replace(part: Path, folder: Path) -> None:
    """Puts `part` in the place of `folder`; for two renames there may be nothing, never a mixture."""
    former = folder.with_name(f".{folder.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists():
        os.replace(folder, former)
    os.replace(part, folder)
    shutil.rmtree(former, ignore_errors=True)


def card_of(context: Context, variants: Sequence[dict], gates: Sequence[dict], accuracy: Sequence[dict]) -> dict:
    """The card, model.json."""
    recipe, fetched, exported = context.recipe, context.result("fetch"), context.result("export")
    given = {key: value for key, value in recipe.part("input")["input"].items() if (key, value) != ("kernel", "linear")}
    card = {
        "name": recipe.name,
        "version": context.version,
        "family": recipe.family,
        "description": recipe.description,
        "dataSet": asdict(recipe.data_set),
        "license": recipe.license,
        "provenance": provenance_of(context),
        "file": "model.onnx",
        "sha256": exported["sha256"],
        "labels": "labels.json",
        "input": {"name": INPUT_NAME, "elementType": "float32", "layout": "NCHW", **given},
        "output": {"name": OUTPUT_NAME},
        "accuracy": list(accuracy),
        "golden": {"logits": exported["golden"], "tolerance": exported["tolerance"]},
        "variants": list(variants),
        "gates": [_export_gate(context), *gates],
    }
    if fetched["kind"] == "random":
        del card["dataSet"]
        card["license"] = "none: random weights"
    return card


def provenance_of(context: Context) -> str:
    """Where the weights come from and how far that was verified, in sentences."""
    fetched, trained = context.result("fetch"), context.result("export")["trained"]
    sentences = [fetched["origin"], _verified(fetched)]
    if not fetched["own"]:
        sentences.insert(0, context.recipe.provenance)
    elif trained:
        seen = f"{trained.get('images', 0):,} images seen in {round(trained.get('minutes', 0))} minutes"
        average = "the weights are a moving average over the training steps"
        sentences = [f"Trained by this project: {seen}; {average}.", *sentences, trained.get("note", "")]
    return " ".join(sentence for sentence in sentences if sentence)


def _verified(fetched: dict) -> str:
    sha256 = fetched["sha256"]
    if sha256 is None or (fetched["kind"] == "onnx" and not fetched["own"]):
        return ""  # the card's own hash is that of the graph
    if fetched["own"]:
        return f"Their SHA-256 is {sha256}."
    how = "as published" if fetched["whole"] else "of which the beginning is published, in the file's name"
    return f"Their SHA-256 is {sha256}, {how}."


def _export_gate(context: Context) -> dict:
    exported, limit = context.result("export"), context.recipe.export.max_difference
    what = f"difference of a logit to {exported['compared']}, as a share of the largest"
    measured = float(f"{exported['max_difference']:.3g}")
    return {
        "name": "max_export_difference",
        "demanded": f"at most {limit:g}",
        "measured": measured,
        "passed": True,  # or export would have ended the build
        "sentence": f"max_export_difference ({what}): {measured:g}, at most {limit:g}.",
    }
