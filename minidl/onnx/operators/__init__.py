"""Operators both ways, one file per family: how minidl's are written, how ONNX's are read."""

from minidl.onnx.operators import (
    activation,
    arithmetic,
    comparison,
    conv,
    elementwise,
    index,
    linear,
    norm,
    pool,
    quantize,
    reduce,
    shape,
    softmax,
)
