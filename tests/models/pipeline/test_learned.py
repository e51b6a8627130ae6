"""Graphs whose ranges were trained; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_learned.py"""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from training.architectures import MEAN, STD
from pipeline.export import write_graph
from pipeline.faults import Fault
from pipeline.learned import fold_offsets, learned_ranges, restore_floats, round_to_bytes, store_bytes
from pipeline.architectures import SWISH_SHIFT, SWISH_U_END
from state import tensors_of
from training.light import MobileNetLight, Swish, as_bytes, round_weights, simulate_bytes
from pipeline.graph import open_session, run_graph
from pipeline.pixel import float_table, to_byte_input
from pipeline.quantize import Choice, quantize
from pipeline.ranges import observe
from pipeline.rewrite import prepare
from pipeline.recipe import MODELS, Quantize
from training.restore import restore
from pipeline.images import generated
from torch import nn
from torch.nn import functional

SIDE, CLASSES = 32, 5
FLOATS = float_table(MEAN, STD)
PLAN = Quantize(methods=("learned",))


def light() -> MobileNetLight:
    """Random weights whose activations fill their ranges, rounded to bytes."""
    torch.manual_seed(1)
    model = MobileNetLight(CLASSES).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            module.bias.data.uniform_(0, 1)
    round_weights(model)
    return model


def inputs(images: np.ndarray) -> np.ndarray:
    """uint8 [n, side, side, 3] as float32 [n, 3, side, side]."""
    return np.stack([[FLOATS[channel][image[:, :, channel]] for channel in range(3)] for image in images])


class LearnedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.model = light()
        cls.images = generated(12, SIDE, 1)
        cls.file = cls.folder / "model.onnx"
        onnx.save(write_graph("mobilenet-light", tensors_of(cls.model), CLASSES, SIDE, "the test"), cls.file)
        cls.logits = run_graph(cls.file, inputs(cls.images))

    def stored(self) -> Path:
        """The same graph with its weights as bytes."""
        model, file = onnx.load(self.file), self.folder / "stored.onnx"
        store_bytes(model.graph)
        onnx.save(model, file)
        return file

    def test_weights_stored_as_bytes_give_the_very_logits_in_a_third_of_the_size(self) -> None:
        file = self.stored()

        np.testing.assert_array_equal(run_graph(file, inputs(self.images)), self.logits)
        self.assertLess(file.stat().st_size, self.file.stat().st_size / 3)

    def test_stored_weights_come_back_as_they_were(self) -> None:
        model = onnx.load(self.stored())
        restore_floats(model.graph)
        before = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(self.file).graph.initializer}
        after = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}

        self.assertEqual(set(after), set(before))
        for name, weight in before.items():
            np.testing.assert_array_equal(after[name], weight, name)
        self.assertNotIn("Cast", {entry.op_type for entry in model.graph.node})

    def test_shipped_int8_files_compute_what_the_simulation_of_their_weights_says(self) -> None:
        folder = MODELS / "mobilenet"
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        images = generated(8, card["input"]["crop"], 2)
        model = restore(folder, "mobilenet-light")
        simulate_bytes(model, True)
        with torch.inference_mode():
            expected = model(torch.from_numpy(inputs(images))).numpy()
        for variant in [variant for variant in card["variants"] if variant["optimizedBy"] is None]:
            session, lookup = open_session(folder / variant["file"]), variant["input"]["lookup"]
            found = np.stack([session.run(None, {"pixels": to_byte_input(image, lookup)})[0][0] for image in images])
            with self.subTest(variant=variant["name"]):
                self.assertLess(np.abs(found - expected).mean(), 0.05 * expected.std())

    def test_int8_of_learned_ranges_has_neither_clips_nor_differences_nor_unread_constants(self) -> None:
        source = prepare(self.stored(), self.folder / "prepared.onnx")
        model, _ = quantize(source, observe(source, self.images, FLOATS), Choice("u8s8", "learned", ()), PLAN, FLOATS)
        kinds = {entry.op_type for entry in model.graph.node}

        self.assertFalse(kinds & {"Sub", "Clip"})
        self.assertEqual(model.graph.node[-1].op_type, "Gemm")
        read = {name for entry in model.graph.node for name in entry.input}
        self.assertEqual([weight.name for weight in model.graph.initializer if weight.name not in read], [])

    def test_a_graph_without_learned_ranges_is_refused(self) -> None:
        with self.assertRaisesRegex(Fault, "^Expected a graph with Clip nodes for the method learned but received one"):
            learned_ranges(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "plain", [], []))

    def test_an_offset_of_half_a_step_is_refused(self) -> None:
        values = {"scale": np.float32(1), "zero": np.uint8(0), "half": np.float32(2.5)}
        nodes = [
            helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["x"]),
            helper.make_node("Sub", ["x", "half"], ["y"], "difference"),
            helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["z"]),
        ]
        weights = [numpy_helper.from_array(np.array(value), name) for name, value in values.items()]
        with self.assertRaisesRegex(Fault, "^Expected a whole number of steps for .* difference but received 2.5000$"):
            fold_offsets(helper.make_graph(nodes, "half", [], [], weights))


class LightTest(unittest.TestCase):
    def test_the_scaled_swish_is_hard_swish_up_to_3(self) -> None:
        x = torch.linspace(-6, 3, 200)
        self.assertTrue(torch.allclose(Swish()((x + 3) * 6**-0.5), functional.hardswish(x), atol=1e-5))

    def test_the_shift_is_a_whole_number_of_steps(self) -> None:
        self.assertAlmostEqual(SWISH_SHIFT / (SWISH_U_END / 255), 127)

    def test_rounded_weights_are_whole_numbers_of_a_scale_and_stay(self) -> None:
        weight = torch.randn(4, 3, 3, 3)
        once = as_bytes(weight)

        np.testing.assert_array_equal(round_to_bytes(weight.numpy()), once.numpy())
        self.assertTrue(torch.equal(as_bytes(once), once))
        steps = once / (weight.abs().flatten(1).amax(1) / 127).view(-1, 1, 1, 1)
        self.assertLess((steps - steps.round()).abs().max().item(), 1e-3)

    def test_gradients_pass_the_rounding(self) -> None:
        model = light()
        simulate_bytes(model, True)
        model(torch.from_numpy(inputs(generated(2, SIDE, 3)))).sum().backward()

        self.assertGreater(model.stem.weight.grad.abs().sum().item(), 0)
