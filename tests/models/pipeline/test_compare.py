"""Comparison, by Node.js and dist/; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_compare.py"""

import contextlib
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
from folder import FolderTest, sha256
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from pipeline import compare
from pipeline.__main__ import main
from pipeline.images import golden
from test_report import BLUE, GREEN, LABELS, RED

INPUT = {
    "name": "image",
    "elementType": "float32",
    "layout": "NCHW",
    "resize": 4,
    "crop": 4,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
}


class CommandTest(FolderTest):
    """Two real models through the real service: one sees three colors, the other takes blue for green."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.root = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.data = cls.root / "data"
        sees, misses = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
        misses[2] = [0, 1, 0]
        cls.good, cls.poor = cls.write("good", sees), cls.write("poor", misses)
        for place, (shows, color) in enumerate({RED: (250, 9, 9), GREEN: (9, 250, 9), BLUE: (9, 9, 250)}.items()):
            for number in range(20):
                file = cls.data / shows / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8 + number, 8 + place), color).save(file)
        (cls.data / RED / "words.png").write_text("no image")

    @classmethod
    def write(cls, version: str, weights: np.ndarray) -> Path:
        folder = cls.root / f"hue@{version}"
        folder.mkdir()
        graph = helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
                helper.make_node("Flatten", ["mean"], ["flat"]),
                helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
            ],
            "hue",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(weights, "weights")],
        )
        content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(content, folder / "model.onnx")
        logits = (golden(4) / 255).astype(np.float32).mean((0, 1)) @ weights
        card = {
            "name": "hue",
            "version": version,
            "family": "matrix",
            "file": "model.onnx",
            "sha256": sha256((folder / "model.onnx").read_bytes()),
            "labels": "labels.json",
            "input": INPUT,
            "output": {"name": "logits"},
            "golden": {"logits": logits.tolist(), "tolerance": 0.001},
        }
        (folder / "model.json").write_text(json.dumps(card))
        (folder / "labels.json").write_text(json.dumps([{"class": name, "label": LABELS[name]} for name in LABELS]))
        return folder

    def run_command(self, *words: object) -> tuple[int, str]:
        """Status and output, or the faults."""
        out, rules_of = io.StringIO(), compare.rules_of
        # Here the speed is that of the machine that tests, with whatever else it does.
        looser = lambda *given: replace(rules_of(*given), most_latency_ratio=1e9)
        patient = mock.patch.object(compare, "rules_of", looser)
        with contextlib.redirect_stdout(out), patient:
            status = main(["compare", *map(str, words)])
        return status, out.getvalue() or self.said.getvalue()

    def test_a_better_challenger_may_be_released(self) -> None:
        status, out = self.run_command(self.poor, self.good, "--data", self.data)
        self.assertEqual(status, 0)
        changes = ("60 images of 3 classes", "difference +33.33 points", "gained: blue & more, 0 to 20 of 20")
        for expected in (*changes, "words.png: IMAGE_UNSUPPORTED", "hue@good may be released"):
            self.assertIn(expected, out)

    def test_a_worse_challenger_may_not_and_json_says_by_which_rules(self) -> None:
        status, out = self.run_command(self.good, self.poor, "--data", self.data, "--json")
        found = json.loads(out)
        self.assertEqual((status, found["released"]), (1, False))
        self.assertEqual([rule["name"] for rule in found["rules"] if not rule["passed"]], ["accuracy", "classes"])
        self.assertEqual((found["paired"]["gained"], found["paired"]["lost"]), (0, 20))
        self.assertEqual(found["confusions"], [{"shows": BLUE, "said": GREEN, "old": 0, "new": 20}])

    def test_too_few_images_release_nothing(self) -> None:
        status, out = self.run_command(self.poor, self.good, "--data", self.data, "--limit", 50)
        self.assertEqual(status, 1)  # of the first 50 files one is no image
        self.assertIn("NOT MET  Expected at least 50 for images compared but received 49.", out)

    def test_what_cannot_be_compared_ends_with_status_2(self) -> None:
        for words, expected in (
            ((self.good, self.good, "--data", self.data), "Expected another name or version than hue@good"),
            ((self.good, self.folder / "none", "--data", self.data), "Expected a model folder with model.json"),
            ((self.good, self.poor, "--data", self.folder), "Expected exit status 0 for evaluate.js"),
            ((self.good, self.poor, "--data", self.data, "--recipe", "no"), 'for RECIPE but received "no"'),
        ):
            with self.subTest(expected=expected):
                status, out = self.run_command(*words)
                self.assertEqual(status, 2)
                self.assertIn(expected, out)
