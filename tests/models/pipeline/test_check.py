"""Measurements: python -m unittest tests/models/pipeline/test_check.py"""

import json

from folder import FolderTest
from pipeline.check import load_ms, node_counts, products_left, service_runtime, share_of_same, size_of
from pipeline.recipe import MODELS
from tiny import write_tiny


class CheckTest(FolderTest):
    def test_the_nodes_of_a_graph_are_counted_and_products_are_those_that_were_not_excluded(self) -> None:
        file = write_tiny(self.folder / "tiny.onnx")
        counts = node_counts(file)
        self.assertEqual((counts["Conv"], counts["Relu"], counts["Gemm"], counts["QLinearConv"]), (2, 3, 1, 0))
        self.assertEqual([products_left(counts, excluded) for excluded in (0, 2, 3, 4)], [3, 1, 0, 0])
        self.assertGreater(load_ms(file, "all"), 0)

    def test_the_size_is_that_of_the_graph_and_of_its_weights(self) -> None:
        (self.folder / "a.onnx").write_bytes(bytes(10))
        (self.folder / "a.bin").write_bytes(bytes(5))
        self.assertEqual(size_of(self.folder, {"file": "a.onnx", "externalData": [{"file": "a.bin"}]}), 15)
        self.assertEqual(size_of(self.folder, {"file": "a.onnx"}), 10)

    def test_the_share_is_of_the_images_that_both_have_of_which_there_must_be_one(self) -> None:
        one, other = {"1": "cat", "2": "dog", "3": "cat"}, {"1": "cat", "2": "cat", "4": "cat"}
        self.assertEqual(share_of_same(one, other), 0.5)
        self.assert_fault("Expected the same images", share_of_same, {"1": "cat"}, {"2": "cat"})

    def test_the_service_s_version_is_the_one_that_package_json_pins(self) -> None:
        package = json.loads((MODELS.parent / "package.json").read_text(encoding="utf-8"))
        self.assertEqual(service_runtime(), package["dependencies"]["onnxruntime-node"])
