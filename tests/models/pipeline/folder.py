"""What the tests of the pipeline share: a folder that is removed, silence, and the wording of faults."""

import contextlib
import hashlib
import io
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

from pipeline.faults import Fault


class FolderTest(unittest.TestCase):
    """`self.folder` is empty and removed after each test; what is written on stderr goes to `self.said`."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        self.said = io.StringIO()
        self.enterContext(contextlib.redirect_stderr(self.said))

    def assert_fault(self, pattern: str, work: Callable[..., object], *given: object, **named: object) -> None:
        """Asserts that the work raises a Fault of one line that the pattern is found in."""
        with self.assertRaisesRegex(Fault, pattern) as caught:
            work(*given, **named)
        self.assertNotIn("\n", str(caught.exception))


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
