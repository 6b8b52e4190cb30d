"""The plan of a step: what must hold for it to be replayed, and what a replay leaves behind."""

from __future__ import annotations

from sys import getrefcount
from typing import Any

from minidl.autograd import wrap
from minidl.autograd.mode import mode
from minidl.compiler.arguments import Arguments
from minidl.compiler.audits import Audits
from minidl.compiler.errors import CaptureError
from minidl.compiler.memory import root
from minidl.compiler.outputs import Outputs
from minidl.compiler.plan import Plan
from minidl.compiler.recorder import InputLeaf
from minidl.compiler.watch.guards import Guards


def _references() -> int:
    """The references to a gradient that only a recording has."""
    for _, gradient in [(None, object())]:
        return getrefcount(gradient)
    raise AssertionError


_REFERENCES = _references()


class StepPlan:
    """A plan, what must hold for it to be replayed, and what a replay leaves behind.

    Parameters
    ----------
    run : object
        The recorded run that is replayed: its trace, guards, signature and the like.
    audit : int, optional
        After how many replays it is audited.
    """

    def __init__(self, run: Any, audit: int | None):
        trace = run.trace
        self.guards: Guards = run.guards
        self.signature = run.signature
        self.seconds, self.dynamic = run.seconds, run.dynamic
        self.audits = Audits(audit)
        self.plan = Plan(trace)
        self.versions = trace.versions
        self.changed_inputs = trace.changed_inputs
        self.accumulated = trace.accumulated
        self.handlers = run.handlers
        self.references: int | None = None
        self.watched: list[Any] = []
        self.gradients = [
            (leaf, None if value is None else wrap(value.array)) for leaf, value in trace.gradients
        ]
        self.outputs = Outputs(trace)
        trace.forget()
        self.holds = self.guards.holds

    def cost(self) -> str:
        """What a replay does, as text."""
        return self.plan.cost()

    def repeat(self, given: Arguments) -> Any:
        """The step once more, on these arguments."""
        tensors = given.tensors
        self._separate()
        replay = self.plan.replay if mode.observer is None else self.plan.observed
        try:
            arrays, gradients = replay(*[tensor.array for tensor in tensors])
        except CaptureError:
            raise
        except Exception as error:
            if self.handlers:
                raise self._unhandled(error) from error
            raise
        computed = iter(gradients)
        for leaf, gradient in self.gradients:
            if type(leaf) is InputLeaf:
                given_leaf = tensors[leaf.position]
                given_leaf.grad = None if gradient is None else wrap(next(computed).copy())
                continue
            if gradient is not None:
                gradient.array = next(computed)
            leaf.grad = gradient
        if self.references is None:
            self._count_references(gradients)
        for version in self.versions:
            version[0] += 1
        if self.accumulated or self.changed_inputs:
            self._count_changes(tensors)
        if self.outputs.is_one_tensor:
            return wrap(arrays[0])
        return self.outputs.make(arrays, given, self.gradients)

    def _separate(self) -> None:
        """Copy gradients of the last replay that are still referenced to separate memory."""
        for i, (leaf, gradient) in enumerate(self.gradients):
            if type(leaf) is InputLeaf or gradient is None:
                continue
            if getrefcount(gradient) > _REFERENCES + (leaf.grad is gradient):
                array, gradient.array = gradient.array, gradient.array.copy()
                self.gradients[i] = leaf, wrap(array)

    def _count_references(self, gradients: tuple) -> None:
        """Count who refers to the memory of gradients that each replay writes to."""
        self.watched = [array for array in gradients if self.plan.owns(array)]
        in_tuple = len(self.watched)  # which `gradients` refers to, too
        self.watched += {id(root(array)): root(array) for array in self.watched}.values()
        self.references = sum(map(getrefcount, self.watched)) - in_tuple

    def is_free(self) -> bool:
        """Whether only the plan refers to the memory of its gradients."""
        return self.references is None or sum(map(getrefcount, self.watched)) == self.references

    def _unhandled(self, error: Exception) -> CaptureError:
        """What to raise for an error of a replay, whose step might have handled it."""
        return CaptureError(
            f"{self.handlers}: a replay failed with {type(error).__name__}: {error}. The step may "
            "handle errors here (try, with), and a replay cannot: check for it outside the step"
        )

    def _count_changes(self, tensors: list) -> None:
        for leaf in self.accumulated:
            leaf.grad.version[0] += 1
        for i in self.changed_inputs:
            tensors[i].version[0] += 1
