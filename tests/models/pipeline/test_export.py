"""The portable graph; needs all of models/requirements.txt: python -m unittest tests/models/pipeline/test_export.py"""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from folder import FolderTest
from onnx import TensorProto, helper, numpy_helper
from pipeline import export, graph
from pipeline.architectures import BUILDERS, build
from pipeline.images import generated, normalized
from pipeline.labels import read_labels
from pipeline.recipe import ARCHITECTURES, MODELS, DataSet, Recipe, read_recipe
from pipeline.seeded import seeded
from pipeline.steps import Context, Options

PARAMETERS = {  # as published
    "wide_resnet50_2": 68_883_240,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet-lite0": 4_652_008,
}
LABELS = [{"class": f"n{number:08}", "label": "a thing"} for number in range(5)]
CLASSES = [label["class"] for label in LABELS]


class ExportTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.enterContext(warnings.catch_warnings())
        self.file = self.folder / "weights.pt"
        torch.manual_seed(1)

    def context(self, recipe: Recipe, kind: str, weights: Path | None = None, seed: int | None = None) -> Context:
        fetched = {"kind": kind, "weights": str(weights), "sha256": recipe.weights.sha256, "own": True}
        folder = self.folder / "step"
        folder.mkdir(exist_ok=True)
        return Context(recipe, Options(random_weights=seed), folder, {"fetch": fetched})


class WeightsTest(ExportTest):
    def test_a_state_and_the_average_of_a_checkpoint_are_loaded(self) -> None:
        state = build("wide-resnet", 5).state_dict()
        seen = {"images": 7, "minutes": 1.5}
        for content, expected in ((state, {}), ({"average": state, "wnids": CLASSES, **seen}, seen)):
            torch.save(content, self.file)
            model, trained = export.load_weights(self.file, "wide-resnet", LABELS)
            self.assertFalse(model.training)
            self.assertTrue(torch.equal(model.head.weight, state["head.weight"]))
            self.assertEqual(trained, expected)

    def test_a_file_cut_short_or_of_another_kind_is_refused_and_code_in_it_is_not_run(self) -> None:
        torch.save(build("wide-resnet", 5).state_dict(), self.file)
        whole = self.file.read_bytes()
        torch.save(build("wide-resnet", 5), self.file)  # a whole module: its loading would run pickled code
        module = self.file.read_bytes()
        for content in (whole[: len(whole) // 2], whole[:-1000], b"", b"plain text", b"PK\x03\x04", module):
            self.file.write_bytes(content)
            expected = f"Expected weights in PyTorch's format for {self.file} but received a file cut short"
            self.assert_fault(expected, export.load_weights, self.file, "wide-resnet", LABELS)

    def test_other_tensors_classes_and_values_are_refused(self) -> None:
        state = build("wide-resnet", 5).state_dict()
        shortened = {name: value for name, value in state.items() if name != "norm.bias"}
        other = r"Expected the weights of wide-resnet with 5 classes for .* missing \(stem.weight\), .* too many"
        infinite = "Expected finite weights for .* but received NaN or infinity in norm.bias"
        for content, expected in (
            (build("mobilenet", 5).state_dict(), other),
            (build("wide-resnet", 6).state_dict(), r"2 tensors of another shape \(head.weight\)$"),
            (shortened, r"received 1 tensors missing \(norm.bias\)$"),
            ([1, 2], "Expected tensors by name"),
            ({"a": 1}, "Expected tensors by name"),
            (torch.zeros(1), "Expected tensors by name"),
            ({"average": state, "wnids": CLASSES[::-1]}, "Expected the recipe's 5 classes for .* received 5 others"),
            ({**state, "norm.bias": torch.full_like(state["norm.bias"], torch.nan)}, infinite),
            ({**state, "norm.bias": torch.full_like(state["norm.bias"], torch.inf)}, infinite),
        ):
            torch.save(content, self.file)
            with self.subTest(expected=expected):
                self.assert_fault(expected, export.load_weights, self.file, "wide-resnet", LABELS)


class RunTest(ExportTest):
    def test_the_embedded_graphs_are_taken_as_they_are_and_give_their_golden_logits(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(recipe=name):
                recipe = read_recipe(name)
                source = MODELS / name / "model.onnx"
                result = export.run(self.context(recipe, "onnx", source))
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

    def test_a_difference_beyond_the_limit_and_logits_that_overflow_stop_the_build(self) -> None:
        recipe = small(read_recipe("wide-resnet"))
        exact = replace(recipe, export=replace(recipe.export, max_difference=0))
        expected = "Expected logits within 0 of the largest for .* but received a difference of"
        self.assert_fault(expected, export.run, self.context(exact, "random", seed=3))
        state = build("wide-resnet", len(read_labels(recipe))).state_dict()
        state["stem.weight"] *= 1e38
        torch.save(state, self.file)
        expected = "Expected finite logits for .*model.onnx but received NaN or infinity"
        self.assert_fault(expected, export.run, self.context(recipe, "torch", self.file))


class GraphTest(ExportTest):
    def test_another_opset_other_shapes_and_a_file_cut_short_are_refused(self) -> None:
        recipe = read_recipe("wide-resnet")
        smaller = replace(recipe, input=replace(recipe.input, crop=64))
        whole = (MODELS / "wide-resnet" / "model.onnx").read_bytes()
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 72, 72]) for name in ("image", "logits")]
        plain = helper.make_graph([helper.make_node("Identity", ["image"], ["logits"])], "newer", ends[:1], ends[1:])
        newer = helper.make_model(plain, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
        cut = "Expected a valid ONNX graph for .*model.onnx but received a file cut short"
        file = self.folder / "model.onnx"
        file.write_bytes(whole)
        graph.check_graph(file, file, recipe, 200)
        for content, given, classes, expected in (
            (newer, recipe, 200, "Expected opset 17 or older for .*model.onnx but received opset 18"),
            (whole, recipe, 199, r"Expected logits of shape \[1, 199\] for .* received logits of shape \[1, 200\]"),
            (whole, smaller, 200, r"Expected image of shape \[1, 3, 64, 64\] for .* received image of shape"),
            (whole[: len(whole) // 2], recipe, 200, cut),
            (b"", recipe, 200, "Expected "),
            (b"plain text", recipe, 200, cut),
        ):
            file.write_bytes(content)
            with self.subTest(expected=expected):
                self.assert_fault(expected, graph.check_graph, file, file, given, classes)


class FoldPaddingTest(ExportTest):
    def padded(self, pads: list[int], value: float = 0.0, mode: str = "constant") -> onnx.GraphProto:
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

    def logits(self, padded: onnx.GraphProto) -> np.ndarray:
        file = self.folder / "graph.onnx"
        onnx.save(helper.make_model(padded, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
        return graph.run_graph(file, np.random.RandomState(2).rand(2, 3, 8, 8).astype(np.float32))

    def test_zero_padding_moves_into_the_convolution_with_the_same_result(self) -> None:
        padded = self.padded([0, 0, 0, 1, 0, 0, 2, 3])
        before = self.logits(padded)
        graph.fold_padding(padded)
        self.assertEqual([node.op_type for node in padded.node], ["Conv"])
        self.assertEqual([weight.name for weight in padded.initializer], ["weights"])
        np.testing.assert_allclose(self.logits(padded), before, rtol=1e-5)

    def test_padding_that_a_convolution_cannot_do_stays(self) -> None:
        for padded in (
            self.padded([0, 0, 0, 1, 0, 0, 2, 3], value=1.0),
            self.padded([0, 0, 0, 1, 0, 0, 2, 3], mode="edge"),
            self.padded([0, 1, 0, 1, 0, 0, 2, 3]),
        ):
            graph.fold_padding(padded)
            self.assertEqual([node.op_type for node in padded.node], ["Pad", "Conv"])


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
            logits = model(torch.from_numpy(normalized(generated(16, 64, 99), given.mean, given.std)))
        self.assertGreater(len(set(logits.argmax(1).tolist())), 4)
        self.assertTrue(1 < logits.std() < 10, logits.std())


def small(recipe: Recipe) -> Recipe:
    """The recipe at 64 pixels, with the 200 labels that the repository holds."""
    labels = read_recipe("wide-resnet").labels
    data_set = DataSet(name="none", classes=200, images=1, license="none", source="none")
    return replace(recipe, input=replace(recipe.input, resize=64, crop=64), labels=labels, data_set=data_set)
