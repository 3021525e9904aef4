"""Notes of plucked, blown and struck instruments, made at once from sums of partials."""

from numbers import Integral

import numpy as np

from minigen.data.spectrograms import RATE
from minigen.random import Generator

INSTRUMENTS = ("guitar", "harp", "flute", "clarinet", "marimba", "bell")
SECONDS = 0.6
NOTES = 45, 70  # of MIDI: from A2, 110 Hz, to A sharp 4

# Of each instrument: the ratios of its partials to the note, their strengths, the seconds in which
# the first decays (0: it is blown, and sounds until the end), and the seconds of its attack.
# Strings have all multiples, a clarinet's closed tube the odd ones; those of a marimba's bar and of
# a bell are no multiples (Fletcher and Rossing 1998).
HARMONICS = np.arange(1.0, 11)
PARTIALS = {
    "guitar": (HARMONICS, 1 / HARMONICS, 0.25, 0.003),
    "harp": (HARMONICS, 1 / HARMONICS**2, 0.5, 0.003),
    "flute": (HARMONICS[:3], np.array([1, 0.3, 0.1]), 0, 0.06),
    "clarinet": (2 * HARMONICS[:6] - 1, 1 / HARMONICS[:6], 0, 0.03),
    "marimba": (np.array([1, 3.93, 9.2]), np.array([1, 0.4, 0.15]), 0.08, 0.001),
    "bell": (np.array([0.5, 1, 1.2, 1.5, 2, 2.67, 4]), np.full(7, 0.5), 0.6, 0.001),
}


# Each instrument is built by 20 makers: of this brightness, the power of a partial's ratio by which
# its strength grows, and with this factor on its decay and its attack.
MAKERS = 20
BRIGHTNESS = 0.8 * (np.arange(MAKERS) * 0.618 % 1 - 0.5)
SUSTAIN = 2.0 ** (np.arange(MAKERS) * 0.755 % 1 - 0.5)


def tones(n: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """n notes, float32 (samples,) of RATE, their instruments, and the makers of these.

    Both are int64 (n,): instruments in INSTRUMENTS, makers from 0 to 19. The pitch, loudness,
    length and tuning are random. Numbers of two instruments, or of two makers of one, differ by at
    most one. Raises ValueError if n is not an integer >= 0.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise ValueError(f"tones: n must be an integer >= 0, got {n!r}")
    rng = Generator(seed)
    makers, labels = np.divmod(rng.permutation(n), len(INSTRUMENTS))
    makers %= MAKERS
    uniforms = rng.uniform((n, 5))
    lengths = (RATE * SECONDS * (0.5 + 0.5 * uniforms[:, 4])).astype(int)
    rows = zip(labels, makers, uniforms, lengths)
    notes = [_note(INSTRUMENTS[label], *row, rng) for label, *row in rows]
    return notes, labels.astype(np.int64), makers.astype(np.int64)


def _note(instrument: str, maker: int, u: np.ndarray, length: int, rng: Generator) -> np.ndarray:
    ratios, strengths, decay, attack = PARTIALS[instrument]
    note = NOTES[0] + np.floor(u[0] * (NOTES[1] - NOTES[0] + 1)) + 0.2 * (u[1] - 0.5)
    first = 440 * 2 ** ((note - 69) / 12)
    strengths, ratios = (x[first * ratios < 0.45 * RATE] for x in (strengths, ratios))
    strengths = strengths * ratios ** BRIGHTNESS[maker]
    t = np.arange(length) / RATE
    angles = 2 * np.pi * first * t
    if decay == 0:  # vibrato of 5 Hz
        angles += 0.3 * np.sin(2 * np.pi * 5 * t + 6.28 * u[2])
    # float32 halves the time; the angles are below 2 pi, where it is exact enough.
    turns = np.outer(ratios, angles / (2 * np.pi)) % 1
    waves = np.sin((2 * np.pi * turns).astype(np.float32))
    waves *= strengths.astype(np.float32)[:, None]
    if decay:  # the higher, the shorter
        rates = np.sqrt(ratios / ratios.min()) / (decay * SUSTAIN[maker])
        waves *= np.exp(np.outer(-rates, t).astype(np.float32))
    x = waves.sum(0) * np.minimum(1, t / (attack * SUSTAIN[maker]))
    x *= np.minimum(1, (t[-1] - t) / 0.02)
    if instrument == "flute":
        x += 0.02 * rng.normal(length)  # breath
    x = x / np.abs(x).max() * (0.3 + 0.6 * u[3])
    return x.astype(np.float32)
