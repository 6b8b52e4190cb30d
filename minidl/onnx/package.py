"""The package `onnx`, where it is installed: the only file that imports it."""

from __future__ import annotations

try:
    import onnx
    from onnx import checker, helper, numpy_helper
except ImportError:
    onnx = checker = helper = numpy_helper = None


def require_onnx() -> None:
    """ImportError that says how to install it, if it is missing."""
    if onnx is None:
        raise ImportError("models in ONNX need the package onnx: pip install minidl[onnx]")
