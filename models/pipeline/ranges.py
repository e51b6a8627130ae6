"""What calibration counts of a graph's tensors, and the ranges that each method makes of the counts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.pixel import to_float_input
from pipeline.recipe import Quantize
from pipeline.steps import progress

BINS = 2048  # eight for each of the 256 values that are left
ENTROPY_STEPS = 64  # ranges that are tried, from a quarter of the whole one on
LEVELS = 256

Range = tuple[float, float]


@dataclass(frozen=True)
class Counts:
    """How often a tensor's values fell into each of BINS equal parts of `low` to `high`."""

    low: float
    high: float
    bins: np.ndarray


def observe(source: Path, images: np.ndarray, floats: np.ndarray) -> dict[str, Counts]:
    """Runs the images twice: first for the extent of each tensor that could be quantized, then to count its values."""
    model = load_model_with_shape_infer(source)
    names = float_tensors(model)
    given = model.graph.input[0].name
    outputs = {value.name for value in model.graph.output}
    added = [name for name in names if name not in (given, *outputs)]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in added)
    session = open_session(model)
    lows, highs = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)  # zero is always representable: padding is zero
    counted = {name: np.zeros(BINS, dtype=np.int64) for name in names}
    show = progress("calibration", 2 * len(images))

    def values_of(image: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
        tensor = to_float_input(image, floats)
        fetched = [name for name in names if name != given]
        return zip([given, *fetched], [tensor, *session.run(fetched, {given: tensor})], strict=True)

    for done, image in enumerate(images):
        for name, values in values_of(image):
            low, high = float(values.min()), float(values.max())
            if not np.isfinite([low, high]).all():
                raise Fault(f"Expected finite values for {name} of {source} but received NaN or infinity")
            lows[name], highs[name] = min(lows[name], low), max(highs[name], high)
        show(done)
    for name, (low, high) in saturations(model.graph).items():
        lows[name], highs[name] = max(lows[name], low), min(highs[name], high)
    for done, image in enumerate(images):
        for name, values in values_of(image):
            extent = highs[name] - lows[name] or 1.0  # of a tensor that is always zero
            places = ((values.ravel() - lows[name]) * (BINS / extent)).astype(np.int32)
            counted[name] += np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)
        show(len(images) + done + 1)
    return {name: Counts(lows[name], highs[name], counted[name]) for name in names}


def saturations(graph: onnx.GraphProto) -> dict[str, Range]:
    """By tensor, the values beyond which its only reader makes no difference: below -3 hard swish is zero."""
    readers: dict[str, list[str]] = {}
    for entry in graph.node:
        for name in entry.input:
            readers.setdefault(name, []).append(entry.op_type)
    limits = {"HardSwish": (-3.0, np.inf), "HardSigmoid": (-3.0, 3.0)}
    return {name: limits[kinds[0]] for name, kinds in readers.items() if len(kinds) == 1 and kinds[0] in limits}


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """The float32 tensors that go into or come out of nodes that can be quantized, weights aside."""
    known = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    floats = {value.name for value in known if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats -= {weight.name for weight in model.graph.initializer}
    nodes = [entry for entry in model.graph.node if entry.op_type in OPERATORS]
    return sorted(floats & {name for entry in nodes for name in (*entry.input, *entry.output)})


OPERATORS = sorted({*QDQRegistry, *QLinearOpsRegistry})


def whole_range(counts: Counts, _plan: Quantize) -> Range:
    """Method minmax: from the least to the largest value that was seen."""
    return counts.low, counts.high


def percentile_range(counts: Counts, plan: Quantize) -> Range:
    """Method percentile: without the share of values outside `plan.percentile` at either end."""
    cumulated = np.cumsum(counts.bins) / counts.bins.sum()
    share = plan.percentile / 100
    first = int(np.searchsorted(cumulated, 1 - share, side="right"))
    last = int(np.searchsorted(cumulated, share))
    width = (counts.high - counts.low) / BINS
    return counts.low + first * width, counts.low + (last + 1) * width


def entropy_range(counts: Counts, _plan: Quantize) -> Range:
    """Method entropy: the range, shrunk toward zero, whose 256 levels tell least wrongly how values are spread."""
    best, least = whole_range(counts, _plan), np.inf
    edges = np.linspace(counts.low, counts.high, BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    bins = np.where((edges[:-1] <= 0) & (edges[1:] >= 0), 0, counts.bins)  # zero is told exactly, and is most of a ReLU
    for share in np.linspace(0.25, 1, ENTROPY_STEPS):
        low, high = counts.low * share, counts.high * share
        divergence = clipped_divergence(bins, middles, low, high)
        if divergence < least:
            best, least = (low, high), divergence
    return best


def clipped_divergence(bins: np.ndarray, middles: np.ndarray, low: float, high: float) -> float:
    """Kullback and Leibler's divergence of the values, clipped to the range, from what 256 equal levels of it tell."""
    inside = (middles >= low) & (middles <= high)
    if inside.sum() < LEVELS:
        return np.inf
    clipped = bins[inside].astype(np.float64)
    kept = clipped.copy()
    clipped[0] += bins[middles < low].sum()
    clipped[-1] += bins[middles > high].sum()
    level = np.minimum(np.arange(len(kept)) * LEVELS // len(kept), LEVELS - 1)
    filled = clipped > 0
    per_level = np.bincount(level, kept, LEVELS)
    spread = np.bincount(level, filled, LEVELS)
    told = np.where(filled, (per_level / np.maximum(spread, 1))[level], 0)
    # Clipped values that nothing inside the range resembles would make the divergence infinite: they count as one.
    told = np.where(filled & (told == 0), 1, told)
    p, q = clipped[filled] / clipped.sum(), told[filled] / told.sum()
    return float((p * np.log(p / q)).sum())


METHODS: Mapping[str, Callable[[Counts, Quantize], Range]] = {
    "percentile": percentile_range,
    "entropy": entropy_range,
    "minmax": whole_range,
}
