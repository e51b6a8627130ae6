"""The command `models`; needs the standard library alone: python -m unittest tests/models/pipeline/test_main.py"""

import os
import subprocess
import sys

from folder import FolderTest
from pipeline.recipe import MODELS


def models(*words: object) -> subprocess.CompletedProcess[str]:
    """The command without any package beside the standard library."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "pipeline", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(MODELS), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


class CommandTest(FolderTest):
    def test_help_is_short_and_names_every_command(self) -> None:
        done = models("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLess(len(done.stdout.splitlines()), 30)
        for command in ("fetch", "export", "quantize", "optimize", "check", "pack", "build", "compare", "retrain", "train"):
            self.assertIn(f"\n    {command} ", done.stdout)

    def test_wrong_usage_ends_with_status_2(self) -> None:
        for words in (
            (),
            ("paint",),
            ("build",),
            ("build", "mobilenet", "--random-weights", "-1"),
            ("build", "mobilenet", "--random-weights", 2**32),
            ("build", "mobilenet", "--random-weights", 1, "--weights", "a"),
            ("build", "mobilenet", "--version", "../up"),
            ("optimize",),
            ("optimize", "mobilenet", "--folder", "models/mobilenet"),
            ("optimize", "--folder", "models/mobilenet", "--out", "elsewhere"),
            ("train",),
            ("train", "letters"),
            ("train", "digits"),
        ):
            with self.subTest(words=words):
                done = models(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("usage: models", done.stderr)

    def test_a_fault_is_one_sentence_and_status_1(self) -> None:
        no_folder = "^Expected a model folder with model.json and labels for /nowhere but received"
        no_data = "^Expected a folder or a Parquet file for --data but received /nowhere"
        for words, expected in (
            (("build", "nothing"), '^Expected one of efficientnet-lite0, .* for RECIPE but received "nothing"'),
            (("build", "mobilenet", "--data", "/nowhere"), no_data),
            (("optimize", "--folder", "/nowhere"), no_folder),
            (("train", "digits", "--data", "/nowhere"), "^Expected MNIST's file train-images-idx3-ubyte, .* but received none"),
        ):
            with self.subTest(words=words):
                done = models(*words)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertRegex(done.stderr, expected)
                self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_a_step_prints_its_result_and_is_skipped_the_second_time(self) -> None:
        first, second = (models("fetch", "mobilenet", "--work", self.folder) for _ in range(2))
        self.assertEqual((first.returncode, second.returncode), (0, 0))
        self.assertIn(f"weights\t{MODELS / 'mobilenet' / 'model.onnx'}", first.stdout)
        self.assertEqual(first.stdout, second.stdout)
        self.assertNotIn("done before", first.stderr)
        self.assertIn("mobilenet: fetch (done before)", second.stderr)
