"""Reads what `torch.save` wrote, without PyTorch: weights by name, as numpy arrays. No code in the file is run.

    tensors, trained = read_checkpoint(Path("wide_resnet50_2-9ba9bcbe.pth"))

A file is a pickle of nested dictionaries and lists (`pipeline/unpickle.py`), in which a tensor is a part of a storage, and
the storages' bytes: since PyTorch 1.6 the uncompressed entries of a zip archive, before that one after the other.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pipeline.faults import Fault
from pipeline.unpickle import STORAGES, Refused, Storage, Tensor, unpickle

MAGIC = 0x1950A86A20F9469CFC6C  # what files before PyTorch 1.6 begin with
PROTOCOL = 1001  # of those files
DAMAGES = (OSError, EOFError, ValueError, LookupError, TypeError, OverflowError, RuntimeError, struct.error)
"""What reading a file raises that is damaged or of another kind."""


def read_checkpoint(file: Path) -> tuple[Mapping[str, np.ndarray], dict]:
    """The tensors of a state, or of the averaged one of a checkpoint of `training/`, and the checkpoint's other entries.

    Numbers are as they were stored, bfloat16 as float32; an array may be a view, and none can be written to. Raises Fault.
    """
    try:
        content, read = _zipped(file) if zipfile.is_zipfile(file) else _joined(file)
        rest: dict = {}
        if isinstance(content, dict) and isinstance(content.get("average"), dict) and "wnids" in content:
            content, rest = content["average"], content
        if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
            raise Fault(f"Expected tensors by name for {file} but received something else")
        storages = {storage: read(storage) for storage in {value.storage for value in content.values()}}
        return {name: _array(value, storages[value.storage]) for name, value in content.items()}, rest
    except Refused as cause:
        raise Fault(f"Expected weights in PyTorch's format for {file} but received {cause}") from cause
    except (*DAMAGES, zipfile.BadZipFile) as cause:
        found = "a file cut short or of another kind"
        raise Fault(f"Expected weights in PyTorch's format for {file} but received {found}") from cause


Read = Callable[[Storage], np.ndarray]
"""The numbers of a storage, in this machine's byte order."""


def _zipped(file: Path) -> tuple[object, Read]:
    archive = zipfile.ZipFile(file)
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    for entry in entries.values():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise Refused(f"the compressed entry {entry.filename}")
    if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
        raise Refused("entries of more bytes than the file has")
    order = archive.read(entries["byteorder"]).decode() if "byteorder" in entries else "little"
    if order not in ("little", "big"):
        raise Refused(f'the byte order "{order}"')

    def read(storage: Storage) -> np.ndarray:
        entry = entries[f"data/{storage.key}"]
        if entry.file_size != storage.bytes:
            raise Refused(f"{entry.file_size} bytes for a storage of {storage.bytes}")
        return _numbers(archive.read(entry), storage, order)

    return unpickle(io.BytesIO(archive.read(entries["data.pkl"]))), read


def _joined(file: Path) -> tuple[object, Read]:
    stream = io.BytesIO(file.read_bytes())
    if unpickle(stream) != MAGIC or unpickle(stream) != PROTOCOL:
        raise Refused("a file of another kind")
    order = "little" if unpickle(stream)["little_endian"] else "big"
    found: dict[str, Storage] = {}
    content = unpickle(stream, found)
    places = {}
    for key in unpickle(stream):
        (count,) = struct.unpack("<q", stream.read(8))
        if count != found[key].count:
            raise Refused(f"{count} numbers for a storage of {found[key].count}")
        places[key] = stream.tell()
        stream.seek(found[key].bytes, io.SEEK_CUR)
    buffer = stream.getbuffer()
    return content, lambda storage: _numbers(buffer[places[storage.key] :][: storage.bytes], storage, order)


def _numbers(content: bytes | memoryview, storage: Storage, order: str) -> np.ndarray:
    kind = np.dtype(STORAGES[storage.kind]).newbyteorder("<" if order == "little" else ">")
    numbers = np.frombuffer(content, kind, storage.count)
    if storage.kind == "BFloat16Storage":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(kind.newbyteorder("="), copy=False)


def _array(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """The tensor as a view, which takes no memory whatever its shape is; raises Refused where it leaves its storage."""
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    if 0 not in tensor.shape and last >= len(numbers):
        raise Refused(f"a tensor that ends at {last} of {len(numbers)} numbers")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    part = numbers[tensor.offset :] if 0 not in tensor.shape else numbers[:0]
    return as_strided(part, tensor.shape, strides, writeable=False)
