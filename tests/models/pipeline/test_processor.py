"""Processors; needs the standard library alone: python -m unittest tests/models/pipeline/test_processor.py"""

import itertools
import json
import tempfile
import unittest
from pathlib import Path

from pipeline.processor import class_for, classes_here, instruction_classes

TABLE = Path(__file__).with_name("processors.json")
"""What tests/models/pipeline.test.ts holds the service to."""


class InstructionClassesTest(unittest.TestCase):
    def test_each_processor_has_the_classes_that_the_service_gives_it(self) -> None:
        processors = json.loads(TABLE.read_text(encoding="utf-8"))
        self.assertEqual(len(processors[0]["classes"]), 16)  # every combination of the four flags
        for processor in processors:
            for machine, (flags, classes) in itertools.product(processor["python"], processor["classes"].items()):
                with self.subTest(machine=machine, flags=flags):
                    found = instruction_classes(machine, frozenset(flags.split()) | {"fpu", "sse2", "avx"})
                    self.assertEqual(found, tuple(classes))

    def test_no_flags_are_known_where_there_is_no_cpuinfo(self) -> None:
        self.assertIn(classes_here(Path("no-such-file")), ((), ("arm64",)))

    def test_the_flags_of_the_first_processor_are_read(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix="cpuinfo") as file:
            file.write("processor\t: 0\nvmx flags\t: avx512f\nflags\t\t: fpu avx2\n\n")
            file.write("processor\t: 1\nflags\t\t: avx512f\n")
            file.flush()

            self.assertIn(classes_here(Path(file.name)), (("x64-avx2",), ("arm64",)))


class ClassForTest(unittest.TestCase):
    def test_int8_is_for_classes_that_multiply_bytes_and_float32_for_the_others(self) -> None:
        for here, int8, float32 in (
            (("x64-avx512-vnni", "x64-avx512"), "x64-avx512-vnni", "x64-avx512"),
            (("x64-avx2-vnni", "x64-avx2"), "x64-avx2-vnni", "x64-avx2"),
            (("x64-avx2",), None, "x64-avx2"),
            (("arm64",), "arm64", "arm64"),
            ((), None, None),
        ):
            with self.subTest(here=here):
                self.assertEqual((class_for("int8", here), class_for("float32", here)), (int8, float32))
