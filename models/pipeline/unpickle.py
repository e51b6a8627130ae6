"""A stack machine for the pickles of `torch.save`, which makes values and runs no code.

    content = unpickle(stream)

A pickle is a program. This one may make dictionaries, lists, tuples, numbers, texts and descriptions of tensors; every
other operation and every other name is refused.
"""

import io
import pickletools
from dataclasses import dataclass

import numpy as np

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
