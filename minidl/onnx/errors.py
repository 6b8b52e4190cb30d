"""What can go wrong with ONNX files."""

from __future__ import annotations


class OnnxError(ValueError):
    """A model that cannot be written as ONNX, or a file that cannot be read as a model."""


class UnsupportedOperator(OnnxError):
    """An operator that has no counterpart on the other side; the message names it and where."""
