"""The command ``minidl``: train, look at, compress and serve models from a shell."""

from minidl.cli.main import main
