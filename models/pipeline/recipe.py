"""Recipes: a model's architecture, weights, preprocessing, labels, license and gates, `models/recipes/NAME.toml`.

    recipe = read_recipe("wide-resnet-50-2")
    recipe.input.resize, recipe.gates["min_agreement"]

Needs the standard library alone. All faults of a file are reported at once.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.faults import Fault
from pipeline.gates import COMMON, LIMITS
from pipeline.schema import Refuse, build, flag, number, one_of, rule, some_of, text, three, unknown, whole

MODELS = Path(__file__).resolve().parent.parent
RECIPES = MODELS / "recipes"


ARCHITECTURES = (
    "wide-resnet",
    "mobilenet",
    "mobilenet-light",
    "wide_resnet50_2",
    "mobilenet_v3_large",
    "mobilenet_v2",
    "efficientnet-lite0",
    "efficientnet-lite2",
)
CALIBRATED = ("percentile", "entropy", "minmax")
METHODS = (*CALIBRATED, "learned")
LEAST_CALIBRATED = 10  # images: of which one at least is held out
INPUT_NAME, OUTPUT_NAME = "image", "logits"  # of the portable graph's tensors
EXCLUDABLE = ("first-convolution", "classifier", "squeeze-excite")
NAME = r"[a-z0-9]+(?:[.-][a-z0-9]+)*"  # of a model folder, a path of the service and a label of a metric


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where weights come from: torchvision, a file of a package of the Python package index, or a file here."""

    source: str = one_of("torchvision", "package", "file")
    sha256: str = text("8 to 64 hexadecimal digits, the first of the file's SHA-256", "[0-9a-f]{8,64}")
    name: str | None = text(
        "the name of torchvision's weights, such as MobileNet_V2_Weights.IMAGENET1K_V2", r"\w+\.\w+", default=None
    )
    url: str | None = text("an address that begins with https://", r"https://\S+", default=None)
    """Of torchvision's file."""
    package: str | None = text("a package and its version, such as a-package==1.0", r"[\w.-]+==[\w.]+", default=None)
    file: str | None = text(default=None)
    """Of a package: inside its wheel; else relative to models/."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """How an image becomes the input: its shorter side is resized to `resize`, the middle `crop` x `crop` kept."""

    resize: int = whole(1, 1024)
    crop: int = whole(1, 1024)
    mean: tuple[float, ...] = three("from 0 to 1", lambda value: 0 <= value <= 1)
    std: tuple[float, ...] = three("above 0, at most 1", lambda value: 0 < value <= 1)
    kernel: str = one_of("linear", "cubic", default="linear")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The classes in the order of the logits: ImageNet's 1,000, or those of a JSON file, sorted by id: {id: label}, or
    what a model folder has."""

    source: str = one_of("imagenet-1k", "file", default="imagenet-1k")
    file: str | None = text(default=None)
    """Relative to models/."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What the weights were trained on; goes into the card as it stands."""

    name: str = text()
    classes: int = whole(2, 100_000)
    images: int = whole(1, 10**10)
    license: str = text()
    source: str = text()


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the ONNX graph is held against."""

    # Of random weights up to 0.00002 was measured, which is float32; a wrong graph leaves far more.
    max_difference: float = number(0, 1, default=0.0001)
    """Largest difference of a logit to what the graph is compared with, as a share of the largest logit."""
    byte_weights: bool = flag(False)
    """Whether weights are rounded to 8 bits and stored as such: a quarter of the size, float32 when it is loaded."""


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """How int8 candidates are made."""

    enabled: bool = flag(True)
    methods: tuple[str, ...] = some_of(*METHODS, default=CALIBRATED)
    """Ways from calibration's counts to ranges; the best of them is kept."""
    exclude: tuple[str, ...] = some_of(*EXCLUDABLE, default=())
    """Groups of nodes to leave in float32, one more each time that no method reaches `min_agreement`."""
    percentile: float = number(90, 100, default=99.99)
    """Of the values, of method percentile."""
    calibration_images: int = whole(1, 100_000, default=500)  # with fewer, that percentile is a handful of activations
    held_out_images: int = whole(1, 100_000, default=200)
    """Images to choose the method by: beside the calibration's."""
    seed: int = whole(1, 2**31, default=1)
    """Which images of --calibrate-on are taken."""


@dataclass(frozen=True, kw_only=True)
class Optimize:
    """Which optimized variants are written."""

    precisions: tuple[str, ...] = some_of("int8", "float32", default=("int8", "float32"))


@dataclass(frozen=True, kw_only=True)
class Compare:
    """When `models compare` lets a challenger be released."""

    most_accuracy_loss_points: float = number(0, 100)
    least_images: int = whole(1, 1_000_000, default=50)  # of fewer, a share near one half is known to no better than 14 points
    least_images_per_class: int = whole(1, 100_000, default=5)  # below, one image is more than a fifth of a class
    confidence: float = number(0.5, 0.999, default=0.95)
    # A class that is named half as often as the others has not been learned.
    least_share_of_added: float = number(0, 1, default=0.5)
    """Top-1 on classes that only the challenger knows, as a share of its top-1 on the others."""
    most_latency_ratio: float = number(1, 100, default=1.5)  # with three busy programs a core, two versions came to 1.24
    """The challenger's median run by the champion's."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe, read and checked."""

    name: str = text("lower-case words joined by hyphens", NAME)
    version: str = text("lower-case words joined by hyphens", NAME)
    family: str = text()
    description: str = text()
    architecture: str = one_of(*ARCHITECTURES)
    license: str = text()
    provenance: str = text()
    weights: Weights
    input: Input
    labels: Labels
    data_set: DataSet
    export: Export
    quantize: Quantize
    optimize: Optimize
    gates: Mapping[str, float] = rule("a table", lambda value: isinstance(value, dict))
    """What a build must reach: limits by the names that `pipeline/gates.py` gives them, its COMMON ones among them."""
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

    def refuse(what: str, key: str, received: object) -> None:
        faults.append(f"Expected {what} for {key} of {file} but received {received}")

    recipe = build(Recipe, table, "", file, faults, refuse)
    gates = table.get("gates")
    if isinstance(gates, dict):
        faults += unknown(gates, list(LIMITS), "gates.", file)
        for name in gates.keys() & LIMITS.keys():
            if type(gates[name]) not in (int, float):
                refuse("a number", f"gates.{name}", repr(gates[name]))
    if not faults:
        _refuse_contradictions(recipe, file, refuse)
    if faults:
        raise Fault("\n".join(faults))
    return dataclasses.replace(recipe, gates={**COMMON, **recipe.gates})


def _refuse_contradictions(recipe: Recipe, file: Path, refuse: Refuse) -> None:
    """What single fields cannot show."""
    weights, labels = recipe.weights, recipe.labels
    if not recipe.quantize.methods:
        refuse("at least one method", "quantize.methods", "none")
    if recipe.name != file.stem:
        refuse(f'"{file.stem}" (the file\'s name)', "name", f'"{recipe.name}"')
    if recipe.input.crop > recipe.input.resize:
        refuse(f"at most {recipe.input.resize} (input.resize)", "input.crop", recipe.input.crop)
    needed = {"torchvision": ("name", "url"), "package": ("package", "file"), "file": ("file",)}[weights.source]
    asked = [(f"weights.{key}", getattr(weights, key), key in needed) for key in ("name", "url", "package", "file")]
    for key, value, is_needed in [*asked, ("labels.file", labels.file, labels.source == "file")]:
        if (value is not None) != is_needed:
            source = f'{key.partition(".")[0]}.source is "{(labels if key == "labels.file" else weights).source}"'
            refuse(f"{'text' if is_needed else 'nothing'} ({source})", key, f'"{value}"' if value else "nothing")
