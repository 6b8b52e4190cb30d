"""Pictures that commands are given as files, and those that they write."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from minidl.files import write_atomically
from minidl.recipes import DataError
from minidl.vision.datasets.folder import pil_loader

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def read_picture(path: Path) -> Any:
    """The Pillow image in a file; DataError if there is none."""
    try:
        return pil_loader(str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


def picture_name(text: str) -> Path:
    """The name of a picture to be written, whose ending says how."""
    path = Path(text)
    if path.suffix.lower() not in _FORMATS:
        raise argparse.ArgumentTypeError(f"wants a name that ends with .png, .jpg or .webp: {text}")
    return path


def write_picture(picture: Any, path: Path) -> None:
    """Write a Pillow image under a `picture_name`, whole or not at all."""
    file = io.BytesIO()
    picture.save(file, _FORMATS[path.suffix.lower()])
    write_atomically(path, file.getvalue(), "the picture")
