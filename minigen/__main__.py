"""The command line: python -m minigen gradcheck [OPS...], doctor, study SCRIPT."""

import argparse
import sys

from minigen import console
from minigen.backend.devices import resolve_device
from minigen.communication.launch import launched_size, start
from minigen.doctor import doctor
from minigen.doctor.self_test import self_test
from minigen.errors import BackendUnavailable
from minigen.study.command import study
from minigen.testing import table
from minigen.testing.cases import CASES
from minigen.training.flags import device_name, positive_int


def gradcheck(args: argparse.Namespace) -> int:
    """Print the table, one line per op. Returns 1 if a limit is exceeded, 2 for bad arguments."""
    unknown = [name for name in args.ops if name not in CASES]
    if unknown:
        print(f"there is no op {unknown[0]!r}; one of: {', '.join(CASES)}", file=sys.stderr)
        return 2
    device = resolve_device(args.device)
    print(table.HEADER)
    wrong, count, worst = [], 0, {}
    for row in table.rows(args.cases, device, args.ops or None):
        print(row, flush=True)
        count += row.cases
        wrong += [f"{row.name}: {column}" for column in row.wrong]
        for column, error in row.errors.items():
            worst[column] = max(worst.get(column, 0.0), error)
    total = table.Row("worst", count, worst)
    limits = table.Row("limit", 0, table.LIMITS)
    print(total, limits, sep="\n")
    print("every limit holds" if not wrong else f"too large: {', '.join(wrong)}")
    return bool(wrong)


def run_doctor(args: argparse.Namespace) -> int:
    """Print the doctor's report, or the result of one self-test. Returns 1 if a part is broken."""
    if args.self_test is None:
        return doctor()
    print(self_test(resolve_device(args.self_test)))
    return 0


def run_study(args: argparse.Namespace) -> int:
    """Record a training step of a script, and write files about it. Returns 2 under mpiexec."""
    if launched_size() > 1:
        if start().rank == 0:
            console.say("study records one process: start it without mpiexec", sys.stderr)
        return 2
    return study(args.script, args.step, args.out, args.arguments)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m minigen", description="minigen on the command line"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("gradcheck", help="check every op and print a table of errors")
    check.add_argument("ops", nargs="*", help="names of ops; default all")
    cases = {"type": positive_int, "default": 20, "help": "calls of each op; default 20"}
    check.add_argument("--cases", **cases)
    devices = {"type": device_name, "default": "cpu", "help": "cpu, cuda or cuda:N; default cpu"}
    check.add_argument("--device", **devices)
    check.set_defaults(run=gradcheck)
    report = commands.add_parser("doctor", help="report what works on this machine, and remedies")
    only = {"type": device_name, "metavar": "DEVICE"}
    report.add_argument("--self-test", **only, help="only test this device, in this process")
    report.set_defaults(run=run_doctor)
    look = commands.add_parser(
        "study",
        help="record a training step of a script, and show it",
        usage="%(prog)s SCRIPT [--step N] [--out DIR] [-- arguments of the script]",
        description="Runs any script that trains, records one training step, writes step.html, "
        "step.py, memory.png and roofline.png, and stops the script.",
    )
    look.add_argument("script", metavar="SCRIPT", help="a Python file")
    look.add_argument("--step", type=positive_int, default=1, metavar="N", help="default 1")
    look.add_argument("--out", metavar="DIR", help="for the files; default runs/study/NAME")
    look.set_defaults(run=run_study)
    console.prepare()
    try:
        words, arguments = sys.argv[1:], []
        if words[:1] == ["study"] and "--" in words:
            index = words.index("--")
            words, arguments = words[:index], words[index + 1 :]
        args, unknown = parser.parse_known_args(words)
        if unknown:
            remedy = "; arguments of the script go behind --" if args.run is run_study else ""
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{remedy}")
        args.arguments = arguments
        return args.run(args)
    except BackendUnavailable as error:
        console.say(f"BackendUnavailable: {error}", sys.stderr)
        return 2
    except BrokenPipeError:  # as after `| head`
        return console.BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    finally:
        console.close_broken()


if __name__ == "__main__":
    sys.exit(main())
