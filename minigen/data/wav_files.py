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
    (PCM, 24): "u1",  # three of them are a sample
    (PCM, 32): "<i4",
    (FLOAT, 32): "<f4",
    (FLOAT, 64): "<f8",
}
# The end of the GUID of an extensible format that is one of the codes above.
CODE_GUID = bytes.fromhex("000000001000800000aa00389b71")
UNKNOWN = 0xFFFFFFFF  # the length that a program writes if it cannot go back to its header, or 0
RATES = 1_000, 768_000  # of any recorder; a lower one would be expanded without bound
LARGEST_CHANNELS = 64
OTHER_FORMATS = {  # by their first bytes, to say what was found
    b"RIFX": "RIFX, big-endian WAV",
    b"RF64": "RF64, WAV of more than 4 GiB",
    b"BW64": "BW64, WAV of more than 4 GiB",
    b"riff": "Wave64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b".snd": "AU",
    b"PK": "a zip",
}


def read_wav(path: str | os.PathLike, mono: bool = True) -> tuple[np.ndarray, int]:
    """The samples of a WAV file, float32 (n,) in [-1, 1], and the samples a second.

    8, 16, 24 or 32 bits or float; the mean of the channels, or with mono=False all, (n, channels).
    Raises DatasetError.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _error(str(path), "a file", error.strerror, "check the path") from None
    return parse_wav(content, str(path), mono)


def parse_wav(content: bytes, name: str, mono: bool = True) -> tuple[np.ndarray, int]:
    """`read_wav` of the bytes of a file, which errors call `name`.

    Every length is compared with that of the file before it is used. Samples were streamed if their
    length is 2^32 - 1, or 0 as is the file's; then they go on to the file's end. A chunk with
    another length that is longer than the file is refused, because its end is lost.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        begins = (what for start, what in OTHER_FORMATS.items() if content.startswith(start))
        raise _error(name, "RIFF....WAVE at its start", next(begins, repr(content[:12])))
    whole = int.from_bytes(content[4:8], "little")
    is_streamed = lambda at: whole == UNKNOWN or whole + 8 <= at
    form = data = None
    at = 12
    while at + 8 <= len(content) and data is None:
        kind, size = struct.unpack_from("<4sI", content, at)
        at += 8
        rest = len(content) - at
        if kind == b"data" and form and (size == UNKNOWN or (size == 0 and is_streamed(at))):
            frame = form[1] * form[3] // 8
            size = rest // frame * frame
        if size > rest:
            raise _error(name, f"{size} bytes in its chunk {kind!r}", f"{rest}, the rest of it")
        if kind == b"fmt " and form is None:
            form = _format(content[at : at + size], name)
        elif kind == b"data":
            data = memoryview(content)[at : at + size]
        at += size + size % 2  # chunks begin at even addresses
    if form is None or data is None:
        found = "no 'data'" if form else "no 'fmt ' before the end or 'data'"
        raise _error(name, "a chunk 'fmt ' and then a chunk 'data'", found)
    code, channels, rate, bits = form
    frame = channels * bits // 8
    if len(data) % frame:
        raise _error(name, f"samples in frames of {frame} bytes", f"{len(data)} bytes")
    x = _samples(data, code, bits).reshape(-1, channels)
    with np.errstate(over="ignore"):
        x = x[:, 0] if mono and channels == 1 else x.mean(1) if mono else x
    if code == FLOAT and not np.isfinite(x).all():
        raise _error(name, "finite samples", "NaN, infinity or numbers beyond float32")
    return x, rate


def write_wav(path: str | os.PathLike, x: np.ndarray, rate: int = RATE) -> None:
    """Write samples (n,) in [-1, 1] as 16-bit PCM, one channel; what is beyond is clipped.

    The path is the old file or the whole new one, never a part. Raises ValueError for other arrays.
    """
    x = np.asarray(x)
    if x.ndim != 1 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise ValueError(f"write_wav: needs finite float samples (n,), got {x.dtype} {x.shape}")
    if not RATES[0] <= rate <= RATES[1] or rate != int(rate):
        raise ValueError(f"write_wav: rate must be an integer from 1,000 to 768,000, got {rate!r}")
    data = np.round(np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, PCM, 1, int(rate), 2 * int(rate), 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form
    path = Path(path).expanduser()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(head + b"data" + struct.pack("<I", len(data)) + data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _samples(data: memoryview, code: int, bits: int) -> np.ndarray:
    """float32 (samples of all channels,)."""
    raw = np.frombuffer(data, DTYPES[code, bits])
    if bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, bits = wide.view("<i4")[:, 0], 32
    with np.errstate(over="ignore", invalid="ignore"):
        x = raw.astype(np.float32)
    if bits == 8:
        x -= 128
    if code == PCM:
        x /= np.float32(2 ** (bits - 1))
    return x


def _format(chunk: bytes, name: str) -> tuple[int, int, int, int]:
    """(code, channels, rate, bits)."""
    if len(chunk) < 16:
        raise _error(name, "a chunk 'fmt ' of at least 16 bytes", str(len(chunk)))
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == EXTENSIBLE and chunk[26:40] == CODE_GUID:
        code = struct.unpack_from("<H", chunk, 24)[0]
    if (code, bits) not in DTYPES:
        found = f"format {code:#x} of {bits} bits"
        raise _error(name, "PCM of 8, 16, 24 or 32 bits or float of 32 or 64", found)
    if not 1 <= channels <= LARGEST_CHANNELS or not RATES[0] <= rate <= RATES[1]:
        found = f"{channels} channels and a rate of {rate}"
        raise _error(name, "1 to 64 channels and a rate from 1,000 to 768,000", found)
    return code, channels, rate, bits


def _error(
    name: str, expected: str, got: str, remedy: str = "save it again as WAV of 16 bits"
) -> DatasetError:
    return DatasetError(f"{name}: expected {expected}, got {got}; {remedy}")
