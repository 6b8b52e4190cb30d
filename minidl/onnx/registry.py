"""Which functions write an operator of minidl as ONNX, and read one of ONNX's.

Both directions of a family stand in one file of ``minidl/onnx/operators``::

    @writes("tanh")
    def _(graph, y, x):
        graph.add("Tanh", [x], y)

    @reads("Tanh")
    def _(node):
        return ops.tanh

A writer gets the graph, the result and the arguments that the operator was called with, with
values in the place of arrays. A reader gets the node, takes its attributes and constant inputs,
and returns what computes the outputs of the other inputs.
"""

from __future__ import annotations

from collections.abc import Callable

writers: dict[str, Callable] = {}
"""By the name of minidl's operator."""

readers: dict[str, Callable] = {}
"""By the type of ONNX's operator, with its domain in front if it is not ONNX's own."""


def writes(*names: str) -> Callable:
    """Declare a function to write these operators."""

    def declare(function: Callable) -> Callable:
        writers.update(dict.fromkeys(names, function))
        return function

    return declare


def reads(*types: str) -> Callable:
    """Declare a function to read nodes of these types."""

    def declare(function: Callable) -> Callable:
        readers.update(dict.fromkeys(types, function))
        return function

    return declare
