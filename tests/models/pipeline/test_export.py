"""The portable graph: python -m unittest tests/models/pipeline/test_export.py"""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from folder import FolderTest
from onnx import TensorProto, helper
from pipeline import export, graph
from pipeline.architectures import WRITERS, write_network
from pipeline.export import write_graph
from pipeline.features import hide
from pipeline.graph import open_session
from pipeline.images import generated, normalized
from pipeline.labels import read_labels
from pipeline.recipe import ARCHITECTURES, INPUT_NAME, MODELS, DataSet, Recipe, read_recipe
from pipeline.seeded import seeded
from pipeline.steps import Context, Options
from saved import save

PARAMETERS = {  # as published
    "wide_resnet50_2": 68_883_240,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite2": 6_092_072,
}
CLASSES, SIDE = 5, 32
INPUT = replace(read_recipe("wide-resnet").input, resize=SIDE, crop=SIDE)


class ExportTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "weights.pt"

    def context(self, recipe: Recipe, kind: str, weights: Path | None = None, seed: int | None = None) -> Context:
        fetched = {"kind": kind, "weights": weights and str(weights), "sha256": recipe.weights.sha256, "own": True}
        folder = self.folder / "step"
        folder.mkdir(exist_ok=True)
        return Context(recipe, Options(random_weights=seed), folder, {"fetch": fetched})


class WeightsTest(ExportTest):
    def test_other_tensors_and_values_are_refused(self) -> None:
        state = seeded("wide-resnet", CLASSES, 1, INPUT)
        shortened = {name: value for name, value in state.items() if name != "norm.bias"}
        other = r"Expected the weights of wide-resnet with 5 classes for the test .* missing \(stem.weight\), .* too many"
        infinite = "Expected finite weights for the test but received NaN or infinity in norm.bias"
        reshaped = np.broadcast_to(np.float32(0), (2**20, 2**20, 3, 3))  # would not fit into any memory
        for tensors, expected in (
            (seeded("mobilenet", CLASSES, 1, INPUT), other),
            (seeded("wide-resnet", 6, 1, INPUT), r"2 tensors of another shape \(head.weight\)$"),
            (shortened, r"received 1 tensors missing \(norm.bias\)$"),
            ({**state, "stem.weight": reshaped}, r"1 tensors of another shape \(stem.weight\)$"),
            ({**state, "more": np.zeros(1)}, r"1 tensors too many \(more\)$"),
            ({**state, "norm.bias": np.full_like(state["norm.bias"], np.nan)}, infinite),
            ({**state, "norm.bias": np.full_like(state["norm.bias"], np.inf)}, infinite),
        ):
            with self.subTest(expected=expected):
                self.assert_fault(expected, write_graph, "wide-resnet", tensors, CLASSES, SIDE, "the test")

    def test_what_batch_norms_count_in_training_is_let_pass_and_other_floats_become_float32(self) -> None:
        state = seeded("wide-resnet", CLASSES, 1, INPUT)
        counted = {**state, "norm.num_batches_tracked": np.array(3), "norm.bias": state["norm.bias"].astype(np.float64)}
        found, expected = (write_graph("wide-resnet", given, CLASSES, SIDE, "the test") for given in (counted, state))
        self.assertEqual(found, expected)


class RunTest(ExportTest):
    def test_the_embedded_graphs_are_taken_without_their_embedding_and_give_their_golden_logits(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(recipe=name):
                recipe = read_recipe(name)
                source = MODELS / name / "model.onnx"
                result = export.run(self.context(recipe, "onnx", source))
                taken, shipped = onnx.load(result["onnx"]), onnx.load(source)
                del shipped.graph.output[1:]
                self.assertEqual(taken, shipped)
                self.assertLess(result["max_difference"], recipe.export.max_difference)
                self.assertGreater(result["max_difference"], 0)  # the card's logits are rounded: so they were compared

    def test_an_export_is_static_folded_and_opset_17(self) -> None:
        for name in ("efficientnet-lite0", "wide-resnet", "mobilenet-v3-large"):
            with self.subTest(recipe=name):
                recipe = small(read_recipe(name))
                result = export.run(self.context(recipe, "random", seed=3))
                graph = onnx.load(result["onnx"])
                norms = [node.input[0] for node in graph.graph.node if node.op_type == "BatchNormalization"]
                self.assertEqual(graph.opset_import[0].version, 17)
                self.assertEqual(len(norms), 6 if name == "wide-resnet" else 0)  # those behind sums
                self.assertIn("batch norms kept", result["compared"])
                self.assertLess(result["max_difference"], recipe.export.max_difference)
                self.assertEqual(len(result["golden"]), len(read_labels(recipe)))

    def test_a_checkpoint_of_the_recipe_s_classes_is_taken_with_what_it_says_of_its_training(self) -> None:
        recipe = small(read_recipe("wide-resnet"))
        classes = [label["class"] for label in read_labels(recipe)]
        tensors = seeded("wide-resnet", len(classes), 1, recipe.input)
        seen = {"images": 7, "minutes": 1.5, "note": "Short."}
        save(self.file, tensors, wnids=classes, history=[], **seen)
        self.assertEqual(export.run(self.context(recipe, "torch", self.file))["trained"], seen)
        for wnids, expected in ((classes[::-1], 200), (classes[1:], 199)):
            save(self.file, tensors, wnids=wnids)
            expected = f"Expected the recipe's 200 classes for .* received {expected} others"
            self.assert_fault(expected, export.run, self.context(recipe, "torch", self.file))

    def test_a_difference_beyond_the_limit_and_logits_that_overflow_stop_the_build(self) -> None:
        recipe = small(read_recipe("wide-resnet"))
        exact = replace(recipe, export=replace(recipe.export, max_difference=0))
        expected = "Expected logits within 0 of the largest for .* but received a difference of"
        self.assert_fault(expected, export.run, self.context(exact, "random", seed=3))
        state = seeded("wide-resnet", len(read_labels(recipe)), 3, recipe.input)
        state["stem.weight"] *= np.float32(1e38)
        save(self.file, state)
        expected = "Expected finite logits for .*model.onnx but received NaN or infinity"
        self.assert_fault(expected, export.run, self.context(recipe, "torch", self.file))

    def test_no_step_loads_pytorch_or_what_else_only_training_needs(self) -> None:
        steps = "fetch, export, quantize, optimize, check, pack, ukis, __main__"
        named = "{'torch', 'torchvision', 'PIL', 'pyarrow', 'scipy'}"
        code = f"import sys\nfrom pipeline import {steps}\nprint(sorted({named} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual((done.stderr, done.stdout), ("", "[]\n"))


class GraphTest(ExportTest):
    def test_another_opset_other_shapes_and_a_file_cut_short_are_refused(self) -> None:
        recipe = read_recipe("wide-resnet")
        smaller = replace(recipe, input=replace(recipe.input, crop=64))
        file = self.folder / "model.onnx"
        shutil.copy(MODELS / "wide-resnet" / "model.onnx", file)
        hide(file)
        whole = file.read_bytes()
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 72, 72]) for name in ("image", "logits")]
        plain = helper.make_graph([helper.make_node("Identity", ["image"], ["logits"])], "newer", ends[:1], ends[1:])
        newer = helper.make_model(plain, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
        cut = "Expected a valid ONNX graph for .*model.onnx but received a file cut short"
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

class ArchitecturesTest(ExportTest):
    def test_recipes_may_name_all_that_can_be_written_and_no_more(self) -> None:
        self.assertEqual(set(ARCHITECTURES), set(WRITERS))

    def test_parameters_are_as_many_as_published(self) -> None:
        for name, expected in PARAMETERS.items():
            shapes: dict[str, tuple[int, ...]] = {}

            def tensor(key: str, shape: tuple[int, ...], shapes=shapes) -> np.ndarray:
                shapes[key] = shape
                return np.zeros(shape, np.float32)

            write_network(name, 1000, 224, tensor)
            counts = [np.prod(shape) for key, shape in shapes.items() if "running" not in key]
            with self.subTest(architecture=name):
                self.assertEqual(sum(counts), expected)

    def test_lite_halves_five_times_and_pads_as_tensorflow_does(self) -> None:
        model = write_graph("efficientnet-lite0", seeded("efficientnet-lite0", 4, 1, replace(INPUT, crop=64)), 4, 64, "the test")
        for name in ("_conv_stem", "_blocks.15._project_conv"):
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        session = open_session(model)
        image = np.zeros((1, 3, 64, 64), np.float32)
        _, stem, last = session.run(None, {INPUT_NAME: image})
        self.assertEqual((stem.shape[2:], last.shape[1:]), ((32, 32), (320, 2, 2)))
        # SAME of an even side and stride 2 pads after the last pixel alone: the first output sees the first three.
        image[:, :, 3:] = 1
        changed = session.run(None, {INPUT_NAME: image})[1] - stem
        self.assertEqual(np.abs(changed[:, :, 0]).max(), 0)
        self.assertGreater(np.abs(changed[:, :, 1]).max(), 0)


class SeededTest(ExportTest):
    recipe = read_recipe("mobilenet-v2")

    def test_the_same_seed_gives_the_same_weights_and_logits_that_tell_images_apart(self) -> None:
        given = replace(self.recipe.input, resize=64, crop=64)
        one, same, other = (seeded("mobilenet_v2", 50, seed, given) for seed in (1, 1, 2))
        self.assertTrue(all(np.array_equal(one[name], same[name]) for name in one))
        self.assertFalse(all(np.array_equal(one[name], other[name]) for name in one))
        session = open_session(write_graph("mobilenet_v2", one, 50, 64, "the test"))
        images = normalized(generated(16, 64, 99), given.mean, given.std)
        logits = np.stack([session.run(None, {INPUT_NAME: image[None]})[0][0] for image in images])
        self.assertGreater(len(set(logits.argmax(1).tolist())), 4)
        self.assertTrue(1 < logits.std() < 10, logits.std())

    def test_an_architecture_without_batch_norms_to_measure_is_refused(self) -> None:
        expected = "Expected an architecture with batch norms for --random-weights but received mobilenet-light"
        self.assert_fault(expected, seeded, "mobilenet-light", CLASSES, 1, INPUT)


def small(recipe: Recipe) -> Recipe:
    """The recipe at 64 pixels, with the 200 labels that the repository holds."""
    labels = read_recipe("wide-resnet").labels
    data_set = DataSet(name="none", classes=200, images=1, license="none", source="none")
    return replace(recipe, input=replace(recipe.input, resize=64, crop=64), labels=labels, data_set=data_set)
