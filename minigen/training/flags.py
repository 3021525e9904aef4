"""The flags of every example, and errors without a traceback."""

import argparse
import ast
import hashlib
import math
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, Any

import numpy as np

from minigen import console, tensor_files
from minigen.communication.agreement import refuse_differences
from minigen.communication.faults import PATIENCE
from minigen.communication.launch import start
from minigen.communication.world import current
from minigen.errors import (
    BackendUnavailable,
    CheckpointError,
    DatasetError,
    DistributedError,
)
from minigen.training import checkpoint

IMAGE_DATA = (
    "glyphs (no files needed), mnist, fashion_mnist, or a folder: of IDX files, or of pictures "
    "(PNG, JPEG) in a subfolder for each class"
)
USER_ERRORS = (  # whose causes are the user's files, flags, memory, disk or permissions
    *(BackendUnavailable, CheckpointError, DatasetError, DistributedError, FloatingPointError),
    *(MemoryError, OSError),
)


def argument_parser(
    doc: str,
    *,
    out: str,
    epochs: int | str,
    data: str = "glyphs",
    data_help: str = IMAGE_DATA,
    in_step: bool = False,
) -> argparse.ArgumentParser:
    """A parser with the flags of every example, to which an example adds its own.

    out, epochs and data are the defaults of these flags, and data_help is the help of --data. If
    epochs is a string, it describes the default in words, and args.epochs is None by default. With
    in_step the ranks of several processes always step together: no --local-steps, no --staleness.
    """
    parser = _Parser(description=doc, formatter_class=_DefaultsInHelp)
    add = parser.add_argument
    add("--data", default=data, help=data_help)
    add("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N")
    add("--seed", type=_seed, default=0, help="of everything random")
    words = f"; default {epochs}" if isinstance(epochs, str) else ""
    default_epochs = None if words else epochs
    add("--epochs", type=positive_int, default=default_epochs, help=f"passes over the data{words}")
    add("--out", type=_folder, default=Path(out), help="folder for results")
    one = parser.add_mutually_exclusive_group().add_argument
    one("--resume", action="store_true", help="go on from the checkpoint in --out")
    one("--overwrite", action="store_true", help="replace the run in --out by a new one")
    one("--sample", action="store_true", help="draw from the run in --out; others with --seed")
    add("--watch", action="store_true", help="draw what its layers do; warn where one dies")
    add("--max-seconds", type=nonnegative_float, default=math.inf, help="save and stop then")
    several = "of several processes, which mpiexec has started: "
    if not in_step:
        one = parser.add_mutually_exclusive_group().add_argument
        words = "each trains alone for N steps, and then they bring their weights together"
        one("--local-steps", type=positive_int, metavar="N", help=several + words)
        words = "none waits, and a gradient comes at most N updates late"
        one("--staleness", type=_natural, metavar="N", help=several + words)
    waits = "seconds for which one of many processes may stand still"
    add("--patience", type=positive_float, default=PATIENCE, help=waits)
    return parser


class _Refused(Exception):
    """Arguments that a parser refuses on one rank, until all ranks have been asked."""


class _Parser(argparse.ArgumentParser):
    """With --sample the settings are the checkpoint's; new_seed is --seed where that is typed.

    Of several ranks all must have the same flags.
    """

    refuses_later = False

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        parsed = self._parsed_alike(args, namespace)
        parsed.new_seed = None
        if not parsed.sample:
            return parsed
        if current().rank > 0:
            raise SystemExit(0)  # rank 0 alone draws
        unset = object()
        blank = argparse.Namespace(**{action.dest: unset for action in self._actions})
        every = vars(super().parse_args(args, blank)).items()
        explicit = {name: value for name, value in every if value is not unset}
        new_seed = explicit.pop("seed", None)
        file, example = checkpoint.in_folder(parsed.out), Path(sys.argv[0]).stem
        config = checkpoint.load_of(file, example)["config"]
        for name, value in explicit.items():
            if config.get(name, str(value)) != str(value):
                self.error(
                    f"--sample takes the settings of the run in {parsed.out}, whose "
                    f"--{name.replace('_', '-')} is {config[name]}, not {value}"
                )
        try:
            settings = self._settings(config)
        except (argparse.ArgumentTypeError, SyntaxError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file} has settings that are no flags: {error}") from None
        own = {"out": parsed.out, "device": parsed.device, "sample": True, "new_seed": new_seed}
        vars(settings).update(own)
        return settings

    def _print_message(self, message: str, file: Any = None) -> None:
        if current().rank == 0:  # all ranks have the same flags
            super()._print_message(message, file)

    def error(self, message: str) -> Any:
        if self.refuses_later:
            raise _Refused(message)
        super().error(message)

    def _parsed_alike(self, args: Any, namespace: Any) -> Any:
        """The args, if all ranks have the same; else SystemExit or DistributedError on all."""
        world = start()
        if world.size == 1:
            return super().parse_args(args, namespace)
        self.refuses_later, refusal, parsed = True, "", argparse.Namespace()
        try:
            parsed = super().parse_args(args, namespace)
        except _Refused as error:
            refusal = str(error)
        self.refuses_later = False
        for rank, other in enumerate(world.gather(refusal)):
            if other:
                self.error(f"{other} (rank {rank})" if rank else other)
        refuse_differences(world, _versions(), "start all ranks with the same versions")
        flags = {
            f"--{name.replace('_', '-')}": str(value)
            for name, value in sorted(vars(parsed).items())
            if name not in ("device", "out")  # which are of each machine
        }
        refuse_differences(world, flags, "start all ranks with the same flags")
        return parsed

    def _settings(self, config: Mapping[str, str]) -> argparse.Namespace:
        """The args of a run, from their texts in its checkpoint."""
        settings = super().parse_args([])
        for action in self._actions:
            text = config.get(action.dest)
            if text in ("None", "True", "False") or (text and action.nargs == "+"):
                setattr(settings, action.dest, ast.literal_eval(text))
            elif text is not None:
                setattr(settings, action.dest, (action.type or str)(text))
        return settings


class _DefaultsInHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description and adds the default to the help of each flag."""

    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default not in (None, False, math.inf, argparse.SUPPRESS)
        return f"{action.help}; default %(default)s" if has_default else action.help


def positive_int(text: str) -> int:
    """A flag's text as an integer >= 1, for argparse's `type`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text}")
    return int(text)


def nonnegative_float(text: str) -> float:
    """A flag's text as a number >= 0, for argparse's `type`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text}")
    return value


def positive_float(text: str) -> float:
    """A flag's text as a number > 0, for argparse's `type`."""
    value = nonnegative_float(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value


def device_name(text: str) -> str:
    """A flag's text as the name of a device, for argparse's `type`."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be auto, cpu, cuda or cuda:N, got {text}")
    return text


def _folder(text: str) -> Path:
    if not text:  # as of an environment variable that is not set
        raise argparse.ArgumentTypeError("must name a folder, got nothing; the current one is .")
    return tensor_files.home_path(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^64 - 1, got {text}")
    return int(text)


def run_example(main: Callable[[], None]) -> None:
    """Call main; end with one sentence instead of a traceback for errors that a user can fix.

    Text that cannot be printed, since its reader has gone or for its characters, stops nothing.
    Of several processes that mpiexec has started, rank 0 alone prints.
    """
    try:
        world = start()
        with console.printing_to_anyone() if world.rank == 0 else redirect_stdout(_nowhere()):
            main()
    except KeyboardInterrupt:
        current().fail("", code=130)  # of several processes this ends all
        raise SystemExit(130) from None
    except USER_ERRORS as error:
        sentence = f"{type(error).__name__}: {error}"
        current().fail(sentence)  # an error that all raise alike is said once
        raise SystemExit(sentence) from None


def _nowhere() -> IO[str]:
    return open(os.devnull, "w")


def _versions() -> dict[str, str]:
    """What must be the same on all ranks, so that they compute the same."""
    sources = hashlib.sha256()
    package = Path(checkpoint.__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        sources.update(path.read_bytes())
    return {
        "the digest of minigen's files": sources.hexdigest()[:16],
        "the version of NumPy": np.__version__,
        "the version of Python": platform.python_version(),
    }
