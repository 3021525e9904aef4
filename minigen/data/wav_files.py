"""WAV files: RIFF chunks of PCM or float samples (Microsoft and IBM 1991; extensible 1999)."""

import os
import struct
from pathlib import Path

import numpy as np

from minigen.data.spectrograms import RATE
from minigen.errors import DatasetError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
DTYPES = {
    (PCM, 8): "u1",
    (PCM, 16): "<i2",
    (PCM, 32): "<i4",
    (FLOAT, 32): "<f4",
    (FLOAT, 64): "<f8",
}
LARGEST_RATE = 768_000  # of any recorder
LARGEST_CHANNELS = 64


def parse_wav(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """(samples float32 (n,) in [-1, 1], samples a second) of the bytes of a WAV file.

    8, 16, 24 or 32 bits or float; the mean of the channels. DatasetError, which names `name`, for
    what is no such file or is shorter than it says.
    """
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise _error(name, "RIFF....WAVE at its start", repr(content[:12]))
    form = data = None
    at = 12
    while at + 8 <= len(content) and data is None:
        kind, size = content[at : at + 4], struct.unpack_from("<I", content, at + 4)[0]
        at += 8
        if size > len(content) - at:
            found = f"{size} in a file with {len(content) - at} left"
            raise _error(name, f"the bytes of its chunk {kind!r}", found)
        if kind == b"fmt ":
            form = _format(content[at : at + size], name)
        elif kind == b"data":
            data = content[at : at + size]
        at += size + size % 2  # chunks begin at even addresses
    if form is None or data is None:
        raise _error(name, "a chunk 'fmt ' and then a chunk 'data'", "none")
    code, channels, rate, bits = form
    frame = channels * bits // 8
    if len(data) % frame:
        raise _error(name, f"frames of {frame} bytes", f"{len(data)} bytes")
    if bits == 24:
        bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(bytes_), 4), np.uint8)
        wide[:, 1:] = bytes_
        values = wide.view("<i4")[:, 0] / np.float32(2**31)
    else:
        values = np.frombuffer(data, DTYPES[code, bits])
        if bits == 8:
            values = (values.astype(np.float32) - 128) / 128
        elif code == PCM:
            values = values / np.float32(2 ** (bits - 1))
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged floats, refused below
        samples = np.asarray(values, np.float32).reshape(-1, channels).mean(1)
    if not np.isfinite(samples).all():
        raise _error(name, "finite samples", "NaN, infinity or numbers beyond float32")
    return samples, rate


def write_wav(path: str | os.PathLike, x: np.ndarray, rate: int = RATE) -> None:
    """Write samples (n,) in [-1, 1] as 16-bit PCM, one channel; what is beyond is clipped."""
    x = np.asarray(x)
    if x.ndim != 1 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise ValueError(f"write_wav: needs finite float samples (n,), got {x.dtype} {x.shape}")
    data = np.round(np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, PCM, 1, rate, 2 * rate, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form
    content = head + b"data" + struct.pack("<I", len(data)) + data
    Path(path).expanduser().write_bytes(content)


def _format(chunk: bytes, name: str) -> tuple[int, int, int, int]:
    """(code, channels, rate, bits)."""
    if len(chunk) < 16:
        raise _error(name, "a chunk 'fmt ' of at least 16 bytes", str(len(chunk)))
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == EXTENSIBLE and len(chunk) >= 26:
        code = struct.unpack_from("<H", chunk, 24)[0]
    if (code, bits) not in DTYPES and (code, bits) != (PCM, 24):
        raise _error(name, "PCM of 8, 16, 24 or 32 bits or float", f"format {code} of {bits} bits")
    if not 1 <= channels <= LARGEST_CHANNELS or not 1 <= rate <= LARGEST_RATE:
        raise _error(name, "channels and a rate of a recorder", f"{channels} and {rate}")
    return code, channels, rate, bits


def _error(name: str, expected: str, got: str) -> DatasetError:
    return DatasetError(f"{name}: expected {expected}, got {got}; save it again as a WAV file")
