"""Step `optimize`: files for instruction-set classes, this processor's written by ONNX Runtime's optimizer.

    models optimize wide-resnet --calibrate-on train.parquet
    models optimize --folder models/wide-resnet     adds this processor's variants to a folder that was made on another

An optimized file is loaded as it is, in a fraction of the time, and its weights may lie in a file beside it, which all
workers map once. Only the version that wrote it may read it, and only a processor of its class may run it: with AVX-512
convolutions lie in blocks of 16, with AVX2 in blocks of 8. For the int8 classes of other processors the plain graph is
packed, which is optimized whenever it is loaded; in float32 they are served the portable file.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from pipeline import node
from pipeline.card import proven_file, read_card
from pipeline.faults import Fault
from pipeline.graph import finite, open_session, session_options
from pipeline.images import probes
from pipeline.processor import INT8_CLASSES, class_for, classes_here
from pipeline.pixel import card_input, float_table, to_byte_input, to_float_input
from pipeline.steps import Context, hash_of_file, say

VERSION = 2
EXTERNAL_BYTES = 1024  # smaller weights stay in the graph: a mapping of their own saves nothing
PROBES = 8  # images on which two files of one model are compared
TOLERANCE = 0.001  # of a logit, between a file and itself on processors of one class
PLAIN_FACTOR = 4  # by how much more than here two ways of rounding may differ on another processor


def inputs(context: Context) -> dict:
    """What the variants depend on."""
    candidates = context.result("quantize")["candidates"]
    return {
        **context.recipe.part("input", "optimize"),
        "onnx": context.result("export")["sha256"],
        "candidates": [(candidate["scheme"], candidate["sha256"]) for candidate in candidates],
        "onnxruntime": onnxruntime.__version__,
        "classes": classes_here(),
    }


def run(context: Context) -> dict:
    """Writes the variants into the step's folder, the best first; raises Fault."""
    plan, here = context.recipe.optimize, classes_here()
    candidates = {entry["scheme"]: entry for entry in context.result("quantize")["candidates"]}
    if not here:
        say("  this processor's class is not known: no optimized file is written")
    variants = []
    if "int8" in plan.precisions and candidates:
        variants += int8_variants(candidates, context.folder, here)
    own = class_for("float32", here)
    if "float32" in plan.precisions and own is not None:
        source, given = Path(context.result("export")["onnx"]), card_input(context.recipe.input)
        variants.append(optimized(source, given, own, "float32", context.folder))
    return {"folder": str(context.folder), "variants": variants}


def int8_variants(candidates: dict[str, dict], folder: Path, here: tuple[str, ...]) -> list[dict]:
    """This processor's variant first, if it gains by int8, then those of the other classes."""
    own = class_for("int8", here)
    variants = []
    for scheme, classes in SCHEMES.items():
        source, given = Path(candidates[scheme]["onnx"]), candidates[scheme]["input"]
        if own in classes:
            variants.insert(0, optimized(source, given, own, "int8", folder))
        variants += plain(source, given, [name for name in classes if name != own], folder)
    return variants


SCHEMES = {"u8s8": INT8_CLASSES[:2], "s8s8": INT8_CLASSES[2:]}
"""The types of activations and weights that ONNX Runtime has fast kernels for, by instruction-set class."""


def optimized(source: Path, given: dict, instructions: str, precision: str, folder: Path) -> dict:
    """The variant for this processor's class, fed as `given`; raises Fault where its logits are not its source's."""
    name = f"{instructions}-{precision}"
    file = folder / f"{name}.onnx"
    write_optimized(source, file)
    before = logits_of(source, given, "all")
    after = logits_of(file, given, "disabled")
    weights = file.with_suffix(".bin")
    external = [{"file": weights.name, "sha256": hash_of_file(weights)}] if weights.exists() else []
    measured = {"largestDifferenceToPlainGraph": difference_within(TOLERANCE, before, after, source, file)}
    golden = golden_case(after[0], TOLERANCE)
    written = {"externalData": external, "optimizedBy": onnxruntime.__version__}
    graph = graph_entry(file, precision, given, golden, measured, **written)
    return {"name": name, "instructions": instructions, **graph}


def graph_entry(file: Path, precision: str, given: dict, golden: dict, measured: dict, **more: object) -> dict:
    """What a card says of a variant's graph; empty lists are left out."""
    graph = {"precision": precision, "file": file.name, "sha256": hash_of_file(file), **more}
    output, *others = ({"name": value.name} for value in onnx.load(file, load_external_data=False).graph.output)
    features = {"features": others[0]} if others else {}
    whole = {**graph, "input": given, "output": output, **features, "golden": golden, "measured": measured}
    return {key: value for key, value in whole.items() if value != []}


def plain(source: Path, given: dict, classes: list[str], folder: Path) -> list[dict]:
    """Variants for other processors, all of one file: the graph as it was quantized.

    Their golden logits are this processor's. How far integers are here from the same steps in float32 says what another
    processor, which may round elsewhere, is allowed.
    """
    if not classes:
        return []
    file = folder / source.name
    shutil.copyfile(source, file)
    integers, floats = logits_of(file, given, "all"), logits_of(file, given, "disabled")
    difference = float(np.abs(integers - floats).max())
    golden = golden_case(integers[0], max(TOLERANCE, float(f"{PLAIN_FACTOR * difference:.2g}")))
    measured = {"largestDifferenceToFloatArithmetic": round(difference, 5)}
    graph = graph_entry(file, "int8", given, golden, measured, optimizedBy=None)
    return [{"name": f"{name}-int8", "instructions": name, **graph} for name in classes]


def write_optimized(source: Path, file: Path) -> None:
    """Lets ONNX Runtime write what it would run here, and the weights into a .bin file beside it.

    All workers map that file once: it loads in a fraction of the time.
    """
    options = session_options()
    options.optimized_model_filepath = str(file)
    key = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{key}_file_name", file.with_suffix(".bin").name)
    options.add_session_config_entry(f"{key}_min_size_in_bytes", str(EXTERNAL_BYTES))
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def to_input(image: np.ndarray, given: dict) -> np.ndarray:
    """An image as a card's input asks for it."""
    if given["elementType"] == "uint8":
        return to_byte_input(image, given["lookup"])
    return to_float_input(image, float_table(given["mean"], given["std"]))


def logits_of(file: Path, given: dict, level: str) -> np.ndarray:
    """float32 [PROBES, classes]; the first row is the golden case's. Raises Fault where one is not finite."""
    session = open_session(file, level)
    images = [to_input(image, given) for image in probes(PROBES, given["crop"])]
    return finite(np.stack([session.run(None, {given["name"]: image})[0][0] for image in images]), file)


def difference_within(limit: float, before: np.ndarray, after: np.ndarray, source: Path, file: Path) -> float:
    """The largest difference of a logit; raises Fault above the limit."""
    difference = float(np.abs(before - after).max())
    if not difference <= limit:
        raise Fault(f"Expected the logits of {source.name} within {limit:g} for {file} but received {difference:g}")
    return difference


def golden_case(logits: np.ndarray, tolerance: float) -> dict:
    """What a card says of the golden image."""
    return {"logits": [round(float(logit), 5) for logit in logits], "tolerance": tolerance}


def add_variants(folder: Path, here: tuple[str, ...]) -> list[str]:
    """Adds a processor's variants to a packed folder, from its plain files; returns their names, raises Fault about a
    card or a file that is not what it should be.

    `here`: the classes of this processor, best first. A variant by another version of ONNX Runtime is written anew.
    """
    card, _ = read_card(folder)
    variants = list(card.get("variants", []))
    added = []
    for precision in ("float32", "int8"):
        own = class_for(precision, here)
        former = next((entry for entry in variants if entry["name"] == f"{own}-{precision}"), None)
        source = card if precision == "float32" else _plain_source(variants, own)
        is_made = former is not None and former["optimizedBy"] == onnxruntime.__version__
        if own is None or source is None or is_made:
            continue
        variant = optimized(proven_file(folder, source), source["input"], own, precision, folder)
        kept = [entry for entry in variants if entry["name"] != variant["name"]]
        variants = [variant, *kept] if precision == "int8" else [*kept, variant]
        added.append(variant["name"])
    if added:
        part = folder / "model.part"
        text = json.dumps({**card, "variants": variants}, indent=2, ensure_ascii=False)
        part.write_text(node.formatted(text), encoding="utf-8")
        part.replace(folder / "model.json")
    return added


def _plain_source(variants: list[dict], own: str | None) -> dict | None:
    """The plain int8 graph to optimize for a class."""
    plains = [entry for entry in variants if entry["precision"] == "int8" and entry["optimizedBy"] is None]
    return next((entry for entry in plains if scheme_of(entry["instructions"]) == scheme_of(own)), None)


def scheme_of(instructions: str | None) -> str | None:
    """The types that an int8 variant of the class has; None for a class that has none."""
    return next((scheme for scheme, classes in SCHEMES.items() if instructions in classes), None)
