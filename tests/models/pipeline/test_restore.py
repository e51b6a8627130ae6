"""python -m unittest tests.pipeline.test_restore, with models/ on PYTHONPATH; needs torch, onnx and onnxruntime."""

import hashlib
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import onnx
import torch
from pipeline.architectures import MEAN, STD, build
from pipeline.export import write_graph
from pipeline.faults import Fault
from pipeline.light import Range
from pipeline.recipe import MODELS, read_recipe
from pipeline.restore import golden_input, layers_of, restore
from torch import nn

SIDE = 32  # pixels: the smallest that both architectures take in full
CLASSES = 5
ARCHITECTURES = ("wide-resnet", "mobilenet", "mobilenet-light")


def trained(architecture: str) -> nn.Module:
    """A model whose batch norms have seen something, and whose ranges are each their own: none does nothing."""
    torch.manual_seed(1)
    model = build(architecture, CLASSES).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.2, 0.2),
            ):
                values.uniform_(low, high)
        elif isinstance(module, Range) and float(module.high) == 6:
            module.high.fill_(0.5 + torch.rand(()).item())
    return model


class RestoreTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.root = Path(cls.temporary.name)
        cls.models = {name: trained(name) for name in ARCHITECTURES}
        cls.folders = {name: cls.write(name, model) for name, model in cls.models.items()}

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()

    @classmethod
    def write(cls, name: str, model: nn.Module) -> Path:
        """A model folder as far as `restore` reads it."""
        folder = cls.root / name
        folder.mkdir()
        given = {"crop": SIDE, "mean": MEAN, "std": STD}
        image = golden_input(given)
        write_graph(model, image, CLASSES, folder / "model.onnx")
        with torch.inference_mode():
            logits = model(torch.from_numpy(image))[0].tolist()
        card = {
            "file": "model.onnx",
            "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
            "labels": "labels.json",
            "input": given,
            "golden": {"logits": logits, "tolerance": 0.001},
        }
        (folder / "model.json").write_text(json.dumps(card))
        (folder / "labels.json").write_text(json.dumps([{"class": f"n{i}", "label": str(i)} for i in range(CLASSES)]))
        return folder

    def altered(self, name: str, **changes: object) -> Path:
        """A copy of a folder whose card says something else."""
        folder = Path(tempfile.mkdtemp(dir=self.root)) / name
        shutil.copytree(self.folders[name], folder)
        card = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**card, **changes}))
        return folder

    def with_graph(self, name: str, graph: onnx.ModelProto) -> Path:
        folder = self.altered(name)
        onnx.save(graph, folder / "model.onnx")
        card = json.loads((folder / "model.json").read_text())
        card["sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(card))
        return folder

    def test_the_restored_module_answers_any_image_as_the_exported_one_did(self) -> None:
        images = torch.randn(3, 3, SIDE, SIDE)
        for name in ARCHITECTURES:
            with self.subTest(name=name), torch.inference_mode():
                gap = (restore(self.folders[name], name)(images) - self.models[name](images)).abs().max().item()
                self.assertLess(gap, 1e-4)

    def test_a_restored_module_can_be_exported_and_restored_again(self) -> None:
        images = torch.randn(3, 3, SIDE, SIDE)
        for name in ARCHITECTURES:
            once = restore(self.folders[name], name)
            folder = self.altered(name)
            write_graph(once, golden_input({"crop": SIDE, "mean": MEAN, "std": STD}), CLASSES, folder / "model.onnx")
            twice = restore(self.with_graph(name, onnx.load(folder / "model.onnx")), name)
            with self.subTest(name=name), torch.inference_mode():
                self.assertLess((once(images) - twice(images)).abs().max().item(), 1e-4)

    def test_every_batch_norm_that_was_folded_does_nothing_but_add(self) -> None:
        restored = restore(self.folders["mobilenet"], "mobilenet")
        norms = [module for module in restored.modules() if isinstance(module, nn.BatchNorm2d)]
        ones = torch.ones(1, norms[0].num_features, 2, 2)
        self.assertTrue(torch.allclose(norms[0](ones) - ones, norms[0].bias.view(1, -1, 1, 1), atol=1e-6))

    def test_the_shipped_folders_can_be_restored(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            with self.subTest(name=name):
                self.assertFalse(restore(MODELS / name, read_recipe(name).architecture).training)

    def test_weights_that_do_not_give_the_golden_logits_are_refused(self) -> None:
        folder = self.altered("mobilenet", golden={"logits": [0.0] * CLASSES, "tolerance": 0.001})
        with self.assertRaisesRegex(
            Fault, "^Expected the golden logits of .*model.json within 0.001 .* a difference of "
        ):
            restore(folder, "mobilenet")

    def test_a_file_of_another_hash_is_refused(self) -> None:
        with self.assertRaisesRegex(
            Fault, f"^Expected SHA-256 {'0' * 64} for .*model.onnx but received [0-9a-f]{{64}}$"
        ):
            restore(self.altered("mobilenet", sha256="0" * 64), "mobilenet")

    def test_a_missing_file_is_refused(self) -> None:
        with self.assertRaisesRegex(Fault, "^Expected a file for .*none.onnx but received none$"):
            restore(self.altered("mobilenet", file="none.onnx"), "mobilenet")

    def test_another_architecture_is_refused(self) -> None:
        with self.assertRaisesRegex(Fault, "^Expected .* of .*model.onnx but received "):
            restore(self.folders["wide-resnet"], "mobilenet")

    def test_a_graph_with_a_layer_too_many_or_too_few_is_refused(self) -> None:
        for change, message in (("more", "layers for"), ("less", "Gemm for head .* received the end")):
            graph = onnx.load(self.folders["wide-resnet"] / "model.onnx")
            last = next(node for node in graph.graph.node if node.op_type == "Gemm")
            if change == "more":
                graph.graph.node.append(onnx.helper.make_node("Gemm", list(last.input), ["beside"]))
            else:
                graph.graph.node.remove(last)
            with self.subTest(change=change), self.assertRaisesRegex(Fault, message):
                restore(self.with_graph("wide-resnet", graph), "wide-resnet")

    def test_weights_of_another_shape_are_refused(self) -> None:
        folder = self.altered("mobilenet")
        (folder / "labels.json").write_text(json.dumps([{"class": "n1", "label": "one"}]))
        with self.assertRaisesRegex(
            Fault, r"^Expected weights of shape \(1, 512\) for classifier.3 of .* received \(5, 512\)$"
        ):
            restore(folder, "mobilenet")

    def test_a_file_that_is_no_graph_is_refused(self) -> None:
        file = self.root / "words.onnx"
        file.write_text("no graph")
        with self.assertRaisesRegex(Fault, "^Expected an ONNX graph for .*words.onnx but received something else$"):
            list(layers_of(file))


if __name__ == "__main__":
    unittest.main()
