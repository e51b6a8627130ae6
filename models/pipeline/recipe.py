"""Recipes: a model's architecture, weights, preprocessing, labels, license and gates, `models/recipes/NAME.toml`.

    recipe = read_recipe("wide-resnet-50-2")
    recipe.input.resize, recipe.gates["min_agreement"]

Needs the standard library alone. All faults of a file are reported at once.
"""

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.faults import Fault
from pipeline.gates import LIMITS

MODELS = Path(__file__).resolve().parent.parent
RECIPES = MODELS / "recipes"


def _rule(what: str, met: typing.Callable[[typing.Any], bool], **default: object) -> typing.Any:
    """A field with what is expected of it in words and as a test; without a default it must be given."""
    return field(metadata={"what": what, "met": met}, **default)


def _text(**default: object) -> typing.Any:
    return _rule("text", lambda value: isinstance(value, str) and value.strip() != "", **default)


def _one_of(*choices: str, **default: object) -> typing.Any:
    return _rule("one of " + ", ".join(choices), lambda value: value in choices, **default)


def _whole(least: int, most: int, **default: object) -> typing.Any:
    return _rule(
        f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most, **default
    )


def _number(least: float, most: float, **default: object) -> typing.Any:
    return _rule(
        f"a number from {least:g} to {most:g}",
        lambda value: type(value) in (int, float) and least <= value <= most,
        **default,
    )


def _pattern(what: str, pattern: str, **default: object) -> typing.Any:
    return _rule(what, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, **default)


def _three(what: str, least: float, **default: object) -> typing.Any:
    return _rule(
        f"three numbers {what}",
        lambda value: (
            isinstance(value, list)
            and len(value) == 3
            and all(type(entry) in (int, float) and least < entry <= 1 for entry in value)
        ),
        **default,
    )


def _some_of(*choices: str, **default: object) -> typing.Any:
    return _rule(
        "a list of " + ", ".join(choices),
        lambda value: isinstance(value, list) and all(entry in choices for entry in value),
        **default,
    )


ARCHITECTURES = (
    "wide-resnet",
    "mobilenet",
    "mobilenet-light",
    "wide_resnet50_2",
    "mobilenet_v3_large",
    "mobilenet_v2",
    "efficientnet-lite0",
)
CALIBRATED = ("percentile", "entropy", "minmax")
METHODS = (*CALIBRATED, "learned")
LEAST_CALIBRATED = 10  # images: of which one at least is held out
INPUT_NAME, OUTPUT_NAME = "image", "logits"  # of the portable graph's tensors
EXCLUDABLE = ("first-convolution", "classifier", "squeeze-excite")
NAME = r"[a-z0-9]+(?:[.-][a-z0-9]+)*"  # of a model folder, a path of the service and a label of a metric


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where weights come from: torchvision, by its own name, a file of an installed package, or a file here."""

    source: str = _one_of("torchvision", "package", "file")
    sha256: str = _pattern("8 to 64 hexadecimal digits, the first of the file's SHA-256", "[0-9a-f]{8,64}")
    name: str | None = _pattern(
        "the name of torchvision's weights, such as MobileNet_V2_Weights.IMAGENET1K_V2", r"\w+\.\w+", default=None
    )
    package: str | None = _pattern("the import name of a package", r"[a-z_]\w*", default=None)
    file: str | None = _text(default=None)
    """Of a package: inside it; else relative to models/."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """How an image becomes the input: its shorter side is resized to `resize`, the middle `crop` x `crop` kept."""

    resize: int = _whole(1, 1024)
    crop: int = _whole(1, 1024)
    mean: tuple[float, ...] = _three("from 0 to 1", -1e-9)
    std: tuple[float, ...] = _three("above 0, at most 1", 0)
    kernel: str = _one_of("linear", "cubic", default="linear")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The classes in the order of the logits: ImageNet's 1,000, or those of a JSON file {id: label}, sorted by id."""

    source: str = _one_of("imagenet-1k", "file")
    file: str | None = _text(default=None)
    """Relative to models/."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What the weights were trained on; goes into the card as it stands."""

    name: str = _text()
    classes: int = _whole(2, 100_000)
    images: int = _whole(1, 10**10)
    license: str = _text()
    source: str = _text()


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the ONNX graph is held against."""

    max_difference: float = _number(0, 1)
    """Largest difference of a logit between PyTorch and ONNX Runtime, as a share of the largest logit."""
    byte_weights: bool = _rule("true or false", lambda value: isinstance(value, bool), default=False)
    """Whether weights are rounded to 8 bits and stored as such: a quarter of the size, float32 when it is loaded."""


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """How int8 candidates are made."""

    enabled: bool = _rule("true or false", lambda value: isinstance(value, bool), default=True)
    methods: tuple[str, ...] = _some_of(*METHODS, default=CALIBRATED)
    """Ways from calibration's counts to ranges; the best of them is kept."""
    exclude: tuple[str, ...] = _some_of(*EXCLUDABLE, default=())
    """Groups of nodes to leave in float32, one more each time that no method reaches `min_agreement`."""
    per_channel: bool = _rule("true or false", lambda value: isinstance(value, bool), default=True)
    percentile: float = _number(90, 100, default=99.99)
    """Of the values, of method percentile."""
    calibration_images: int = _whole(1, 100_000, default=500)
    held_out_images: int = _whole(1, 100_000, default=200)
    """Images to choose the method by: beside the calibration's."""
    seed: int = _whole(1, 2**31, default=1)
    """Which images of --calibrate-on are taken."""


@dataclass(frozen=True, kw_only=True)
class Optimize:
    """Which optimized variants are written."""

    precisions: tuple[str, ...] = _some_of("int8", "float32", default=("int8", "float32"))
    external_data: bool = _rule("true or false", lambda value: isinstance(value, bool), default=True)
    """Weights in a file of their own, which all workers map once: loads in a fraction of the time."""


@dataclass(frozen=True, kw_only=True)
class Compare:
    """When `models compare` lets a challenger be released."""

    least_images: int = _whole(1, 1_000_000)
    least_images_per_class: int = _whole(1, 100_000)
    most_accuracy_loss_points: float = _number(0, 100)
    confidence: float = _number(0.5, 0.999)
    least_share_of_added: float = _number(0, 1)
    """Top-1 on classes that only the challenger knows, as a share of its top-1 on the others."""
    most_latency_ratio: float = _number(1, 100)
    """The challenger's median run by the champion's."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe, read and checked."""

    name: str = _pattern("lower-case words joined by hyphens", NAME)
    version: str = _pattern("lower-case words joined by hyphens", NAME)
    family: str = _text()
    description: str = _text()
    architecture: str = _one_of(*ARCHITECTURES)
    license: str = _text()
    provenance: str = _text()
    weights: Weights
    input: Input
    labels: Labels
    data_set: DataSet
    export: Export
    quantize: Quantize
    optimize: Optimize
    gates: Mapping[str, float] = _rule("a table", lambda value: isinstance(value, dict))
    """What a build must reach: limits by the names that `pipeline/gates.py` gives them."""
    compare: Compare

    def part(self, *names: str) -> dict:
        """The named fields as JSON-able values, for the key of a step."""
        whole = dataclasses.asdict(self)
        return {name: whole[name] for name in names}


def list_recipes(folder: Path = RECIPES) -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def read_recipe(name: str, folder: Path = RECIPES) -> Recipe:
    """The recipe called `name`, or in the file NAME.toml of that path; raises Fault, which lists every fault."""
    if name.endswith(".toml"):
        return parse_recipe(Path(name))
    file = folder / f"{name}.toml"
    if not file.is_file():
        raise Fault(f'Expected one of {", ".join(list_recipes(folder))} for RECIPE but received "{name}"')
    return parse_recipe(file)


def parse_recipe(file: Path) -> Recipe:
    """The recipe in `file`, whose name it must carry; raises Fault, which lists every fault."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise Fault(f"Expected a recipe for {file} but received no file that can be read") from cause
    except ValueError as cause:  # tomllib's and that of text that is not UTF-8
        raise Fault(f"Expected TOML for {file} but received something else: {cause}") from cause
    faults: list[str] = []
    recipe = _build(Recipe, table, "", file, faults)
    gates = table.get("gates")
    if isinstance(gates, dict):
        faults += _unknown(gates.keys() - LIMITS.keys(), list(LIMITS), "gates.", file)
        faults += [
            f"Expected a number for gates.{name} of {file} but received {limit!r}"
            for name, limit in gates.items()
            if name in LIMITS and type(limit) not in (int, float)
        ]
    if not faults:
        faults += [
            f"Expected {what} for {key} of {file} but received {found}"
            for what, key, found in _contradictions(recipe, file)
        ]
    if faults:
        raise Fault("\n".join(faults))
    return recipe


def _build(kind: type, table: dict, prefix: str, file: Path, faults: list[str]) -> typing.Any:
    hints = typing.get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    faults += _unknown(table.keys() - fields.keys(), list(fields), prefix, file)
    values = {}
    for name, entry in fields.items():
        if dataclasses.is_dataclass(hints[name]):
            inner = table.get(name, {})
            if not isinstance(inner, dict):
                faults.append(f"Expected a table for {prefix}{name} of {file} but received {inner!r}")
                inner = {}
            values[name] = _build(hints[name], inner, f"{prefix}{name}.", file, faults)
        elif name in table:
            values[name] = tuple(table[name]) if isinstance(table[name], list) else table[name]
            if not entry.metadata["met"](table[name]):
                faults.append(
                    f"Expected {entry.metadata['what']} for {prefix}{name} of {file} but received {table[name]!r}"
                )
        elif entry.default is dataclasses.MISSING:
            faults.append(f"Expected {entry.metadata['what']} for {prefix}{name} of {file} but received nothing")
    return None if faults else kind(**values)


def _unknown(keys: set[str], known: list[str], prefix: str, file: Path) -> list[str]:
    faults = []
    for key in sorted(keys):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f', perhaps meant as "{prefix}{near[0]}"' if near else ""
        faults.append(f'Expected a known key for {file} but received "{prefix}{key}"{hint}')
    return faults


def _contradictions(recipe: Recipe, file: Path) -> list[tuple[str, str, str]]:
    """What single fields cannot tell: (what was expected, of which key, what was found)."""
    found = []
    if not recipe.quantize.methods:
        found.append(("at least one method", "quantize.methods", "none"))
    if recipe.name != file.stem:
        found.append((f'"{file.stem}" (the file\'s name)', "name", f'"{recipe.name}"'))
    if recipe.input.crop > recipe.input.resize:
        found.append((f"at most {recipe.input.resize} (input.resize)", "input.crop", str(recipe.input.crop)))
    needed = {"torchvision": ("name",), "package": ("package", "file"), "file": ("file",)}[recipe.weights.source]
    for key in ("name", "package", "file"):
        value = getattr(recipe.weights, key)
        if (value is not None) != (key in needed):
            what = "text" if key in needed else "nothing"
            found.append((f'{what} (weights.source is "{recipe.weights.source}")', f"weights.{key}", _shown(value)))
    if (recipe.labels.file is not None) != (recipe.labels.source == "file"):
        what = "text" if recipe.labels.source == "file" else "nothing"
        found.append((f'{what} (labels.source is "{recipe.labels.source}")', "labels.file", _shown(recipe.labels.file)))
    return found


def _shown(value: str | None) -> str:
    return "nothing" if value is None else f'"{value}"'
