"""Write a model as an ONNX file.

examples:
  minidl export fast.safetensors fast.onnx
  minidl export fast.safetensors fast.onnx --json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minidl.cli import options
from minidl.recipes import load_model


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    options.add_model(command)
    command.add_argument("out", type=Path, help="where the ONNX file goes")
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Export, and say how large the file is."""
    load_model(args.model).export(args.out)
    facts = {"model": str(args.out), "bytes": args.out.stat().st_size}
    options.answer(args, facts, f"wrote {args.out}, {facts['bytes']:,} bytes")
    return 0
