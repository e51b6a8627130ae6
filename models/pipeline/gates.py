"""The figures that a model must reach before it is packed: what was demanded, what was measured, a sentence of both.

    from pipeline.gates import failures, judge

    gates = judge({"min_agreement": 0.95, "max_load_ms": 500}, {"agreement": 0.981, "load_ms": 61.0})
    for gate in failures(gates):
        print(gate.sentence)

A recipe asks a gate by naming its limit in the section `gates`; a limit that it leaves out is not asked. A gate whose
figure could not be measured (no labeled data, another processor) neither passes nor fails, and its sentence says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Gate:
    """One demand and what was measured for it; `passed` is None where nothing could be measured."""

    name: str
    demanded: str
    measured: float | str | None
    passed: bool | None
    sentence: str


@dataclass(frozen=True)
class Limit:
    """A key of a recipe's section `gates`: the figure that it limits, on which side, and in what words."""

    figure: str
    is_floor: bool
    what: str


LIMITS: Mapping[str, Limit] = {
    "min_top1": Limit("float_top1", True, "top-1 of the float32 model on the labeled data, as served"),
    "min_path_agreement": Limit(
        "path_agreement", True, "share of images with one first class as served and by torch on torchvision's pixels"
    ),
    "max_parity_larger": Limit(
        "parity_larger", False, "mean difference to torchvision's pixels, of 255, of images larger than the input"
    ),
    "max_parity_smaller": Limit(
        "parity_smaller", False, "mean difference to torchvision's pixels, of 255, of images smaller than the input"
    ),
    "min_agreement": Limit("agreement", True, "share of images with the same first class in int8 and in float32"),
    "max_top1_loss": Limit("top1_loss", False, "share of labeled images by which int8 is right less often, as served"),
    "max_float_convolutions": Limit(
        "float_convolutions", False, "convolutions and matrix products that stay in float32 and were not meant to"
    ),
    "max_quantize_nodes": Limit(
        "quantize_nodes", False, "QuantizeLinear and DequantizeLinear nodes that the optimizer leaves"
    ),
    "min_speedup": Limit("speedup", True, "median time of a float32 run by that of an int8 run, on one thread"),
    "max_int8_bytes": Limit("int8_bytes", False, "bytes of the int8 variant's files"),
    "max_load_ms": Limit("load_ms", False, "milliseconds to load the variant that this processor is served"),
    "max_optimized_difference": Limit(
        "optimized_difference", False, "difference of a logit by an optimized file and by the one that it was made from"
    ),
}
"""By the names that a recipe has for them."""


def judge(limits: Mapping[str, float], figures: Mapping[str, float | None]) -> list[Gate]:
    """A gate for each limit, in the order of LIMITS; `figures` by the names there; raises ValueError."""
    unknown = sorted(set(limits) - set(LIMITS))
    if unknown:
        raise ValueError(f"Expected one of {', '.join(LIMITS)} for a gate but received {', '.join(unknown)}")
    asked = [(name, limit) for name, limit in LIMITS.items() if name in limits]
    return [_judge(name, limits[name], limit, figures.get(limit.figure)) for name, limit in asked]


def same_runtime(pipeline_version: str, service_version: str) -> Gate:
    """Only the version that wrote an optimized file reads it, so the pipeline must have the one of the service."""
    passed = pipeline_version == service_version
    name = "runtime_version (onnxruntime of the pipeline)"
    return Gate(
        "runtime_version",
        service_version,
        pipeline_version,
        passed,
        _sentence(f"{service_version} (package.json)", name, pipeline_version, passed),
    )


def failures(gates: Sequence[Gate]) -> list[Gate]:
    """Those whose figure was measured and falls short."""
    return [gate for gate in gates if gate.passed is False]


def as_rows(gates: Sequence[Gate]) -> list[dict[str, object]]:
    """For a result file and for the card: what JSON can hold."""
    return [asdict(gate) for gate in gates]


def _judge(name: str, value: float, limit: Limit, measured: float | None) -> Gate:
    demanded = f"{'at least' if limit.is_floor else 'at most'} {value:g}"
    if measured is None:
        return Gate(name, demanded, None, None, f"{name} ({limit.what}): not measured; demanded is {demanded}.")
    # A figure that is not a number passes no comparison, and so no gate.
    passed = measured >= value if limit.is_floor else measured <= value
    shown = measured if math.isfinite(measured) else str(measured)
    return Gate(name, demanded, shown, passed, _sentence(demanded, f"{name} ({limit.what})", f"{measured:.5g}", passed))


def _sentence(demanded: str, name: str, measured: str, passed: bool) -> str:
    return f"{name}: {measured}, {demanded}." if passed else f"Expected {demanded} for {name} but received {measured}."
