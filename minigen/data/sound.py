"""Sound: recordings, tones made at once, spectrograms and back, WAV files. Raw arrays."""

from minigen.data.played_tones import INSTRUMENTS, tones
from minigen.data.recordings import Recordings, at_rate, held_out, read_recording, read_recordings
from minigen.data.spectrograms import RATE, from_log_mel, griffin_lim, istft, log_mel, stft
from minigen.data.wav_files import parse_wav, read_wav, write_wav

__all__ = [
    "INSTRUMENTS",
    "RATE",
    "Recordings",
    "at_rate",
    "from_log_mel",
    "griffin_lim",
    "held_out",
    "istft",
    "log_mel",
    "parse_wav",
    "read_recording",
    "read_recordings",
    "read_wav",
    "stft",
    "tones",
    "write_wav",
]
