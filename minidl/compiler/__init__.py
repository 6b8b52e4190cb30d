"""Capture and replay: a step runs as recorded calls over memory that is there already.

``errors`` and ``structure`` serve the others. ``rewrite`` makes instrumented copies of functions,
and ``watch`` runs the step's Python code as such copies, so that each read of outside state becomes
a guard; ``recorder`` notes what it computes in a ``trace``; ``match`` compares two runs; ``plan``
turns a trace into a ``program`` in fixed ``memory``; ``outputs`` is what leaves a step; ``step``
and ``module`` put them together. docs/compile.md has the argument why nothing slips.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.compiler.errors import CaptureError
from minidl.compiler.module import CompiledModule
from minidl.compiler.step import CompiledStep
from minidl.nn import Module

_BACKENDS = ("minidl", "inductor", "cudagraphs")
_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def compile(
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "minidl",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    audit: int | None = None,
) -> Any:
    """Compile a training step, an inference step or a module.

    The first two calls run as always, and are recorded. If both computed the same, the calls
    that follow replay the recorded launches, without a graph and over memory that was laid out
    once; the results are bit-exact. Everything outside that the Python code of the step read is
    guarded: when it changes, the step is captured again, or refused by name
    (see docs/compile.md). 16 plans are kept.

    ::

        @minidl.compile
        def step(images, labels):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        model = minidl.compile(model)  # a module: forward and backward are two plans

    Parameters
    ----------
    model : callable, optional
        The step: takes and returns tensors, plain values and objects, also nested. Or a module.
        Without it, ``compile`` returns a decorator: ``@minidl.compile(audit=1)``.
    fullgraph : bool
        Of a module: CaptureError, and no warning, if it cannot be captured. A step that cannot be
        captured is always an error.
    dynamic : bool, optional
        As in PyTorch; a new shape is captured again in any case.
    backend, mode, options : optional
        As in PyTorch, and without effect: there is one backend, and on a GPU its plans are CUDA
        graphs.
    audit : int, optional
        Run it as it is after every so many replays, and compare the run with its plan; 0
        never. By default after 1, 2, 4 and 8 replays, then as often as 1 % of the time pays for.

    Returns
    -------
    CompiledStep or CompiledModule
        Called like ``model``. A step's gradients of parameters are in the plan's memory: the next
        call writes over them.

    Raises
    ------
    CaptureError
        With the file and line of your program, if the step looks at values (``item()``, ``if`` on
        a tensor), makes tensors of host data, or reads what cannot be checked before a replay.
    TypeError
        If ``model`` is not callable.
    ValueError
        If there is no such backend or mode, or ``audit`` is negative.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"compile: expected a backend of {', '.join(_BACKENDS)}, got {backend!r}")
    if mode not in _MODES:
        raise ValueError(f"compile: expected a mode of {', '.join(map(str, _MODES))}, got {mode!r}")
    if audit is not None and audit < 0:
        raise ValueError(f"compile: audit must not be negative, got {audit}")
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph, audit=audit)
    if isinstance(model, CompiledStep | CompiledModule):
        return model
    if isinstance(model, Module):
        return CompiledModule(model, fullgraph, audit)
    if not callable(model):
        raise TypeError(f"compile expected a function or a module, got {type(model).__name__}")
    return CompiledStep(model, audit)
