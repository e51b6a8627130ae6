"""Which instruction-set class a processor has: a variant of a model is written for one of them.

    classes_here()                                         ("x64-avx512-vnni", "x64-avx512") on a Zen 4 or Ice Lake
    instruction_classes("x86_64", frozenset({"avx2"}))     ("x64-avx2",)

The service reads the same file by the same rules and takes the first variant of a card whose class is in the list;
tests/models/pipeline/processors.json holds both to one table.
Needs the standard library alone.
"""

import platform
from pathlib import Path

INT8_CLASSES = ("x64-avx512-vnni", "x64-avx2-vnni", "arm64")
"""Where int8 is faster: elsewhere on x64 the products saturate at 16 bits and are no faster than float32."""


def instruction_classes(machine: str, flags: frozenset[str]) -> tuple[str, ...]:
    """The classes whose variants a processor may run, best first; `machine`: uname's name, `flags`: /proc/cpuinfo's."""
    if machine.lower() in ("arm64", "aarch64"):
        return ("arm64",)
    if machine.lower() not in ("x86_64", "amd64"):
        return ()
    if "avx512f" in flags:
        return ("x64-avx512-vnni", "x64-avx512") if "avx512_vnni" in flags else ("x64-avx512",)
    if "avx2" in flags:
        return ("x64-avx2-vnni", "x64-avx2") if "avx_vnni" in flags else ("x64-avx2",)
    return ()


def classes_here(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The classes of the processor that this runs on; none where the file is missing, as outside Linux."""
    return instruction_classes(platform.machine(), _flags(cpuinfo))


def class_for(precision: str, classes: tuple[str, ...]) -> str | None:
    """The class that a file of `precision` written on such a processor is for; None where there is none."""
    for name in classes:
        if name in INT8_CLASSES if precision == "int8" else not name.endswith("-vnni"):
            return name
    return None


def _flags(cpuinfo: Path) -> frozenset[str]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
