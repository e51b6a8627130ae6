"""Step `quantize`: int8 candidates of the float32 graph, calibrated on images as the service decodes them.

    models quantize wide-resnet --calibrate-on train.parquet

Every value of every tensor is counted once, over all calibration images. Each method makes its ranges of those counts,
or takes those that training chose (`learned`, see pipeline/learned.py);
the one whose candidate names the same first class as float32 for most of the images held out is kept. While none
reaches the recipe's `min_agreement`, the groups of nodes in `exclude` are left in float32, one more each time.

The candidates are plain graphs with QuantizeLinear and DequantizeLinear: u8s8 for x64 with VNNI, s8s8 for arm64. Their
input is uint8 NHWC: a table for each channel normalizes and quantizes a pixel's value, which spares the graph both.
"""

from collections.abc import Callable, Mapping
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

from pipeline import learned, node
from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.pixel import card_input, float_table, to_byte_input, to_float_input
from pipeline.ranges import METHODS, OPERATORS, Counts, observe, whole_range
from pipeline.recipe import LEAST_CALIBRATED, Quantize
from pipeline.rewrite import nodes_of_groups, prepare
from pipeline.steps import Context, hash_of_data, hash_of_file, say

VERSION = 2
PRODUCTS = ("Conv", "Gemm", "MatMul")


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
        True,  # a scale for each channel of the weights
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
