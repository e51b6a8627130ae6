"""Files as `torch.save` writes them, made without PyTorch: one operation of the pickle after the other.

    save(file, {"weight": np.zeros((3, 2), np.float32)})
    write_zip(file, pickled(dictionary({"weight": tensor("0", 6, shape=(3, 2))})), {"0": bytes(24)})
"""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def value(plain: object) -> bytes:
    """The operations that put a plain value on the stack."""
    return pickle.dumps(plain, 2)[2:-1]


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    return b"ccollections\nOrderedDict\n)R(" + b"".join(value(name) + entry for name, entry in entries.items()) + b"u"


def storage(key: str, count: int, kind: str = "FloatStorage", more: bytes = b"") -> bytes:
    return b"(" + value("storage") + f"ctorch\n{kind}\n".encode() + value(key) + value("cpu") + value(count) + more + b"tQ"


def tensor(key: str, count: int, offset=0, shape=(), strides=None, kind: str = "FloatStorage", more: bytes = b"") -> bytes:
    if strides is None:
        strides = tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
    given = storage(key, count, kind, more) + value(offset) + value(shape) + value(strides) + b"\x89" + dictionary({})
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + given + b"tR"


def pickled(operations: bytes) -> bytes:
    return b"\x80\x02" + operations + b"."


def write_zip(file: Path, content: bytes, storages: Mapping[str, bytes], order: str = "little", packed: bool = False) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("weights/data.pkl", content)
        archive.writestr("weights/byteorder", order)
        for key, numbers in storages.items():
            archive.writestr(f"weights/data/{key}", numbers)


def joined(content: bytes, storages: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A file from before PyTorch 1.6; of each storage its count and bytes."""
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    begin = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, about))
    end = pickle.dumps(list(storages), 2)
    return begin + content + end + b"".join(struct.pack("<q", count) + data for count, data in storages.values())


def save(file: Path, tensors: Mapping[str, np.ndarray], **more: object) -> None:
    """A state; with `more` a checkpoint of `training/` whose averaged state it is."""
    entries = {
        name: tensor(f"{place}", array.size, shape=array.shape, kind=KINDS[array.dtype.name])
        for place, (name, array) in enumerate(tensors.items())
    }
    content = dictionary(entries)
    if more:
        content = dictionary({"average": content, **{name: value(plain) for name, plain in more.items()}})
    storages = {f"{place}": array.tobytes() for place, array in enumerate(tensors.values())}
    write_zip(file, pickled(content), storages)
