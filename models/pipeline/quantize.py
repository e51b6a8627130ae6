"""Step `quantize`: int8 candidates of the float32 graph, calibrated on images as the service decodes them.

    models quantize wide-resnet --calibrate-on train.parquet

Every value of every tensor is counted once, over all calibration images. Each method makes its ranges of those counts,
or takes those that training chose (`learned`, see pipeline/learned.py);
the one whose candidate names the same first class as float32 for most of the images held out is kept. While none
reaches the recipe's `min_agreement`, the groups of nodes in `exclude` are left in float32, one more each time.

The candidates are plain graphs with QuantizeLinear and DequantizeLinear: u8s8 for x64 with VNNI, s8s8 for arm64. Their
input is uint8 NHWC: a table for each channel normalizes and quantizes a pixel's value, which spares the graph both.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from pipeline import learned, node
from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.recipe import LEAST_CALIBRATED, Input, Quantize
from pipeline.steps import Context, hash_of_data, hash_of_file, progress, say

VERSION = 2
BINS = 2048  # eight for each of the 256 values that are left
ENTROPY_STEPS = 64  # ranges that are tried, from a quarter of the whole one on
LEVELS = 256

PRODUCTS = ("Conv", "Gemm", "MatMul")

Range = tuple[float, float]


@dataclass(frozen=True)
class Counts:
    """How often a tensor's values fell into each of BINS equal parts of `low` to `high`."""

    low: float
    high: float
    bins: np.ndarray


@dataclass(frozen=True)
class Choice:
    """How a candidate is made."""

    scheme: str
    """u8s8 or s8s8: the types of activations and of weights."""
    method: str
    excluded: tuple[str, ...]
    """Groups of nodes that stay in float32."""


def inputs(context: Context) -> dict:
    """What the candidates depend on."""
    return {
        "onnx": context.result("export")["sha256"],
        "recipe": context.recipe.part("quantize", "input"),
        "min_agreement": context.recipe.gates.get("min_agreement"),
        "images": hash_of_data(context.options.calibrate_on),
        "onnxruntime": onnxruntime.__version__,
    }


def run(context: Context) -> dict:
    """Writes the candidates into the step's folder; raises Fault."""
    plan = context.recipe.quantize
    if not plan.enabled:
        return {"candidates": [], "reason": "The recipe asks for no int8."}
    if context.options.calibrate_on is None:
        say("  no int8: --calibrate-on names no images")
        return {"candidates": [], "reason": "No images to calibrate on were given."}
    pixels = calibration_pixels(context)
    calibration, held_out = split(pixels, plan.calibration_images, plan.held_out_images)
    source = prepare(Path(context.result("export")["onnx"]), context.folder / "prepared.onnx")
    floats = float_table(context.recipe.input.mean, context.recipe.input.std)
    counts = observe(source, calibration, floats)
    least = context.recipe.gates.get("min_agreement", 0)
    u8s8, tried = choose(source, counts, held_out, floats, plan, least)
    s8s8 = replace(u8s8, scheme="s8s8")
    return {
        "candidates": [write(context, source, counts, held_out, floats, choice) for choice in (u8s8, s8s8)],
        "tried": tried,
        "calibration_images": len(calibration),
        "held_out_images": len(held_out),
    }


def choose(
    source: Path, counts: Mapping[str, Counts], held_out: np.ndarray, floats: np.ndarray, plan: Quantize, least: float
) -> tuple[Choice, list[dict]]:
    """The choice that agrees with float32 for most of the images held out, and what each one tried reached.

    All methods are tried without excluding anything, then with ever more of the plan's groups until `least` is reached.
    """
    expected = first_classes(open_session(source), held_out, lambda image: to_float_input(image, floats))
    best, most, tried = None, -1.0, []
    for groups in range(len(plan.exclude) + 1):
        for method in plan.methods:
            choice = Choice("u8s8", method, plan.exclude[:groups])
            agreement = agreement_of(*quantize(source, counts, choice, plan, floats), held_out, floats, expected)
            tried.append({"method": method, "excluded": list(choice.excluded), "agreement": agreement})
            without = f", without {', '.join(choice.excluded)}" if choice.excluded else ""
            say(f"  {method}{without}: {agreement:.1%} of {len(held_out)} images as in float32")
            if agreement > most:
                best, most = choice, agreement
        if most >= least:
            break
    if best is None:
        raise Fault("Expected a method for quantize.methods but received none")
    return best, tried


def calibration_pixels(context: Context) -> np.ndarray:
    """The images to calibrate on and those held out, uint8 [n, crop, crop, 3], by way of the service's own code."""
    plan, out = context.recipe.quantize, context.folder / "pixels.npy"
    limit = plan.calibration_images + plan.held_out_images
    node.pixels(context.options.calibrate_on, context.recipe.input, out, limit=limit, seed=plan.seed)
    return np.load(out, mmap_mode="r")


def split(pixels: np.ndarray, calibration: int, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """In the proportion of the two numbers, those held out spread evenly over all; raises Fault below ten images."""
    count = len(pixels)
    if count < LEAST_CALIBRATED:
        raise Fault(
            f"Expected at least {LEAST_CALIBRATED} images for --calibrate-on but received {count} that can be decoded"
        )
    share = held_out / (calibration + held_out)
    places = np.arange(count)
    is_held_out = np.floor((places + 1) * share) > np.floor(places * share)
    if not is_held_out.any():
        is_held_out[-1] = True
    return pixels[~is_held_out], pixels[is_held_out]


def prepare(source: Path, to: Path) -> Path:
    """Writes `to`: constants folded, all shapes inferred, operators that have an int8 form, each node with a name."""
    model = onnx.load(source)
    learned.restore_floats(model.graph)
    for entry in list(model.graph.node):
        if entry.op_type == "ReduceMean":
            pool_instead(model.graph, entry)
    onnx.save(model, to)
    quant_pre_process(to, to, skip_symbolic_shape=True)  # all shapes are static
    model = onnx.load(to)
    copy_shared_weights(model.graph)
    for place, entry in enumerate(model.graph.node):
        entry.name = entry.name or f"{entry.op_type}-{place}"
        if entry.op_type == "BatchNormalization":
            convolve_instead(model.graph, entry)
    onnx.save(model, to)
    return to


def copy_shared_weights(graph: onnx.GraphProto) -> None:
    """Gives each reader of equal weights its own: the exporter stores one, and Identity nodes hide the others."""
    constants = {weight.name: weight for weight in graph.initializer}
    for entry in [entry for entry in graph.node if entry.op_type == "Identity" and entry.input[0] in constants]:
        copied = graph.initializer.add()
        copied.CopyFrom(constants[entry.input[0]])
        copied.name = entry.output[0]
        graph.node.remove(entry)


def convolve_instead(graph: onnx.GraphProto, norm: onnx.NodeProto) -> None:
    """Makes of a batch norm that follows no convolution one itself, of 1x1 for each channel; it has no int8 form."""
    constants = {weight.name: weight for weight in graph.initializer}
    scale, bias, mean, variance = (numpy_helper.to_array(constants[name]) for name in norm.input[1:5])
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + np.float32(epsilon))
    names = [f"{norm.name}-factor", f"{norm.name}-shift"]
    graph.initializer.append(numpy_helper.from_array(factor.reshape(-1, 1, 1, 1), names[0]))
    graph.initializer.append(numpy_helper.from_array(bias - mean * factor, names[1]))
    given, made = [norm.input[0], *names], [norm.output[0]]
    norm.CopyFrom(helper.make_node("Conv", given, made, norm.name, group=len(factor), kernel_shape=[1, 1]))


def pool_instead(graph: onnx.GraphProto, mean: onnx.NodeProto) -> None:
    """Makes of a mean over height and width a pool, which has an int8 form; another mean stays."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in mean.attribute}
    if sorted(attributes.get("axes", [])) not in ([2, 3], [-2, -1]):
        return
    is_flat = not attributes.get("keepdims", 1)
    pooled = f"{mean.output[0]}-pooled" if is_flat else mean.output[0]
    made = [helper.make_node("GlobalAveragePool", [mean.input[0]], [pooled], f"{mean.name}-pool")]
    if is_flat:
        made.append(helper.make_node("Flatten", [pooled], [mean.output[0]], f"{mean.name}-flatten"))
    place = list(graph.node).index(mean)
    graph.node.remove(mean)
    for entry in reversed(made):
        graph.node.insert(place, entry)


def float_table(mean: Iterable[float], std: Iterable[float]) -> np.ndarray:
    """float32 [3, 256]: what the service makes of each value of red, green and blue for a float32 input."""
    values = np.arange(256) / 255
    return np.stack([(values - m) / s for m, s in zip(mean, std, strict=True)]).astype(np.float32)


def to_float_input(image: np.ndarray, floats: np.ndarray) -> np.ndarray:
    """uint8 [crop, crop, 3] to float32 [1, 3, crop, crop]."""
    return np.stack([floats[channel][image[:, :, channel]] for channel in range(3)])[None]


def to_byte_input(image: np.ndarray, lookup: list[list[int]]) -> np.ndarray:
    """uint8 [crop, crop, 3] to uint8 [1, crop, crop, 3]."""
    table = np.array(lookup, dtype=np.uint8)
    return np.stack([table[channel][image[:, :, channel]] for channel in range(3)], axis=-1)[None]


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


def nodes_of_groups(graph: onnx.GraphProto, groups: Iterable[str]) -> list[str]:
    """The names of the nodes that the recipe's words for groups mean."""
    return sorted({name for group in groups for name in GROUPS[group](list(graph.node))})


def _first_convolution(nodes: list[onnx.NodeProto]) -> list[str]:
    return [entry.name for entry in nodes if entry.op_type == "Conv"][:1]


def _classifier(nodes: list[onnx.NodeProto]) -> list[str]:
    return [entry.name for entry in nodes if entry.op_type in ("Gemm", "MatMul")][-1:]


def _squeeze_excite(nodes: list[onnx.NodeProto]) -> list[str]:
    """From each pool over a whole image up to the product that it scales; the classifier's pool leads to none."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for entry in nodes:
        for name in entry.input:
            readers.setdefault(name, []).append(entry)
    found: list[str] = []
    for pool in nodes:
        if pool.op_type not in ("GlobalAveragePool", "ReduceMean"):
            continue
        branch, ahead = [pool.name], readers.get(pool.output[0], [])
        while len(ahead) == 1 and ahead[0].op_type not in ("Mul", "Gemm", "MatMul"):
            branch.append(ahead[0].name)
            ahead = readers.get(ahead[0].output[0], [])
        if len(ahead) == 1 and ahead[0].op_type == "Mul":
            found += [*branch, ahead[0].name]
    return found


GROUPS: Mapping[str, Callable[[list[onnx.NodeProto]], list[str]]] = {
    "first-convolution": _first_convolution,
    "classifier": _classifier,
    "squeeze-excite": _squeeze_excite,
}


def quantize(
    source: Path, counts: Mapping[str, Counts], choice: Choice, plan: Quantize, floats: np.ndarray
) -> tuple[onnx.ModelProto, list[list[int]] | None]:
    """The graph with int8 weights and activations, fed bytes, and the table that makes them of a pixel."""
    model = load_model_with_shape_infer(source)
    is_learned = choice.method == "learned"
    range_of = whole_range if is_learned else METHODS[choice.method]
    ranges = {name: tuple(map(np.float32, range_of(found, plan))) for name, found in counts.items()}
    if is_learned:
        ranges |= learned.learned_ranges(model.graph)
    quantizer = QDQQuantizer(
        model,
        plan.per_channel,
        False,  # weights keep all eight bits: with VNNI nothing saturates
        QuantType.QInt8,
        QuantType.QUInt8 if choice.scheme == "u8s8" else QuantType.QInt8,
        TensorsData(CalibrationMethod.MinMax, ranges),
        [],
        nodes_of_groups(model.graph, choice.excluded),
        OPERATORS,
        {},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    if is_learned:
        learned.fold_offsets(quantized.graph)
        learned.keep_logits(quantized.graph)
        learned.drop_constants(quantized.graph)
    lookup = feed_bytes(quantized, floats)
    onnx.checker.check_model(quantized)
    return quantized, lookup


def feed_bytes(model: onnx.ModelProto, floats: np.ndarray) -> list[list[int]] | None:
    """Replaces the float32 input by uint8 NHWC `pixels`, in place; returns the table that makes such bytes of a pixel.

    None, and nothing is replaced, where other nodes than one QuantizeLinear read the input.
    """
    graph = model.graph
    image = graph.input[0]
    readers = [entry for entry in graph.node if image.name in entry.input]
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return None
    quantizer = readers[0]
    constants = {weight.name: weight for weight in graph.initializer}
    scale = float(numpy_helper.to_array(constants[quantizer.input[1]]))
    zero_point = numpy_helper.to_array(constants[quantizer.input[2]])
    is_signed = zero_point.dtype == np.int8
    byte_zero = int(zero_point) + (128 if is_signed else 0)
    _, channels, height, width = (entry.dim_value for entry in image.type.tensor_type.shape.dim)

    transposed = "pixels_transposed" if is_signed else quantizer.output[0]
    entries = [helper.make_node("Transpose", ["pixels"], [transposed], "pixels_to_planes", perm=[0, 3, 1, 2])]
    if is_signed:
        # The service feeds unsigned bytes: with the zero point moved by 128 the way through float32 is exact.
        graph.initializer.append(numpy_helper.from_array(np.array(byte_zero, dtype=np.uint8), "pixels_zero_point"))
        named = [transposed, quantizer.input[1], "pixels_zero_point"]
        entries.append(helper.make_node("DequantizeLinear", named, ["pixels_float"], "pixels_to_float"))
        quantizer.input[0] = "pixels_float"
    else:
        graph.node.remove(quantizer)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*entries, *rest])
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, height, width, channels]))
    # float32 throughout, and half to even, as ONNX Runtime's own QuantizeLinear.
    steps = np.rint(floats / np.float32(scale))
    return np.clip(steps + byte_zero, 0, 255).astype(int).tolist()


def first_classes(
    session: onnxruntime.InferenceSession, images: np.ndarray, to_input: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The index of the largest logit of each image."""
    name = session.get_inputs()[0].name
    return np.array([int(session.run(None, {name: to_input(image)})[0].argmax()) for image in images])


def agreement_of(
    model: onnx.ModelProto, lookup: list[list[int]] | None, images: np.ndarray, floats: np.ndarray, expected: np.ndarray
) -> float:
    """The share of the images whose largest logit has the expected index."""

    def to_input(image: np.ndarray) -> np.ndarray:
        return to_float_input(image, floats) if lookup is None else to_byte_input(image, lookup)

    return float((first_classes(open_session(model), images, to_input) == expected).mean())


def write(
    context: Context,
    source: Path,
    counts: Mapping[str, Counts],
    held_out: np.ndarray,
    floats: np.ndarray,
    choice: Choice,
) -> dict:
    """Saves a candidate and says of it what later steps need."""
    model, lookup = quantize(source, counts, choice, context.recipe.quantize, floats)
    file = context.folder / f"int8-{choice.scheme}.onnx"
    onnx.save(model, file)
    graph = onnx.load(source).graph
    excluded = set(nodes_of_groups(graph, choice.excluded))
    expected = first_classes(open_session(source), held_out, lambda image: to_float_input(image, floats))
    return {
        "precision": "int8",
        "scheme": choice.scheme,
        "method": choice.method,
        "excluded": list(choice.excluded),
        "excluded_products": sum(entry.name in excluded and entry.op_type in PRODUCTS for entry in graph.node),
        "onnx": str(file),
        "sha256": hash_of_file(file),
        "input": card_input(context.recipe.input, lookup),
        "held_out_agreement": agreement_of(model, lookup, held_out, floats, expected),
    }


def card_input(recipe: Input, lookup: list[list[int]] | None = None) -> dict:
    """What a card says of the input: bytes by a lookup, or float32 as the portable file has it."""
    kernel = {} if recipe.kernel == "linear" else {"kernel": recipe.kernel}
    size = {"resize": recipe.resize, "crop": recipe.crop, **kernel}
    if lookup is None:
        normalized = {"mean": list(recipe.mean), "std": list(recipe.std)}
        return {"name": "image", "elementType": "float32", "layout": "NCHW", **size, **normalized}
    return {"name": "pixels", "elementType": "uint8", "layout": "NHWC", **size, "lookup": lookup}
