"""Arguments that several commands have, and how they answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import minidl


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"wants a positive whole number, got {text!r}")
    return int(text)


def share(text: str) -> float:
    """A number above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"wants a number above 0 and up to 1, got {text!r}")
    return value


def device(text: str) -> minidl.Device:
    """A device, on which something was put to see that it is there; "auto" is a GPU if any."""
    try:
        if text == "auto":
            return minidl.accelerator.current_accelerator() or minidl.device("cpu")
        return minidl.zeros(1, device=text).device
    except (ValueError, minidl.CudaUnavailable) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_model(command: argparse.ArgumentParser) -> None:
    """The model that a command is about."""
    command.add_argument("model", type=Path, help="a file of `minidl train`, or an ONNX file")


def add_data(command: argparse.ArgumentParser) -> None:
    """Where pictures come from, and how many of them."""
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder with cifar-10-batches-py or -bin; else $MINIDL_DATA, or a download",
    )
    command.add_argument("--limit-test", type=positive, metavar="N", help="the first N pictures")


def add_json(command: argparse.ArgumentParser) -> None:
    """Whether the answer is for people or for programs."""
    command.add_argument("--json", action="store_true", help="print the answer as JSON")


def answer(args: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    """Print ``facts`` as JSON if that was asked for, else ``text``."""
    print(json.dumps(facts, indent=2) if args.json else text)
