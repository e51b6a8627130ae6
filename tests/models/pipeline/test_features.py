"""python -m unittest tests/models/pipeline/test_features.py, with models/ on PYTHONPATH; needs onnxruntime."""

import contextlib
import io
import json
import shutil
from unittest import mock

import numpy as np
import onnx
from folder import FolderTest, sha256
from pipeline import node
from pipeline.__main__ import main
from pipeline.faults import Fault
from pipeline.features import hide
from pipeline.graph import open_session
from pipeline.images import probes
from pipeline.optimize import add_variants, to_input
from pipeline.processor import classes_here
from pipeline.recipe import MODELS

SHIPPED = MODELS / "wide-resnet"
FILES = ("model.onnx", "int8-u8s8.onnx", "int8-s8s8.onnx")


class FeaturesTest(FolderTest):
    def plain_folder(self) -> dict:
        """The shipped folder's files for any processor without the output, in `self.folder`; its card."""
        card = json.loads((SHIPPED / "model.json").read_text())
        card["variants"] = [graph for graph in card["variants"] if graph["optimizedBy"] is None]
        shutil.copy(SHIPPED / "labels.json", self.folder)
        for name in FILES:
            shutil.copy(SHIPPED / name, self.folder)
            self.strip(name)
        for graph in (card, *card["variants"]):
            del graph["features"]
            graph["sha256"] = sha256((self.folder / graph["file"]).read_bytes())
        (self.folder / "model.json").write_text(json.dumps(card))
        return card

    def strip(self, name: str) -> None:
        model = onnx.load(self.folder / name)
        if model.graph.node[-1].name == "features":
            del model.graph.node[-1]
        onnx.save(model, self.folder / name)
        hide(self.folder / name)

    def features(self) -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            return main(["features", str(self.folder)])

    def test_adds_what_the_classifier_reads_and_leaves_the_logits_as_they_were(self) -> None:
        self.plain_folder()
        before = {name: (self.folder / name).read_bytes() for name in FILES}

        self.assertEqual(self.features(), 0)

        card = json.loads((self.folder / "model.json").read_text())
        for graph in (card, *card["variants"]):
            file = self.folder / graph["file"]
            self.assertEqual(graph["sha256"], sha256(file.read_bytes()))
            session, plain = open_session(file), open_session(onnx.load_from_string(before[file.name]))
            for image in probes(4, 72):
                given = {graph["input"]["name"]: to_input(image, graph["input"])}
                logits, features = session.run([graph["output"]["name"], graph["features"]["name"]], given)
                self.assertEqual(features.shape, (1, 256))
                np.testing.assert_array_equal(logits, plain.run(None, given)[0])
        # Of the float32 graph, the classifier made of its weights gives the logits again.
        model = onnx.load(self.folder / "model.onnx")
        weights = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
        given = {"image": to_input(probes(1, 72)[0], card["input"])}
        logits, features = open_session(self.folder / "model.onnx").run(None, given)
        np.testing.assert_allclose(features @ weights["head.weight"].T + weights["head.bias"], logits, atol=1e-4)

    def test_writes_the_shipped_files(self) -> None:
        self.plain_folder()

        self.features()

        for name in FILES:
            self.assertEqual((self.folder / name).read_bytes(), (SHIPPED / name).read_bytes(), name)

    def test_names_the_output_of_a_file_that_is_optimized_later(self) -> None:
        self.plain_folder()
        self.features()

        for name in add_variants(self.folder, classes_here()):
            card = json.loads((self.folder / "model.json").read_text())
            self.assertIn("features", next(graph for graph in card["variants"] if graph["name"] == name))

    def test_hides_the_output_of_a_float32_graph(self) -> None:
        card = self.plain_folder()
        self.features()

        hide(self.folder / "model.onnx")

        self.assertEqual(sha256((self.folder / "model.onnx").read_bytes()), card["sha256"])

    def test_leaves_the_folder_as_it_was_when_the_card_cannot_be_formatted(self) -> None:
        self.plain_folder()
        before = {file.name: file.read_bytes() for file in self.folder.iterdir()}

        with mock.patch.object(node, "formatted", side_effect=Fault("Expected Node.js")):
            self.assertEqual(self.features(), 1)

        self.assertEqual({file.name: file.read_bytes() for file in self.folder.iterdir()}, before)

    def test_refuses_a_graph_that_has_the_output(self) -> None:
        self.plain_folder()
        self.features()
        before = (self.folder / "model.json").read_bytes()

        self.assertEqual(self.features(), 1)

        self.assertRegex(self.said.getvalue(), "logits as the only output, for .*model.onnx but received another graph")
        self.assertEqual((self.folder / "model.json").read_bytes(), before)
