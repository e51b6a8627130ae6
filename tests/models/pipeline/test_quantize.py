"""python -m unittest discover tests/models/pipeline test_quantize.py, with models/ on PYTHONPATH; needs onnxruntime."""

import tempfile
import unittest
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.pixel import float_table, to_byte_input, to_float_input
from pipeline.quantize import Choice, agreement_of, choose, first_classes, quantize, split
from pipeline.ranges import (
    BINS,
    METHODS,
    Counts,
    entropy_range,
    observe,
    percentile_range,
    saturations,
    whole_range,
)
from pipeline.recipe import Quantize
from pipeline.rewrite import nodes_of_groups, prepare
from tiny import MEAN, SIDE, STD, tiny_images, write_tiny

PLAN = Quantize()
FLOATS = float_table(MEAN, STD)


class TinyTest(unittest.TestCase):
    """A prepared graph, its counts over some images, and others that are held out."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.original = write_tiny(cls.folder / "tiny.onnx")
        cls.source = prepare(cls.original, cls.folder / "prepared.onnx")
        cls.images, cls.held_out = split(tiny_images(60), 40, 20)
        cls.counts = observe(cls.source, cls.images, FLOATS)
        session = open_session(cls.source)
        cls.expected = first_classes(session, cls.held_out, lambda image: to_float_input(image, FLOATS))


class PrepareTest(TinyTest):
    def test_operators_without_an_int8_form_are_replaced_and_the_logits_stay(self) -> None:
        kinds = Counter(node.op_type for node in onnx.load(self.source).graph.node)
        before, after = open_session(self.original), open_session(self.source)

        self.assertEqual((kinds["BatchNormalization"], kinds["ReduceMean"], kinds["Identity"]), (0, 0, 0))
        self.assertEqual((kinds["Conv"], kinds["GlobalAveragePool"]), (3, 1))
        for image in self.held_out:
            feed = {"image": to_float_input(image, FLOATS)}
            np.testing.assert_allclose(after.run(None, feed)[0], before.run(None, feed)[0], atol=1e-5)

    def test_every_node_has_a_name_of_its_own(self) -> None:
        names = [node.name for node in onnx.load(self.source).graph.node]

        self.assertEqual(len(set(names)), len(names))
        self.assertNotIn("", names)

    def test_a_mean_over_other_axes_stays(self) -> None:
        values = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])
        mean = helper.make_node("ReduceMean", ["image"], ["out"], "mean", axes=[1], keepdims=1)
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 4, 4])
        graph = helper.make_graph([mean], "mean", [values], [out])
        file = self.folder / "mean.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)

        kinds = [node.op_type for node in onnx.load(prepare(file, self.folder / "mean-prepared.onnx")).graph.node]
        self.assertEqual(kinds, ["ReduceMean"])


class ObserveTest(TinyTest):
    def test_each_value_of_each_tensor_is_counted_once(self) -> None:
        self.assertEqual(self.counts["image"].bins.sum(), len(self.images) * SIDE * SIDE * 3)
        self.assertEqual(self.counts["logits"].bins.sum(), len(self.images) * 10)

    def test_the_extent_is_that_of_the_values_and_holds_zero(self) -> None:
        seen = FLOATS[0][self.images[..., 0]], FLOATS[1][self.images[..., 1]], FLOATS[2][self.images[..., 2]]

        self.assertAlmostEqual(self.counts["image"].low, float(min(plane.min() for plane in seen)))
        self.assertAlmostEqual(self.counts["image"].high, float(max(plane.max() for plane in seen)))
        for counts in self.counts.values():
            self.assertTrue(counts.low <= 0 <= counts.high)

    def test_a_value_that_is_not_a_number_is_refused_by_the_tensor_s_name(self) -> None:
        spoiled = prepare(write_tiny(self.folder / "spoiled.onnx", spoiled=True), self.folder / "spoiled-prepared.onnx")

        with self.assertRaisesRegex(Fault, "Expected finite values for .* but received NaN"):
            observe(spoiled, self.images[:2], FLOATS)


class RangesTest(unittest.TestCase):
    def setUp(self) -> None:
        bins = np.zeros(BINS, dtype=np.int64)
        bins[0] = 1  # one value far from the others, at either end
        bins[BINS // 4 : BINS // 2] = 1000
        bins[-1] = 1
        self.counts = Counts(-1.0, 3.0, bins)

    def test_minmax_keeps_what_was_seen_least_and_most(self) -> None:
        self.assertEqual(whole_range(self.counts, PLAN), (-1.0, 3.0))

    def test_percentile_drops_outliers_that_are_fewer_than_its_share(self) -> None:
        low, high = percentile_range(self.counts, PLAN)

        width = 4 / BINS
        self.assertAlmostEqual(low, 0.0, delta=width)
        self.assertAlmostEqual(high, 1.0, delta=width)

    def test_percentile_keeps_outliers_that_are_more_than_its_share(self) -> None:
        low, high = percentile_range(self.counts, Quantize(percentile=99.9999))

        self.assertEqual((low, high), (-1.0, 3.0))

    def test_percentile_100_is_minmax(self) -> None:
        self.assertEqual(percentile_range(self.counts, Quantize(percentile=100)), (-1.0, 3.0))

    def test_entropy_cuts_a_long_thin_tail(self) -> None:
        bins = np.rint(1e6 * np.exp(-np.arange(BINS) / 40)).astype(np.int64)
        bins[-1] = 1

        low, high = entropy_range(Counts(0.0, 8.0, bins), PLAN)
        self.assertEqual(low, 0.0)
        self.assertLess(high, 4.0)
        self.assertGreater(high, 8.0 * 40 / BINS)

    def test_entropy_keeps_values_that_are_spread_evenly(self) -> None:
        self.assertEqual(entropy_range(Counts(0.0, 8.0, np.full(BINS, 100)), PLAN), (0.0, 8.0))


class SaturationsTest(unittest.TestCase):
    def graph(self, *readers: str) -> onnx.GraphProto:
        nodes = [helper.make_node(kind, ["x"], [f"{kind}-{place}"]) for place, kind in enumerate(readers)]
        return helper.make_graph(nodes, "readers", [], [])

    def test_what_a_hard_swish_or_a_hard_sigmoid_alone_reads_is_cut_where_they_are_flat(self) -> None:
        self.assertEqual(saturations(self.graph("HardSwish")), {"x": (-3.0, np.inf)})
        self.assertEqual(saturations(self.graph("HardSigmoid")), {"x": (-3.0, 3.0)})

    def test_what_another_node_reads_keeps_its_range(self) -> None:
        for readers in (("Relu",), ("HardSwish", "Add"), ("Add", "HardSigmoid")):
            with self.subTest(readers=readers):
                self.assertEqual(saturations(self.graph(*readers)), {})


class SplitTest(unittest.TestCase):
    def test_images_are_held_out_in_the_proportion_asked_and_spread_over_all(self) -> None:
        calibration, held_out = split(np.arange(70), 50, 20)

        self.assertEqual((len(calibration), len(held_out)), (50, 20))
        self.assertLessEqual(np.diff(held_out).max(), 4)
        self.assertEqual(sorted([*calibration, *held_out]), list(range(70)))

    def test_fewer_images_than_asked_keep_the_proportion(self) -> None:
        self.assertEqual([len(part) for part in split(np.arange(35), 50, 20)], [25, 10])

    def test_one_image_is_held_out_of_ten_at_least(self) -> None:
        self.assertEqual([len(part) for part in split(np.arange(10), 1000, 1)], [9, 1])

    def test_nine_images_are_refused(self) -> None:
        with self.assertRaisesRegex(Fault, "at least 10 images for --calibrate-on but received 9"):
            split(np.arange(9), 500, 200)


class QuantizeTest(TinyTest):
    def choice(self, scheme: str = "u8s8", excluded: tuple[str, ...] = ()) -> Choice:
        return Choice(scheme, "minmax", excluded)

    def test_bytes_by_the_table_give_the_logits_of_the_quantized_float_input(self) -> None:
        for scheme in ("u8s8", "s8s8"):
            with self.subTest(scheme=scheme):
                model, lookup = quantize(self.source, self.counts, self.choice(scheme), PLAN, FLOATS)
                session = open_session(model)
                reference = open_session(self.with_float_input(model, lookup), "disabled")
                for image in self.held_out:
                    fed = session.run(None, {"pixels": to_byte_input(image, lookup)})[0]
                    expected = reference.run(None, {"image": to_float_input(image, FLOATS)})[0]
                    np.testing.assert_allclose(fed, expected, atol=0.1)

    def with_float_input(self, model: onnx.ModelProto, lookup: list[list[int]]) -> onnx.ModelProto:
        """The same graph with ONNX Runtime's own QuantizeLinear in place of the table."""
        low, high = self.counts["image"].low, self.counts["image"].high
        scale = np.float32((high - low) / 255)
        zero = np.uint8(np.rint(-low / scale))
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        graph = copy.graph
        (transpose,) = [node for node in graph.node if "pixels" in node.input]
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(scale), "s"))
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(zero), "z"))
        transpose.CopyFrom(helper.make_node("QuantizeLinear", ["image", "s", "z"], list(transpose.output), "q"))
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE]))
        return copy

    def test_the_table_is_round_half_to_even_of_the_normalized_value(self) -> None:
        _, lookup = quantize(self.source, self.counts, self.choice(), PLAN, FLOATS)
        low, high = self.counts["image"].low, self.counts["image"].high
        scale = (high - low) / 255
        zero = round(-low / scale)

        for channel in range(3):
            expected = np.rint((np.arange(256) / 255 - MEAN[channel]) / STD[channel] / scale) + zero
            self.assertLessEqual(np.abs(np.clip(expected, 0, 255) - lookup[channel]).max(), 1)
            self.assertEqual(lookup[channel], sorted(lookup[channel]))

    def test_the_graph_takes_bytes_in_the_order_of_an_image(self) -> None:
        model, _ = quantize(self.source, self.counts, self.choice(), PLAN, FLOATS)

        (given,) = model.graph.input
        self.assertEqual(given.name, "pixels")
        self.assertEqual(given.type.tensor_type.elem_type, TensorProto.UINT8)
        self.assertEqual([axis.dim_value for axis in given.type.tensor_type.shape.dim], [1, SIDE, SIDE, 3])

    def test_int8_agrees_with_float32_for_nearly_all_images(self) -> None:
        for scheme in ("u8s8", "s8s8"):
            for method in METHODS:
                with self.subTest(scheme=scheme, method=method):
                    made = quantize(self.source, self.counts, Choice(scheme, method, ()), PLAN, FLOATS)
                    self.assertGreaterEqual(agreement_of(*made, self.held_out, FLOATS, self.expected), 0.85)

    def test_an_excluded_first_convolution_keeps_the_float_input(self) -> None:
        choice = self.choice(excluded=("first-convolution",))
        model, lookup = quantize(self.source, self.counts, choice, PLAN, FLOATS)

        self.assertIsNone(lookup)
        self.assertEqual(model.graph.input[0].name, "image")
        agreement = agreement_of(model, lookup, self.held_out, FLOATS, self.expected)
        self.assertGreaterEqual(agreement, 0.85)

    def test_an_excluded_classifier_keeps_its_weights(self) -> None:
        model, _ = quantize(self.source, self.counts, self.choice(excluded=("classifier",)), PLAN, FLOATS)
        kinds = {weight.name: weight.data_type for weight in model.graph.initializer}
        (last,) = [node for node in model.graph.node if node.op_type == "Gemm"]

        self.assertEqual(kinds[last.input[1]], TensorProto.FLOAT)


class ChooseTest(TinyTest):
    PLAN = Quantize(methods=("minmax", "percentile"), exclude=("classifier", "first-convolution"))

    def test_nothing_is_excluded_while_the_gate_is_met(self) -> None:
        choice, tried = choose(self.source, self.counts, self.held_out, FLOATS, self.PLAN, 0.5)

        self.assertEqual(choice.excluded, ())
        self.assertEqual([entry["method"] for entry in tried], ["minmax", "percentile"])

    def test_one_group_more_is_excluded_each_time_that_the_gate_falls_short(self) -> None:
        _, tried = choose(self.source, self.counts, self.held_out, FLOATS, self.PLAN, 1.01)

        excluded = [entry["excluded"] for entry in tried if entry["method"] == "minmax"]
        self.assertEqual(excluded, [[], ["classifier"], ["classifier", "first-convolution"]])

    def test_the_best_of_all_that_was_tried_is_chosen(self) -> None:
        choice, tried = choose(self.source, self.counts, self.held_out, FLOATS, self.PLAN, 1.01)

        (own,) = [e for e in tried if (e["method"], tuple(e["excluded"])) == (choice.method, choice.excluded)]
        self.assertEqual(own["agreement"], max(entry["agreement"] for entry in tried))


class GroupsTest(unittest.TestCase):
    """A branch as MobileNetV3 has it: pool, two convolutions, hard sigmoid, product."""

    def setUp(self) -> None:
        self.graph = helper.make_graph(
            [
                helper.make_node("Conv", ["image", "w1"], ["a"], "stem"),
                helper.make_node("HardSwish", ["a"], ["b"], "swish"),
                helper.make_node("GlobalAveragePool", ["b"], ["c"], "squeeze"),
                helper.make_node("Conv", ["c", "w2"], ["d"], "less"),
                helper.make_node("Relu", ["d"], ["e"], "relu"),
                helper.make_node("Conv", ["e", "w3"], ["f"], "more"),
                helper.make_node("HardSigmoid", ["f"], ["g"], "sigmoid"),
                helper.make_node("Mul", ["g", "b"], ["h"], "excite"),
                helper.make_node("GlobalAveragePool", ["h"], ["i"], "last_pool"),
                helper.make_node("Flatten", ["i"], ["j"], "flatten"),
                helper.make_node("Gemm", ["j", "w4"], ["k"], "hidden"),
                helper.make_node("Gemm", ["k", "w5"], ["logits"], "last"),
            ],
            "branch",
            [],
            [],
        )

    def test_each_word_names_its_nodes(self) -> None:
        for word, names in (
            ("first-convolution", ["stem"]),
            ("classifier", ["last"]),
            ("squeeze-excite", ["excite", "less", "more", "relu", "sigmoid", "squeeze"]),
        ):
            with self.subTest(word=word):
                self.assertEqual(nodes_of_groups(self.graph, [word]), names)

    def test_several_words_name_each_node_once(self) -> None:
        names = nodes_of_groups(self.graph, ["squeeze-excite", "squeeze-excite", "classifier"])

        self.assertEqual(names, ["excite", "last", "less", "more", "relu", "sigmoid", "squeeze"])
