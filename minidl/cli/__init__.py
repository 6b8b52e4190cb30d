"""The command ``minidl``: train models, look at them and measure them from a shell."""

from minidl.cli.main import main
