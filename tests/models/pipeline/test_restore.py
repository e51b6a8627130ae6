"""Weights out of graphs; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_restore.py"""

import json
import shutil
import tempfile
from pathlib import Path

import onnx
import torch
from folder import FolderTest, sha256
from training.architectures import MEAN, STD, build
from pipeline.export import write_graph
from pipeline.images import golden, normalized
from training.light import Range
from pipeline.recipe import MODELS, read_recipe
from state import tensors_of
from training.restore import restore
from torch import nn

SIDE = 32  # pixels: the smallest that both architectures take in full
CLASSES = 5
PAIR = ("wide-resnet", "mobilenet")
ARCHITECTURES = (*PAIR, "mobilenet-light")
GIVEN = {"crop": SIDE, "mean": MEAN, "std": STD}
IMAGE = normalized(golden(SIDE)[None], MEAN, STD)


def trained(architecture: str) -> nn.Module:
    """A model whose batch norms have seen something: none of them does nothing."""
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


class RestoreTest(FolderTest):
    @classmethod
    def setUpClass(cls) -> None:
        cls.root = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.models = {name: trained(name) for name in ARCHITECTURES}
        for name, model in cls.models.items():
            cls.write(cls.root / name, model)

    @classmethod
    def write(cls, folder: Path, model: nn.Module) -> None:
        """A model folder as far as `restore` reads it."""
        folder.mkdir()
        graph = write_graph(folder.name, tensors_of(model), CLASSES, SIDE, "the test")
        onnx.save(graph, folder / "model.onnx")
        with torch.inference_mode():
            logits = model(torch.from_numpy(IMAGE))[0].tolist()
        card = {
            "file": "model.onnx",
            "sha256": sha256((folder / "model.onnx").read_bytes()),
            "labels": "labels.json",
            "input": GIVEN,
            "golden": {"logits": logits, "tolerance": 0.001},
        }
        (folder / "model.json").write_text(json.dumps(card))
        (folder / "labels.json").write_text(json.dumps([{"class": f"n{i}", "label": str(i)} for i in range(CLASSES)]))

    def altered(self, name: str, graph: bytes | None = None, **changes: object) -> Path:
        """A copy of a folder whose card says something else, or of another graph."""
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / name
        shutil.copytree(self.root / name, folder)
        if graph is not None:
            (folder / "model.onnx").write_bytes(graph)
            changes["sha256"] = sha256(graph)
        card = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**card, **changes}))
        return folder

    def test_the_restored_module_answers_any_image_as_the_exported_one_did_also_a_second_time(self) -> None:
        images = torch.randn(3, 3, SIDE, SIDE)
        for name in ARCHITECTURES:
            once = restore(self.root / name, name)
            self.write(self.folder / name, once)
            twice = restore(self.folder / name, name)
            for restored in (once, twice):
                with self.subTest(name=name), torch.inference_mode():
                    self.assertLess((restored(images) - self.models[name](images)).abs().max().item(), 1e-4)

    def test_every_batch_norm_that_was_folded_does_nothing_but_add(self) -> None:
        restored = restore(self.root / "mobilenet", "mobilenet")
        norms = [module for module in restored.modules() if isinstance(module, nn.BatchNorm2d)]
        ones = torch.ones(1, norms[0].num_features, 2, 2)
        self.assertTrue(torch.allclose(norms[0](ones) - ones, norms[0].bias.view(1, -1, 1, 1), atol=1e-6))

    def test_the_shipped_folders_can_be_restored(self) -> None:
        for name in PAIR:
            with self.subTest(name=name):
                self.assertFalse(restore(MODELS / name, read_recipe(name).architecture).training)

    def test_what_a_card_or_a_graph_contradicts_is_refused(self) -> None:
        golden = {"logits": [0.0] * CLASSES, "tolerance": 0.001}
        other_hash = f"^Expected SHA-256 {'0' * 64} for .*model.onnx but received [0-9a-f]{{64}}$"
        for changes, architecture, expected in (
            ({"golden": golden}, "mobilenet", "^Expected the golden logits of .*model.json within 0.001 .* difference"),
            ({"sha256": "0" * 64}, "mobilenet", other_hash),
            ({"file": "none.onnx"}, "mobilenet", "^Expected a file for .*none.onnx but received none$"),
            ({}, "wide-resnet", "^Expected .* of .*model.onnx but received "),
            ({"graph": b"no graph"}, "mobilenet", "^Expected an ONNX graph for .*model.onnx but received something"),
        ):
            with self.subTest(changes=changes, architecture=architecture):
                self.assert_fault(expected, restore, self.altered("mobilenet", **changes), architecture)
        folder = self.altered("mobilenet")
        (folder / "labels.json").write_text(json.dumps([{"class": "n1", "label": "one"}]))
        expected = r"^Expected weights of shape \[\(1, 512\), .*\] for classifier.3 of .* received \[\(5, 512\), .*\]$"
        self.assert_fault(expected, restore, folder, "mobilenet")

    def test_a_graph_with_a_layer_too_many_or_too_few_is_refused(self) -> None:
        for change, expected in (("more", "layers for"), ("less", "Gemm for head .* received the end")):
            graph = onnx.load(self.root / "wide-resnet" / "model.onnx")
            last = next(node for node in graph.graph.node if node.op_type == "Gemm")
            if change == "more":
                graph.graph.node.append(onnx.helper.make_node("Gemm", list(last.input), ["beside"]))
            else:
                graph.graph.node.remove(last)
            folder = self.altered("wide-resnet", graph=graph.SerializeToString())
            with self.subTest(change=change):
                self.assert_fault(expected, restore, folder, "wide-resnet")
