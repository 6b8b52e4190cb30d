"""Capture and replay: a step runs as recorded calls over memory that is there already.

``errors`` and ``structure`` serve the others. ``recorder`` watches a run and writes a
``trace``; ``guards`` finds what it depended on besides its arguments; ``match`` compares two
runs; ``plan`` turns a trace into a ``program`` in fixed ``memory``; ``step`` puts them
together.
"""

from __future__ import annotations

from collections.abc import Callable

from minidl.compiler.errors import CaptureError
from minidl.compiler.step import CompiledStep


def compile(step: Callable) -> CompiledStep:
    """A training or inference step that runs as a recorded list of kernel launches.

    The first two calls run as always, and are recorded. If both computed the same things, the
    calls that follow repeat them, without a graph and over memory that was laid out once; the
    results are the same bits. A new shape or dtype, or a module that goes from training to
    evaluation, is recorded anew (16 plans are kept). Learning rates, dropout and the statistics
    of batch norm go on as ever: they are read, drawn and moved in every repetition.

    ::

        @minidl.compile
        def step(pictures, labels):
            optimizer.zero_grad()
            loss = criterion(model(pictures), labels)
            loss.backward()
            optimizer.step()
            return loss

    Parameters
    ----------
    step : callable
        Takes tensors (that require no gradient), numbers and strings, also nested; returns
        tensors, nested or not. Everything it does must be done with tensors: what else it does
        (printing, counting) happens in the recorded runs only.

    Returns
    -------
    CompiledStep
        Called like ``step``. Tensors that it returns belong to no graph. Gradients of
        parameters lie in the plan's memory: the next call writes over them.

    Raises
    ------
    CaptureError
        With the file and line of your program: if the step looks at values (``item()``, ``if``
        on a tensor), makes tensors of data of the host, computes something else in each run,
        or if a global or a variable that it names has changed. Nothing stale is ever repeated.
    """
    if isinstance(step, CompiledStep):
        return step
    if not callable(step):
        raise TypeError(f"compile wants a function or a module, got {type(step).__name__}")
    return CompiledStep(step)
