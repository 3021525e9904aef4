"""Spectrograms and back: short-time Fourier transform, mel bands, the phases of Griffin and Lim.

A sound x (..., samples) is cut into windows of `size` samples, one each `hop` samples, under a Hann
window. Raw arrays, no autodiff: complex numbers never enter a Tensor. float64 stays float64; all
else is float32.
"""

from functools import lru_cache

import numpy as np

from minigen.errors import ShapeError
from minigen.random import Generator

RATE = 8_000  # samples a second
ROUNDS = 30  # of `from_log_mel`
# The best of Perraudin et al. 2013. After 32 rounds, the magnitudes of spoken digits are reached to
# -21.5 dB, without momentum to -16.4 dB.
MOMENTUM = 0.99


def stft(x: np.ndarray, size: int = 256, hop: int = 64) -> np.ndarray:
    """Complex (..., frames, size // 2 + 1) of sounds (..., samples), frames = 1 + samples // hop.

    Frame i is centred at sample i * hop; beyond its ends the sound is zero. size is even, and hop
    at most size // 2.
    """
    x = _real(x)
    _check_windows(size, hop)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(size // 2, size // 2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::hop, :]
    return np.fft.rfft(windows * _hann(size).astype(x.dtype), axis=-1)


def istft(z: np.ndarray, size: int = 256, hop: int = 64, length: int | None = None) -> np.ndarray:
    """The sounds (..., length) whose `stft` is z or, if there are none, nearest to it.

    The mean of overlapping windows, weighted by the window (Griffin and Lim 1984). length: hop *
    (frames - 1) by default; to get each last sample of x back, that of x.
    """
    _check_windows(size, hop)
    z = np.asarray(z)
    if z.ndim < 2 or z.shape[-2] < 1 or z.shape[-1] != size // 2 + 1:
        raise ShapeError(
            f"istft: z must be (..., frames, {size // 2 + 1}) for size={size}, got shape {z.shape}"
        )
    frames = z.shape[-2]
    length = hop * (frames - 1) if length is None else length
    real = np.float64 if z.dtype == np.complex128 else np.float32
    hann = _hann(size).astype(real)
    pieces = np.fft.irfft(z, size, axis=-1).astype(real, copy=False) * hann
    x = _overlapped(pieces, hop)
    weight = _overlapped(np.broadcast_to(hann**2, (frames, size)), hop)
    x /= np.where(weight > 0, weight, 1)
    x = x[..., size // 2 : size // 2 + length]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, length - x.shape[-1])])


def log_mel(
    x: np.ndarray, bands: int = 40, size: int = 256, hop: int = 80, floor: float = 1e-4
) -> np.ndarray:
    """log10(power in mel bands + floor), (..., frames, bands), of sounds (..., samples) of RATE.

    The bands are triangles of equal width on the mel scale, 2595 log10(1 + Hz / 700), from 0 Hz to
    half of RATE. floor hides what is too quiet to be heard.
    """
    power = np.abs(stft(x, size, hop)) ** 2
    return np.log10(power @ mel_bands(bands, size).T.astype(power.dtype) + floor)


def from_log_mel(mel: np.ndarray, size: int = 256, floor: float = 1e-4) -> np.ndarray:
    """Magnitudes (..., frames, size // 2 + 1) of which `log_mel` makes about mel.

    Power is not negative, and there are fewer bands than frequencies: the multiplicative updates of
    Lee and Seung 2001 find one of the nearest.
    """
    mel = _real(mel)
    matrix = mel_bands(mel.shape[-1], size).astype(mel.dtype)
    target = np.maximum(10**mel - floor, 0)
    sums = np.maximum(matrix.sum(1, keepdims=True), 1e-9)
    power = target @ (matrix / sums) + mel.dtype.type(1e-10)
    upper = target @ matrix
    for _ in range(ROUNDS):
        power *= upper / np.maximum(power @ matrix.T @ matrix, mel.dtype.type(1e-12))
    return np.sqrt(power)


def griffin_lim(
    magnitude: np.ndarray,
    size: int = 256,
    hop: int = 80,
    rounds: int = 32,
    rng: Generator | None = None,
) -> np.ndarray:
    """Sounds (..., hop * (frames - 1)) whose stft has about this magnitude (Griffin and Lim 1984).

    Each round takes the phases of the stft of the sound of the last round, accelerated as in
    Perraudin et al. 2013. The first phases are random, from rng, by default Generator(0).
    """
    magnitude = _real(magnitude)
    rng = Generator(0) if rng is None else rng
    phase = np.exp(2j * np.pi * rng.uniform(magnitude.shape)).astype(
        np.result_type(magnitude.dtype, np.complex64)
    )
    before = np.zeros_like(phase)
    for _ in range(rounds):
        z = stft(istft(magnitude * phase, size, hop), size, hop)
        phase = z - z.dtype.type(MOMENTUM / (1 + MOMENTUM)) * before
        phase /= np.maximum(np.abs(phase), 1e-9)
        before = z
    return istft(magnitude * phase, size, hop)


@lru_cache
def mel_bands(bands: int, size: int = 256) -> np.ndarray:
    """The triangles, float64 (bands, size // 2 + 1)."""
    if bands < 1:
        raise ValueError(f"log_mel: bands must be at least 1, got {bands}")
    hz = np.arange(size // 2 + 1) * RATE / size
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    width = np.diff(edges)[:, None]
    rising = (hz - edges[:-2, None]) / width[:-1]
    falling = (edges[2:, None] - hz) / width[1:]
    matrix = np.maximum(0, np.minimum(rising, falling))
    matrix.flags.writeable = False
    return matrix


def _overlapped(pieces: np.ndarray, hop: int) -> np.ndarray:
    """The sum (..., (frames + blocks - 1) * hop) of pieces (..., frames, size), one each hop.

    By blocks of hop samples: one addition for all frames, not one for each.
    """
    frames, size = pieces.shape[-2:]
    blocks = -(-size // hop)
    pieces = np.pad(pieces, [(0, 0)] * (pieces.ndim - 1) + [(0, blocks * hop - size)])
    pieces = pieces.reshape(*pieces.shape[:-1], blocks, hop)
    x = np.zeros((*pieces.shape[:-3], frames + blocks - 1, hop), pieces.dtype)
    for i in range(blocks):
        x[..., i : i + frames, :] += pieces[..., i, :]
    return x.reshape(*x.shape[:-2], -1)


def _hann(size: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _real(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim < 1 or x.dtype.kind not in "fiub":
        raise ShapeError(f"sound: needs real numbers (..., samples), got {x.dtype} {x.shape}")
    return x if x.dtype == np.float64 else x.astype(np.float32)


def _check_windows(size: int, hop: int) -> None:
    if size < 2 or size % 2 or not 1 <= hop <= size // 2:
        raise ValueError(
            f"stft: size must be even and hop from 1 to size // 2, got size={size} hop={hop}"
        )
