"""Weights and their hashes; needs the standard library alone: python -m unittest tests/models/pipeline/test_fetch.py"""

import contextlib
import hashlib
import http.server
import io
import sys
import tempfile
import threading
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

from pipeline import fetch
from pipeline.faults import Fault
from pipeline.recipe import Recipe, Weights, read_recipe
from pipeline.steps import Context, Options

CONTENT = bytes(range(256)) * 8192  # 2 MiB: two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


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


class FetchTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.said = io.StringIO()
        quiet = contextlib.redirect_stderr(self.said)
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)

    def written(self, name: str = "weights.pth", content: bytes = CONTENT) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        return file

    def run_fetch(self, recipe: Recipe, **options: object) -> dict:
        context = Context(recipe, Options(work=self.folder / "work", **options), self.folder / "step")
        fetch.inputs(context)
        return fetch.run(context)


class LocalFileTest(FetchTest):
    published = replace(
        read_recipe("mobilenet-v2"), weights=Weights(source="torchvision", name="A_Weights.B", sha256=SHA256[:8])
    )

    def test_a_local_file_stands_in_when_its_hash_is_the_recipes(self) -> None:
        found = self.run_fetch(self.published, weights=self.written())
        self.assertEqual(
            (found["sha256"], found["whole"], found["own"], found["kind"]), (SHA256, False, False, "torch")
        )
        self.assertIn("A_Weights.B", found["origin"])
        self.assertIn(
            "the first 8 digits of the SHA-256 are the recipe's, more are not published", self.said.getvalue()
        )

    def test_a_whole_hash_is_said_to_be_one(self) -> None:
        weights = replace(self.published.weights, sha256=SHA256)
        self.assertTrue(self.run_fetch(replace(self.published, weights=weights), weights=self.written())["whole"])

    def test_a_file_cut_short_or_of_another_hash_stops_everything(self) -> None:
        for content in (CONTENT[:-1], b"", CONTENT + b"\0"):
            file = self.written(content=content)
            found = hashlib.sha256(content).hexdigest()
            with self.assertRaises(Fault) as caught:
                self.run_fetch(self.published, weights=file)
            self.assertEqual(str(caught.exception), f"Expected SHA-256 {SHA256[:8]}... for {file} but received {found}")

    def test_a_version_of_ones_own_does_not_make_other_bytes_the_published_ones(self) -> None:
        with self.assertRaisesRegex(Fault, "Expected SHA-256"):
            self.run_fetch(self.published, weights=self.written(content=b"other"), version="mine")

    def test_a_checkpoint_takes_the_place_of_an_embedded_models_weights_under_a_version_of_its_own(self) -> None:
        file = self.written("checkpoint.pt", b"other")
        with self.assertRaisesRegex(Fault, "Expected --version for .*checkpoint.pt, whose weights are others"):
            self.run_fetch(read_recipe("mobilenet"), weights=file)
        found = self.run_fetch(read_recipe("mobilenet"), weights=file, version="mine")
        self.assertEqual((found["kind"], found["own"]), ("torch", True))

    def test_the_embedded_models_weights_are_the_shipped_graphs(self) -> None:
        for name in ("wide-resnet", "mobilenet"):
            found = self.run_fetch(read_recipe(name))
            self.assertEqual((found["kind"], found["own"], found["whole"]), ("onnx", False, True))

    def test_a_file_that_is_not_there_is_named(self) -> None:
        with self.assertRaisesRegex(Fault, "Expected a file for --weights but received .*none.pth"):
            self.run_fetch(self.published, weights=self.folder / "none.pth")


class RandomWeightsTest(FetchTest):
    def test_random_weights_need_no_file_and_are_called_random(self) -> None:
        found = self.run_fetch(read_recipe("wide-resnet-50-2"), random_weights=7)
        self.assertEqual((found["kind"], found["weights"], found["sha256"]), ("random", None, None))
        self.assertIn("Random weights from seed 7", found["origin"])
        self.assertIn("random weights from seed 7", self.said.getvalue())


class PackageTest(FetchTest):
    recipe = replace(
        read_recipe("efficientnet-lite0"),
        weights=Weights(source="package", package="weights_for_a_test", file="data/a.pth", sha256=SHA256),
    )

    def test_a_file_of_an_installed_package_is_taken(self) -> None:
        package = self.folder / "weights_for_a_test"
        (package / "data").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "data" / "a.pth").write_bytes(CONTENT)
        with mock.patch.object(sys, "path", [str(self.folder), *sys.path]):
            found = self.run_fetch(self.recipe)
        self.assertEqual(found["sha256"], SHA256)
        self.assertIn("data/a.pth of the package weights_for_a_test", found["origin"])

    def test_a_package_that_is_not_installed_is_named_with_the_way_to_it(self) -> None:
        with self.assertRaisesRegex(
            Fault, "Expected the package weights_for_a_test .* bash models/setup.sh efficientnet-lite0"
        ):
            self.run_fetch(self.recipe)


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
        with self.assertRaisesRegex(
            Fault, f"Expected {len(CONTENT)} bytes for whole.pth but received {len(CONTENT) // 2}"
        ):
            self.download("cut.pth")
        self.assertEqual(self.part.stat().st_size, len(CONTENT) // 2)
        self.assertFalse(self.file.exists())

    def test_a_refusal_and_a_server_that_is_not_there_are_told_in_a_sentence(self) -> None:
        with self.assertRaisesRegex(Fault, "Expected whole.pth from http.* but received status 404"):
            self.download("none.pth")
        self.address = "http://127.0.0.1:1"
        with self.assertRaisesRegex(
            Fault, "but received no connection .* --weights takes a file that came another way"
        ):
            self.download("whole.pth")


if __name__ == "__main__":
    unittest.main()
