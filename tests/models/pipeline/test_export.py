"""The portable graph; needs all of models/requirements.txt: python -m unittest tests/models/pipeline/test_export.py"""

import contextlib
import io
import tempfile
import unittest
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from pipeline import export
from pipeline.architectures import BUILDERS, build
from pipeline.faults import Fault
from pipeline.labels import read_labels
from pipeline.recipe import ARCHITECTURES, MODELS, DataSet, Recipe, read_recipe
from pipeline.seeded import generated_images, normalized, seeded
from pipeline.steps import Context, Options

PARAMETERS = {  # as published; of the embedded pair as models/README.md states them, in millions
    "wide_resnet50_2": 68_883_240,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet-lite0": 4_652_008,
}


class ExportTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "weights.pt"
        for quiet in (contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings()):
            quiet.__enter__()
            self.addCleanup(quiet.__exit__, None, None, None)
        torch.manual_seed(1)

    def context(self, recipe: Recipe, kind: str, weights: Path | None = None, seed: int | None = None) -> Context:
        fetched = {"kind": kind, "weights": str(weights), "sha256": "a" * 64, "own": True}
        folder = self.folder / "step"
        folder.mkdir(exist_ok=True)
        return Context(recipe, Options(random_weights=seed), folder, {"fetch": fetched})


class WeightsTest(ExportTest):
    labels = [{"class": f"n{number:08}", "label": "a thing"} for number in range(5)]

    def load(self, content: object, architecture: str = "wide-resnet") -> torch.nn.Module:
        torch.save(content, self.file)
        return export.load_weights(self.file, architecture, self.labels)[0]

    def assert_fault(self, content: object, pattern: str, architecture: str = "wide-resnet") -> None:
        with self.assertRaisesRegex(Fault, pattern) as caught:
            self.load(content, architecture)
        self.assertEqual(str(caught.exception).count("\n"), 0)
        self.assertIn(str(self.file), str(caught.exception))

    def test_a_state_and_the_average_of_a_checkpoint_are_loaded(self) -> None:
        state = build("wide-resnet", 5).state_dict()
        checkpoint = {"average": state, "wnids": [label["class"] for label in self.labels], "images": 7, "minutes": 1.5}
        for content in (state, checkpoint):
            model = self.load(content)
            self.assertFalse(model.training)
            self.assertTrue(torch.equal(model.head.weight, state["head.weight"]))
        self.assertEqual(export.load_weights(self.file, "wide-resnet", self.labels)[1], {"images": 7, "minutes": 1.5})

    def test_a_file_cut_short_or_of_another_kind_is_refused(self) -> None:
        torch.save(build("wide-resnet", 5).state_dict(), self.file)
        whole = self.file.read_bytes()
        for content in (whole[: len(whole) // 2], whole[:-1000], b"", b"plain text", b"PK\x03\x04"):
            self.file.write_bytes(content)
            with self.assertRaisesRegex(
                Fault, f"Expected weights in PyTorch's format for {self.file} but received a file cut short"
            ):
                export.load_weights(self.file, "wide-resnet", self.labels)

    def test_code_in_a_file_is_not_run(self) -> None:
        torch.save(build("wide-resnet", 5), self.file)  # a whole module: its loading would run pickled code
        with self.assertRaisesRegex(Fault, "Expected weights in PyTorch's format"):
            export.load_weights(self.file, "wide-resnet", self.labels)

    def test_weights_of_another_architecture_or_number_of_classes_are_refused(self) -> None:
        state = build("mobilenet", 5).state_dict()
        self.assert_fault(
            state,
            r"Expected the weights of wide-resnet with 5 classes for .* tensors missing \(stem.weight\), .* too many",
        )
        state = build("wide-resnet", 6).state_dict()
        self.assert_fault(state, r"2 tensors of another shape \(head.weight\)$")
        state = build("wide-resnet", 5).state_dict()
        del state["norm.bias"]
        self.assert_fault(state, r"received 1 tensors missing \(norm.bias\)$")

    def test_what_holds_no_tensors_by_name_is_refused(self) -> None:
        for content in ([1, 2], {"a": 1}, torch.zeros(1)):
            self.assert_fault(content, "Expected tensors by name")

    def test_classes_of_a_checkpoint_in_another_order_are_refused(self) -> None:
        wnids = [label["class"] for label in self.labels][::-1]
        content = {"average": build("wide-resnet", 5).state_dict(), "wnids": wnids}
        self.assert_fault(content, "Expected the recipe's 5 classes for .* but received 5 others")

    def test_weights_that_are_not_finite_are_refused_by_name(self) -> None:
        for value in (float("nan"), float("inf")):
            state = build("wide-resnet", 5).state_dict()
            state["norm.bias"][3] = value
            self.assert_fault(state, "Expected finite weights for .* but received NaN or infinity in norm.bias")


class RunTest(ExportTest):
    def test_the_embedded_graphs_are_taken_as_they_are_and_give_their_golden_logits(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(recipe=name):
                recipe = read_recipe(name)
                source = MODELS / name / "model.onnx"
                context = self.context(recipe, "onnx", source)
                context.results["fetch"]["sha256"] = recipe.weights.sha256
                result = export.run(context)
                self.assertEqual(Path(result["onnx"]).read_bytes(), source.read_bytes())
                self.assertLess(result["max_difference"], recipe.export.max_difference)
                self.assertGreater(result["max_difference"], 0)  # the card's logits are rounded: so they were compared

    def test_an_export_is_static_folded_opset_17_and_near_pytorch(self) -> None:
        for name in ("efficientnet-lite0", "mobilenet"):
            with self.subTest(recipe=name):
                recipe = small(read_recipe(name))
                result = export.run(self.context(recipe, "random", seed=3))
                graph = onnx.load(result["onnx"])
                kinds = {node.op_type for node in graph.graph.node}
                self.assertEqual(graph.opset_import[0].version, 17)
                self.assertTrue(kinds.isdisjoint({"BatchNormalization", "Pad", "Shape"}), kinds)
                self.assertTrue(result["torch"])
                self.assertLess(result["max_difference"], recipe.export.max_difference)
                self.assertEqual(len(result["golden"]), len(read_labels(recipe)))

    def test_a_difference_beyond_the_limit_stops_the_build(self) -> None:
        recipe = small(read_recipe("wide-resnet"))
        context = self.context(replace(recipe, export=replace(recipe.export, max_difference=0)), "random", seed=3)
        with self.assertRaisesRegex(
            Fault, "Expected logits within 0 of the largest for .* but received a difference of"
        ):
            export.run(context)

    def test_weights_that_make_the_logits_overflow_are_refused(self) -> None:
        recipe = small(read_recipe("wide-resnet"))
        labels = read_labels(recipe)
        state = build("wide-resnet", len(labels)).state_dict()
        state["stem.weight"] *= 1e38
        torch.save(state, self.file)
        with self.assertRaisesRegex(Fault, "Expected finite logits for .*model.onnx but received NaN or infinity"):
            export.run(self.context(recipe, "torch", self.file))


class GraphTest(ExportTest):
    recipe = read_recipe("wide-resnet")

    def check(self, model: onnx.ModelProto, classes: int = 200) -> None:
        file = self.folder / "model.onnx"
        onnx.save(model, file)
        export.check_graph(file, file, self.recipe, classes)

    def shipped(self) -> onnx.ModelProto:
        return onnx.load(MODELS / "wide-resnet" / "model.onnx")

    def test_opset_17_is_accepted_and_18_is_not(self) -> None:
        model = self.shipped()
        self.check(model)
        model.opset_import[0].version = 18
        with self.assertRaisesRegex(
            Fault, "Expected opset 17 or older for .*model.onnx but received opset 18|Expected a valid ONNX"
        ):
            self.check(model)
        plain = helper.make_model(
            helper.make_graph(
                [helper.make_node("Identity", ["image"], ["logits"])],
                "newer",
                [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 72, 72])],
                [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, 72, 72])],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
        )
        with self.assertRaisesRegex(Fault, "Expected opset 17 or older for .*model.onnx but received opset 18"):
            self.check(plain)

    def test_a_graph_cut_short_is_refused(self) -> None:
        file = self.folder / "model.onnx"
        whole = (MODELS / "wide-resnet" / "model.onnx").read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"plain text"):
            file.write_bytes(content)
            with self.assertRaisesRegex(
                Fault, "Expected a valid ONNX graph for .*model.onnx but received a file cut short"
            ):
                export.check_graph(file, file, self.recipe, 200)

    def test_other_shapes_and_names_are_refused(self) -> None:
        with self.assertRaisesRegex(
            Fault, r"Expected logits of shape \[1, 199\] for .* but received logits of shape \[1, 200\]"
        ):
            self.check(self.shipped(), 199)
        self.recipe = replace(self.recipe, input=replace(self.recipe.input, crop=64))
        with self.assertRaisesRegex(
            Fault, r"Expected image of shape \[1, 3, 64, 64\] for .* but received image of shape"
        ):
            self.check(self.shipped())


class FoldPaddingTest(ExportTest):
    def graph(self, pads: list[int], value: float = 0.0, mode: str = "constant") -> onnx.GraphProto:
        weights = np.random.RandomState(1).rand(2, 3, 3, 3).astype(np.float32)
        return helper.make_graph(
            [
                helper.make_node("Pad", ["image", "pads", "value"], ["padded"], mode=mode),
                helper.make_node(
                    "Conv", ["padded", "weights"], ["logits"], pads=[1, 0, 0, 0], strides=[2, 2], kernel_shape=[3, 3]
                ),
            ],
            "padding",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.array(pads, np.int64), "pads"),
                numpy_helper.from_array(np.array(value, np.float32), "value"),
                numpy_helper.from_array(weights, "weights"),
            ],
        )

    def logits(self, graph: onnx.GraphProto) -> np.ndarray:
        file = self.folder / "graph.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
        return export.run_graph(file, np.random.RandomState(2).rand(2, 3, 8, 8).astype(np.float32))

    def test_zero_padding_moves_into_the_convolution_with_the_same_result(self) -> None:
        graph = self.graph([0, 0, 0, 1, 0, 0, 2, 3])
        before = self.logits(graph)
        export.fold_padding(graph)
        self.assertEqual([node.op_type for node in graph.node], ["Conv"])
        self.assertEqual([weight.name for weight in graph.initializer], ["weights"])
        np.testing.assert_allclose(self.logits(graph), before, rtol=1e-5)

    def test_padding_that_a_convolution_cannot_do_stays(self) -> None:
        for graph in (
            self.graph([0, 0, 0, 1, 0, 0, 2, 3], value=1.0),
            self.graph([0, 0, 0, 1, 0, 0, 2, 3], mode="edge"),
            self.graph([0, 1, 0, 1, 0, 0, 2, 3]),
        ):
            export.fold_padding(graph)
            self.assertEqual([node.op_type for node in graph.node], ["Pad", "Conv"])


class ArchitecturesTest(ExportTest):
    def test_recipes_may_name_all_that_can_be_built_and_no_more(self) -> None:
        self.assertEqual(ARCHITECTURES, tuple(BUILDERS))

    def test_parameters_are_as_many_as_published(self) -> None:
        for name, expected in PARAMETERS.items():
            with self.subTest(architecture=name), torch.device("meta"):
                self.assertEqual(sum(weight.numel() for weight in build(name, 1000).parameters()), expected)

    def test_lite0_halves_five_times_and_pads_as_tensorflow_does(self) -> None:
        model = build("efficientnet-lite0", 4).eval()
        with torch.inference_mode():
            stem = model._conv_stem(torch.zeros(1, 3, 224, 224))
            last = model._blocks(torch.zeros(1, 32, 112, 112))
        self.assertEqual((stem.shape[2], last.shape[1], last.shape[2]), (112, 320, 7))
        # SAME of an even side and stride 2 pads after the last pixel alone: the first output sees the first three.
        image = torch.zeros(1, 3, 224, 224)
        image[:, :, 3:, :] = 1
        with torch.inference_mode():
            self.assertEqual(model._conv_stem(image)[0, :, 0].abs().max(), 0)
            self.assertGreater(model._conv_stem(image)[0, :, 1].abs().max(), 0)


class SeededTest(ExportTest):
    recipe = read_recipe("mobilenet-v2")

    def test_the_same_seed_gives_the_same_weights_and_logits_that_tell_images_apart(self) -> None:
        given = replace(self.recipe.input, resize=64, crop=64)
        one, same, other = (seeded("mobilenet_v2", 50, seed, given).state_dict() for seed in (1, 1, 2))
        self.assertTrue(all(torch.equal(one[name], same[name]) for name in one))
        self.assertFalse(all(torch.equal(one[name], other[name]) for name in one))
        model = seeded("mobilenet_v2", 50, 1, given)
        with torch.inference_mode():
            logits = model(torch.from_numpy(normalized(generated_images(16, 64, 99), given)))
        self.assertGreater(len(set(logits.argmax(1).tolist())), 4)
        self.assertTrue(1 < logits.std() < 10, logits.std())


def small(recipe: Recipe) -> Recipe:
    """The recipe at 64 pixels, with the 200 labels that the repository holds."""
    labels = read_recipe("wide-resnet").labels
    data_set = DataSet(name="none", classes=200, images=1, license="none", source="none")
    return replace(recipe, input=replace(recipe.input, resize=64, crop=64), labels=labels, data_set=data_set)


if __name__ == "__main__":
    unittest.main()
