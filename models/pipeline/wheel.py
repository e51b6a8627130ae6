"""Published wheels as pip brings them, with its hash checked; nothing is installed and no code in them runs.

file = fetch_wheel(Wheel("ukis-csmask", "1.0.0", "898d6efe..."), Path("models/.work/clouds-ukis"))
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.faults import Fault
from pipeline.steps import hash_of_file


@dataclass(frozen=True)
class Wheel:
    """One file of the Python package index; `sha256` in hexadecimal digits, or None where what is in it is checked."""

    package: str
    version: str
    sha256: str | None


def fetch_wheel(wheel: Wheel, folder: Path) -> Path:
    """The wheel's file in the folder, brought by pip unless it is there; raises Fault."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"
    for file in folder.glob(pattern):
        if wheel.sha256 is not None and hash_of_file(file) == wheel.sha256:
            return file
        file.unlink()
    with TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "requirements.txt"
        sha256 = "" if wheel.sha256 is None else f" --hash=sha256:{wheel.sha256}"
        wanted.write_text(f"{wheel.package}=={wheel.version}{sha256}\n", encoding="utf-8")
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:")
        command = (sys.executable, "-m", "pip", "download", *options, "--dest", folder, "--requirement", wanted)
        done = subprocess.run(command, capture_output=True, text=True)
    file = next(folder.glob(pattern), None)
    if done.returncode != 0 or file is None:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise Fault(f"Expected {wheel.package} {wheel.version} from pip but received: {said}")
    return file
