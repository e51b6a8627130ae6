"""The published cloud networks, from a wheel made here: python -m unittest tests/models/pipeline/test_ukis.py"""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import onnx
from onnx import TensorProto, helper

from folder import FolderTest, sha256
from pipeline import ukis
from pipeline.__main__ import main
from pipeline.wheel import Wheel, fetch_wheel

ABOUT = "Metadata-Version: 2.1\nName: ukis-csmask\nVersion: 1.0.0\n"
KIND = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def graph(bands: int) -> bytes:
    """A network of one convolution with the published shapes: cloud where the first band is high."""
    weights = [0.0] * (3 * bands)
    weights[bands] = 1.0
    values = [helper.make_tensor("w", TensorProto.FLOAT, [3, bands, 1, 1], weights)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch_size", count, ukis.TILE, ukis.TILE])
        for name, count in (("input", bands), ("output", 3))
    ]
    nodes = [helper.make_node("Conv", ["input", "w"], ["output"])]
    made = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], values)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class WheelTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.shop, self.work = self.folder / "shop", self.folder / "work"
        self.shop.mkdir()
        self.file = self.shop / "ukis_csmask-1.0.0-py3-none-any.whl"
        graphs = {network: graph(network.bands) for network in ukis.NETWORKS}
        with zipfile.ZipFile(self.file, "w") as archive:
            for network, content in graphs.items():
                archive.writestr(f"{network.path}.onnx", content)
                statistics = {"img": [[0.25] * network.bands, [0.5] * network.bands]}
                archive.writestr(f"{network.path}.json", json.dumps({"data": {"dataset_statistics": statistics}}))
            for name, text in (("METADATA", ABOUT), ("WHEEL", KIND), ("RECORD", "")):
                archive.writestr(f"ukis_csmask-1.0.0.dist-info/{name}", text)
        self.wheel = Wheel("ukis-csmask", "1.0.0", sha256(self.file.read_bytes()))
        networks = tuple(replace(network, sha256=sha256(content)) for network, content in graphs.items())
        self.enterContext(mock.patch.multiple(ukis, WHEEL=self.wheel, NETWORKS=networks))
        settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.shop), "PIP_CONFIG_FILE": "/dev/null"}
        self.enterContext(mock.patch.dict("os.environ", settings))


class FetchWheelTest(WheelTest):
    def test_pip_brings_the_wheel_once(self) -> None:
        brought = fetch_wheel(self.wheel, self.work)
        self.assertEqual(brought.read_bytes(), self.file.read_bytes())
        self.file.unlink()
        self.assertEqual(fetch_wheel(self.wheel, self.work), brought)

    def test_a_file_with_another_hash_is_brought_again(self) -> None:
        self.work.mkdir()
        (self.work / self.file.name).write_bytes(b"half")
        self.assertEqual(fetch_wheel(self.wheel, self.work).read_bytes(), self.file.read_bytes())

    def test_another_wheel_than_the_pinned_one_is_refused(self) -> None:
        self.assert_fault(
            "Expected ukis-csmask 1.0.0 from pip", fetch_wheel, replace(self.wheel, sha256="0" * 64), self.work
        )
        self.assertEqual(list(self.work.iterdir()), [])


class BuildTest(WheelTest):
    def test_four_folders_are_written_that_the_service_proves(self) -> None:
        self.assertEqual(main(["build", "clouds-ukis", "--out", str(self.folder), "--work", str(self.work)]), 0)
        names = sorted(file.parent.name for file in self.folder.glob("clouds-ukis-*/model.json"))
        ends = ("4b-l1c@1.0.0", "4b-l2a@1.0.0", "6b-l1c@1.0.0", "6b-l2a@1.0.0")
        self.assertEqual(names, [f"clouds-ukis-{end}" for end in ends])
        card = json.loads((self.folder / names[3] / "model.json").read_text(encoding="utf-8"))
        self.assertEqual(card["name"], "clouds-ukis-6b-l2a")
        self.assertEqual(card["input"]["bands"], ["B02", "B03", "B04", "B08", "B11", "B12"])
        self.assertEqual((card["input"]["meters"], card["input"]["levels"]), (20, ["L2A"]))
        self.assertEqual((card["input"]["mean"], card["input"]["std"]), ([0.25] * 6, [0.5] * 6))
        self.assertEqual(card["sha256"], sha256((self.folder / names[3] / "model.onnx").read_bytes()))
        cloud = card["golden"]["logits"][16:32]
        self.assertEqual(len(card["golden"]["logits"]), 48)
        self.assertGreater(max(cloud) - min(cloud), 0.1)  # follows the band
        self.assertEqual(json.loads((self.folder / names[0] / "model.json").read_text())["input"]["meters"], 10)

    def test_a_graph_with_another_hash_is_refused(self) -> None:
        networks = (replace(ukis.NETWORKS[0], sha256="0" * 64),)
        with mock.patch.object(ukis, "NETWORKS", networks):
            self.assert_fault(
                "Expected SHA-256 0{64} for ukis_csmask/model_4b_l1c.onnx", ukis.build, self.folder, self.work
            )
        self.assertEqual(list(Path(self.folder).glob("clouds-ukis-*")), [])

    def test_the_graph_is_taken_as_it_is(self) -> None:
        file, _, _ = ukis.unpack(ukis.NETWORKS[0], self.file, self.work)
        self.assertEqual(onnx.load(file).graph.output[0].name, "output")
