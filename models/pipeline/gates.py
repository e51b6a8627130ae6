"""The figures that a model must reach before it is packed: what was demanded, what was measured, a sentence of both.

    gates = judge({"min_agreement": 0.95, "max_load_ms": 500}, {"agreement": 0.981, "load_ms": 61.0})
    print(*(gate.sentence for gate in gates if gate.passed is False))

A recipe names limits in its section `gates` beside those of COMMON; any other is not checked. A gate whose figure could
not be measured (no labeled data, another processor) neither passes nor fails, and its sentence says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """One demand and what was measured for it; `passed` is None where nothing could be measured."""

    name: str
    demanded: str
    measured: float | str | None
    passed: bool | None
    sentence: str


LIMITS: Mapping[str, tuple[str, str]] = {
    "min_top1": ("float_top1", "top-1 of the float32 model on the labeled data, as served"),
    "min_path_agreement": (
        "path_agreement",
        "share of images with one first class as served and by ONNX Runtime in Python on Pillow's pixels",
    ),
    "max_parity_larger": (
        "parity_larger",
        "mean difference to Pillow's pixels, of 255, of images larger than the input",
    ),
    "max_parity_smaller": (
        "parity_smaller",
        "mean difference to Pillow's pixels, of 255, of images smaller than the input",
    ),
    "min_agreement": ("agreement", "share of images with the same first class in int8 and in float32"),
    "max_top1_loss": ("top1_loss", "share of labeled images by which int8 is right less often, as served"),
    "max_float_convolutions": (
        "float_convolutions",
        "convolutions and matrix products that stay in float32 and were not meant to",
    ),
    "max_quantize_nodes": ("quantize_nodes", "QuantizeLinear and DequantizeLinear nodes that the optimizer leaves"),
    "min_speedup": ("speedup", "median time of a float32 run by that of an int8 run, on one thread"),
    "max_int8_bytes": ("int8_bytes", "bytes of the int8 variant's files"),
    "max_load_ms": ("load_ms", "milliseconds to load the variant that this processor is served"),
    "max_optimized_difference": (
        "optimized_difference",
        "difference of a logit by an optimized file and by the one that it was made from",
    ),
}
"""By the names that a recipe has for them, of which `min_` and `max_` say the side: the figure, and what it is."""

COMMON: Mapping[str, float] = {
    "min_path_agreement": 0.99,  # of 100 images one may lie so near a border that rounding decides
    "max_parity_larger": 0.3,  # of 255: what libvips and Pillow round differently
    "max_parity_smaller": 1.0,  # of 255: enlarged images differ more
    "max_optimized_difference": 0,  # the optimizer changes how fast the sums are, not the sums
    "max_float_convolutions": 0,  # one float32 island between int8 nodes costs more than it saves
    "max_load_ms": 500,  # the time from start to ready that a replica may take
}
"""The limits of a recipe that names no others for them."""


def judge(limits: Mapping[str, float], figures: Mapping[str, float | None]) -> list[Gate]:
    """A gate for each limit, in the order of LIMITS; `figures` by the names there."""
    asked = [(name, *LIMITS[name]) for name in LIMITS if name in limits]
    return [_judge(name, limits[name], figures.get(figure), what) for name, figure, what in asked]


def same_runtime(pipeline_version: str, service_version: str) -> Gate:
    """Only the version that wrote an optimized file reads it, so the pipeline must have the one of the service."""
    what = "runtime_version (onnxruntime of the pipeline)"
    demanded = f"{service_version} (package.json)"
    passed = pipeline_version == service_version
    text = sentence(what, demanded, pipeline_version, passed)
    return Gate("runtime_version", service_version, pipeline_version, passed, text)


def sentence(what: str, demanded: str, measured: str, passed: bool) -> str:
    """What a gate says: a figure beside its limit, or a fault."""
    return f"{what}: {measured}, {demanded}." if passed else f"Expected {demanded} for {what} but received {measured}."


def _judge(name: str, limit: float, measured: float | None, explained: str) -> Gate:
    is_floor, what = name.startswith("min_"), f"{name} ({explained})"
    demanded = f"{'at least' if is_floor else 'at most'} {limit:g}"
    if measured is None:
        return Gate(name, demanded, None, None, f"{what}: not measured; demanded is {demanded}.")
    # A figure that is not a number passes no comparison, and so no gate.
    passed = measured >= limit if is_floor else measured <= limit
    shown = measured if math.isfinite(measured) else str(measured)
    return Gate(name, demanded, shown, passed, sentence(what, demanded, f"{measured:.5g}", passed))
