"""Arrays as JSON text: compressed bytes in base64, so that a vocabulary of 300,000 hashes stays a few megabytes."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def pack(array: npt.NDArray[Any]) -> dict[str, Any]:  # Any: plain JSON of an array of any dtype
    """Return an array as plain JSON values; the bytes are little-endian."""
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": plain.dtype.name,
        "shape": list(plain.shape),
        "data": base64.b64encode(zlib.compress(plain.tobytes(), 6)).decode("ascii"),
    }


def unpack(value: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Rebuild from `pack`'s value."""
    kind = np.dtype(value["dtype"]).newbyteorder("<")
    raw = zlib.decompress(base64.b64decode(value["data"]))
    return np.frombuffer(raw, kind).reshape(value["shape"]).astype(np.dtype(value["dtype"]))
