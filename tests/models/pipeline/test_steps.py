"""Steps and results; needs the standard library alone: python -m unittest tests/models/pipeline/test_steps.py"""

import contextlib
import io
import sys
import types
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

from folder import FolderTest
from pipeline import steps
from pipeline.faults import Fault
from pipeline.recipe import read_recipe
from pipeline.steps import Context, Options, hash_of_data, progress, run_steps


def step(run, version: int = 1, given: object = None, **more: object) -> types.SimpleNamespace:
    """A step that depends on `given` and on the result before."""

    def inputs(context: Context) -> dict:
        return {"given": given, "before": dict(context.results)}

    return types.SimpleNamespace(VERSION=version, inputs=inputs, run=run, **more)


class StepsTest(FolderTest):
    def setUp(self) -> None:
        super().setUp()
        self.options = Options(work=self.folder / "work")
        gates = {"min_agreement": 0.9, "max_top1_loss": 0.01, "max_load_ms": 500}
        self.recipe = replace(read_recipe("mobilenet"), gates=gates)
        self.runs: list[str] = []

    def writes(self, name: str):
        def run(context: Context) -> dict:
            self.runs.append(name)
            file = context.folder / "file"
            self.assertEqual(list(context.folder.iterdir()), [])
            file.write_text(name, encoding="utf-8")
            return {"name": name, "file": str(file)}

        return run

    def run_with(self, **modules: types.SimpleNamespace) -> Context:
        names = {f"pipeline.{name}": module for name, module in modules.items()}
        with mock.patch.dict(sys.modules, names), mock.patch.object(steps, "STEPS", tuple(modules)):
            return run_steps(self.recipe, self.options, list(modules)[-1])

    def test_what_was_done_before_is_skipped_and_its_result_is_the_same(self) -> None:
        first = self.run_with(fetch=step(self.writes("fetch")), export=step(self.writes("export")))
        second = self.run_with(fetch=step(self.writes("fetch")), export=step(self.writes("export")))
        self.assertEqual(self.runs, ["fetch", "export"])
        self.assertEqual(first.results, second.results)
        self.assertTrue(Path(second.result("export")["file"]).is_file())

    def test_other_inputs_or_another_version_of_the_code_run_a_step_and_those_after_it_again(self) -> None:
        for number, fetch in enumerate((step(self.writes("1"), given="other"), step(self.writes("2"), version=2))):
            self.run_with(fetch=step(self.writes("fetch")), export=step(self.writes("export")))
            self.runs.clear()
            self.run_with(fetch=fetch, export=step(self.writes("export")))
            self.assertEqual(self.runs, [str(number + 1), "export"])

    def test_a_step_that_was_interrupted_is_done_again_from_an_empty_folder(self) -> None:
        def stops(context: Context) -> dict:
            (context.folder / "half").write_text("", encoding="utf-8")
            raise Fault("stopped")

        with self.assertRaises(Fault):
            self.run_with(fetch=step(stops))
        self.run_with(fetch=step(self.writes("fetch")))
        self.assertEqual(self.runs, ["fetch"])

    def test_a_result_whose_file_is_gone_is_made_again(self) -> None:
        found = self.run_with(fetch=step(self.writes("fetch"))).result("fetch")
        Path(found["file"]).unlink()
        self.run_with(fetch=step(self.writes("fetch")))
        self.assertEqual(self.runs, ["fetch", "fetch"])

    def test_a_step_says_itself_whether_what_it_wrote_elsewhere_is_there(self) -> None:
        for holds, runs in ((True, ["pack"]), (False, ["pack", "pack"])):
            self.runs.clear()
            for _ in range(2):
                here = lambda _context, _result, holds=holds: holds
                self.run_with(pack=step(self.writes("pack"), given=holds, holds=here))
            self.assertEqual(self.runs, runs)

    def test_the_work_folder_may_be_moved(self) -> None:
        self.run_with(fetch=step(self.writes("fetch")))
        moved = self.options.work.with_name("moved")
        self.options.work.rename(moved)
        self.options = Options(work=moved)
        file = self.run_with(fetch=step(self.writes("fetch"))).result("fetch")["file"]
        self.assertEqual(self.runs, ["fetch"])
        self.assertTrue(file.startswith(str(moved.resolve())))

    def test_random_weights_take_the_gates_on_accuracy_away_and_say_so(self) -> None:
        self.options = Options(work=self.options.work, random_weights=7)
        context = self.run_with(fetch=step(self.writes("fetch")))
        self.assertEqual(context.recipe.gates, {"max_load_ms": 500})
        self.assertIn("random weights, so these gates are off: min_agreement, max_top1_loss", self.said.getvalue())
        self.assertEqual(context.version, "random-7")

    def test_the_version_is_that_of_the_command_line_or_the_recipes(self) -> None:
        recipe = read_recipe("mobilenet")
        self.assertEqual(Context(recipe, Options()).version, recipe.version)
        self.assertEqual(Context(recipe, Options(version="mine-2")).version, "mine-2")


class DataTest(FolderTest):
    def test_a_folder_has_another_key_when_a_file_is_added_or_changed(self) -> None:
        keys = []
        for name, content in (("a.jpg", b"1"), ("a.jpg", b"12"), ("b.jpg", b"1")):
            (self.folder / name).write_bytes(content)
            keys.append(hash_of_data(self.folder))
            self.assertEqual(hash_of_data(self.folder), keys[-1])
        self.assertEqual(len(set(keys)), 3)
        self.assertIsNone(hash_of_data(None))
        expected = "Expected a folder or a file of images but received /nowhere"
        self.assert_fault(expected, hash_of_data, Path("/nowhere"))


class ProgressTest(unittest.TestCase):
    def test_a_log_gets_a_line_for_each_quarter_and_a_terminal_one_line(self) -> None:
        for is_terminal, expected in ((False, 5), (True, 1)):
            out = io.StringIO()
            out.isatty = lambda is_terminal=is_terminal: is_terminal
            with contextlib.redirect_stderr(out):
                show = progress("calibration", 200)
                for done in range(201):
                    show(done)
            self.assertEqual(out.getvalue().count("\n"), expected)
            self.assertTrue(out.getvalue().endswith("calibration: 100 %\n"))
