"""Reads what `torch.save` wrote, without PyTorch: weights by name, as numpy arrays. No code in the file is run.

    tensors, trained = read_checkpoint(Path("wide_resnet50_2-9ba9bcbe.pth"))

A file is a pickle of nested dictionaries and lists, in which a tensor is a call of `_rebuild_tensor_v2` on a part of a
storage, and the storages' bytes: since PyTorch 1.6 the uncompressed entries of a zip archive, before that one after the
other. The pickle is a program for a stack machine; here it may make dictionaries, lists, tuples, numbers, texts and
tensors. Every other operation and every other name is refused.
"""

import io
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pipeline.faults import Fault

MAGIC = 0x1950A86A20F9469CFC6C  # what files before PyTorch 1.6 begin with
PROTOCOL = 1001  # of those files
MOST_DIMENSIONS = 8
STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # the upper halves of float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}" for name in STORAGES),
}
"""Module and name of all that a pickle may name."""


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers, found by its key."""

    kind: str
    key: str
    count: int

    @property
    def bytes(self) -> int:
        return self.count * np.dtype(STORAGES[self.kind]).itemsize


@dataclass(frozen=True)
class Tensor:
    """A part of a storage, all in numbers and not in bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Refused(Exception):
    """What was found in place of what a file may hold."""


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


MARK = object()


def unpickle(stream: io.BytesIO, storages: dict[str, Storage] | None = None) -> object:
    """The value of the pickle that begins at the stream's position, which is after it then; tensors are `Tensor`.

    Raises Refused at the first operation, name or call that a state does not need. `storages` receives what is read of.
    """
    storages = {} if storages is None else storages
    stack: list = []
    memo: dict[int, object] = {}
    for operation, given, _ in pickletools.genops(stream):
        match operation.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(MARK)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(given)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(_marked(stack)))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                value = stack.pop()
                _of(list, stack[-1]).append(value)
            case "APPENDS":
                values = _marked(stack)
                _of(list, stack[-1]).extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _of(dict, stack[-1])[_key(key)] = value
            case "SETITEMS":
                values = _marked(stack)
                _of(dict, stack[-1]).update(zip(map(_key, values[::2]), values[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[given] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[given])
            case "GLOBAL":
                if given not in NAMES:
                    raise Refused(f"the name {given.replace(' ', '.')}")
                stack.append(Name(given))
            case "BINPERSID":
                stack.append(_storage(stack.pop(), storages))
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append(_called(_of(Name, name), _of(tuple, arguments)))
            case "BUILD":
                stack.pop()  # what a state dict says of its modules' versions
                _of(dict, stack[-1])
            case _:
                raise Refused(f"the operation {operation.name}")
    raise Refused("a pickle without an end")


@dataclass(frozen=True)
class Name:
    """One of NAMES: no code, just its text."""

    text: str


def _marked(stack: list) -> list:
    """Takes all after the last mark, and the mark, from the stack."""
    values = []
    while (value := stack.pop()) is not MARK:
        values.append(value)
    return values[::-1]


def _of(kind: type, value: object):
    if type(value) is not kind:
        raise Refused(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value


def _key(key: object) -> str | int:
    return key if type(key) is int else _of(str, key)


def _storage(named: object, storages: dict[str, Storage]) -> Storage:
    """Of ("storage", its type, key, device, count), and None after it in old files."""
    word, kind, key, _device, count, *view = _of(tuple, named)
    kind = _of(Name, kind).text.removeprefix("torch ")
    if word != "storage" or kind not in STORAGES or view not in ([], [None]) or _of(int, count) < 0:
        raise Refused("a storage of another kind")
    found = Storage(kind, _of(str, key), count)
    if storages.setdefault(key, found) != found:
        raise Refused(f"two kinds of the storage {key}")
    return found


def _called(name: Name, given: tuple) -> object:
    """What one of the three calls in a state gives."""
    match name.text.partition(" ")[2]:
        case "OrderedDict" if given == ():
            return {}
        case "_rebuild_parameter":
            return _of(Tensor, given[0])
        case "_rebuild_tensor_v2":
            storage, offset, shape, strides = given[:4]
            numbers = (_of(int, offset), *_of(tuple, shape), *_of(tuple, strides))
            is_whole = all(type(number) is int and number >= 0 for number in numbers)
            if not is_whole or len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
                raise Refused("a tensor of another form")
            return Tensor(_of(Storage, storage), offset, shape, strides)
    raise Refused(f"a call of {name.text.replace(' ', '.')}")
