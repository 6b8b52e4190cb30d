"""Serve models over HTTP, with a page to try them.

examples:
  minidl serve fast.onnx
  minidl serve fast.onnx small.onnx --port 9000 --max-batch 64
  MINIDL_TOKEN=secret minidl serve fast.onnx --host 0.0.0.0

Then open http://127.0.0.1:8000, or
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from minidl.cli import options
from minidl.recipes import DataError

try:
    from minidl.serve import Settings, build
    from minidl.serve.server import bound, is_loopback, serve
except ImportError as error:
    Settings = None
    _missing = error.name


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    add = command.add_argument
    add("models", type=Path, nargs="+", help="files; each is served under its name without ending")
    add("--host", default="127.0.0.1", help="whom to listen to; default: this machine alone")
    add("--port", type=int, default=8000, help="0 takes a free one; default: %(default)s")
    add("--max-batch", type=options.positive, default=32, metavar="N", help="default: %(default)s")
    add("--max-wait", type=float, default=1.0, metavar="MS", help="for others; %(default)s")
    add("--queue", type=options.positive, default=256, metavar="N", help="pictures that may wait")
    add("--timeout", type=float, default=10.0, metavar="S", help="for an answer; %(default)s")
    add("--max-body", type=float, default=10.0, metavar="MB", help="default: %(default)s")
    add("--token-file", type=Path, help="a file with a token to ask for; else $MINIDL_TOKEN")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if Settings is None:
        raise ImportError(f"serving needs {_missing}: pip install minidl[serve]")
    paths = _paths(args.models)
    settings = Settings(args.max_batch, args.max_wait / 1e3, args.queue, args.timeout)
    token = args.token_file.read_text().strip() if args.token_file else os.getenv("MINIDL_TOKEN")
    if not is_loopback(args.host) and not token:
        print(
            f"minidl serve: {args.host} can be reached by others, and asks for no token: "
            "see --token-file",
            file=sys.stderr,
        )
    app = build(paths, settings, max_body=int(1e6 * args.max_body), token=token or None)
    listening = bound(args.host, args.port)
    port = listening.getsockname()[1]
    started = f"minidl: serving {', '.join(paths)} on http://{args.host}:{port}"
    return serve(app, listening, started)


def _paths(files: list[Path]) -> dict[str, Path]:
    """Files by the names of their models; DataError if one is missing or two have one name."""
    paths: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise DataError(f"there is no file {file}")
        if file.stem in paths:
            raise DataError(f"two models are called {file.stem!r}")
        paths[file.stem] = file
    return paths
