"""One source, two libraries."""

from __future__ import annotations

import types
from pathlib import Path


def on_torch(file: str | Path) -> types.ModuleType:
    """A module of networks run with PyTorch in minidl's place: the same networks."""
    twin = types.ModuleType("twin")
    source = Path(file).read_text()
    exec(source.replace("from minidl import nn", "from torch import nn"), vars(twin))
    return twin
