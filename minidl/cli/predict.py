"""Say what pictures show.

examples:
  minidl predict fast.safetensors cat.jpg
  minidl predict fast.safetensors *.png --top 5 --json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import minidl
from minidl.cli import options
from minidl.cli.pictures import read_picture
from minidl.recipes import load_model


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    command.add_argument("pictures", type=Path, nargs="+", help="files that Pillow reads")
    command.add_argument(
        "--top", type=options.positive, default=3, metavar="N", help="classes to show; %(default)s"
    )
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print the likeliest classes of each picture."""
    model = load_model(args.model)
    inputs = minidl.stack([model.prepare(read_picture(path)) for path in args.pictures])
    found = [
        {"picture": str(path), "classes": _likeliest(model.classes, row, args.top)}
        for path, row in zip(args.pictures, model.probabilities(inputs))
    ]
    options.answer(args, {"predictions": found}, "\n".join(map(_line, found)))
    return 0


def _likeliest(classes: list[str], row: object, count: int) -> dict[str, float]:
    order = row.argsort()[::-1][:count]
    return {classes[i]: float(row[i]) for i in order}


def _line(found: dict) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found["classes"].items())
    return f"{found['picture']}: {shares}"
