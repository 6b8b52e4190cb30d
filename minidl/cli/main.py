"""The command line as a whole: its commands, and how each kind of failure ends.

Exit codes: 0 done, 1 it could not be done (one line on stderr says why), 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import minidl
from minidl.cli import bench, compress, evaluate, explain, export, info, predict, serve, train
from minidl.onnx import OnnxError
from minidl.recipes import DataError, RunError
from minidl.serialization import CheckpointError

COMMANDS = (train, evaluate, predict, explain, compress, export, serve, info, bench)
_FAILURES = (CheckpointError, OnnxError, DataError, RunError, ImportError, OSError)


def parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    top = argparse.ArgumentParser(
        prog="minidl",
        description="Train small networks for pictures, look at them and measure them.",
        epilog="`minidl COMMAND --help` shows examples of each command.",
    )
    top.add_argument("--version", action="version", version=f"minidl {minidl.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        summary, _, examples = module.__doc__.partition("\n\n")
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=summary.rstrip("."),
            description=summary,
            epilog=examples.rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (by default the process's own) says; the exit code."""
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except _FAILURES as error:
        print(f"minidl: {_reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("minidl: interrupted", file=sys.stderr)
        return 130


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
