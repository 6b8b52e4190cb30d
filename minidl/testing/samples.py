"""Samples: for each operator, a strategy that draws arguments to try it on.

::

    @samples(minidl.exp)
    def _(draw):
        return Sample(draw(strategies.arrays(strategies.shapes())))

The operator suite (`minidl.testing.suite`) checks every sample that is registered here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


@dataclass(init=False)
class Sample:
    """The arguments of one call: ``Sample(*args, **kwargs)``.

    float64 arrays among ``args``, also inside lists and tuples (``cat([a, b])``), are the
    inputs to differentiate in. Other arrays become tensors without a gradient, and all else
    is passed on as it is.
    """

    args: tuple
    kwargs: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        self.args = args
        self.kwargs = kwargs


SAME_NAME = "same name"
"""The default of ``torch=``: the first of that name in nn.functional, torch and torch.Tensor."""


@dataclass(frozen=True)
class Case:
    """An operator with a strategy for its arguments, and what can be asked of it.

    Attributes
    ----------
    op : callable
        The operator.
    strategy : SearchStrategy
        Draws a `Sample`.
    differentiable : bool
        Whether its gradients are checked; else only its values.
    order : int
        Up to which derivative they are checked.
    torch : callable, str or None
        PyTorch's counterpart, called with the same arguments: a function of torch tensors, a
        name such as ``"nn.functional.relu"``, `SAME_NAME`, or None where there is none.
    """

    op: Callable
    strategy: SearchStrategy
    differentiable: bool = True
    order: int = 2
    torch: Callable | str | None = SAME_NAME

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.op.__name__


registered: dict[Callable, list[Case]] = {}
"""The cases of every operator that has samples."""


def samples(
    op: Callable,
    *,
    differentiable: bool = True,
    order: int = 2,
    torch: Callable | str | None = SAME_NAME,
) -> Callable:
    """Register the decorated function, which draws a `Sample`, for the operator ``op``.

    The function gets hypothesis's ``draw``. An operator may have several. For the options
    see `Case`.
    """

    def register(draw_sample: Callable) -> Callable:
        strategy = st.composite(draw_sample)()
        case = Case(op, strategy, differentiable, order, torch)
        registered.setdefault(op, []).append(case)
        return draw_sample

    return register
