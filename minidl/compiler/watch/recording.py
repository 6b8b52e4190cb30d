"""The recorder of a watched run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minidl.autograd import TensorBase
from minidl.autograd.mode import mode
from minidl.compiler.errors import CaptureError
from minidl.compiler.recorder import Recorder
from minidl.compiler.structure import leaves
from minidl.compiler.watch.live import LIVE_KINDS


class WatchedRecorder(Recorder):
    """A recorder whose hooks, rules and live calls a `Watch` knows of."""

    def line(self) -> str:
        return self.watch.line()

    def __init__(self, watch: Any, inputs: list[Any]):
        super().__init__(inputs)
        self.watch = watch
        self.dynamic_tensors: list[Any] = []

    def invoke(self, function: Callable, args: tuple) -> Any:
        return self.watch.invoke(function, args)

    def takes(self, values: Iterable) -> None:
        super().takes(values)
        if not mode.enabled:  # then no result depends on whether they require a gradient
            return
        for leaf in leaves(values):
            if isinstance(leaf, TensorBase) and self.watch.is_outside_tensor(leaf):
                try:
                    self.watch.guard_place(leaf)
                except CaptureError as error:
                    self.watch.give_up(error)

    def is_replaced(self, tensor: Any) -> bool:
        return ("tensor", id(tensor), "array") in self.watch.dynamic

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        if not self.watch.lenient:
            return super().call(name, function, args, options)
        if not self.watch.failure:
            try:
                return super().call(name, function, args, options)
            except CaptureError as error:
                self.watch.give_up(error)
        return self.alone(function, args, options)

    def change(self, name: str, function: Callable, args: tuple) -> None:
        if not self.watch.failure:
            try:
                self._refuse_made(function)
                super().change(name, function, args)
                self.watch.moved_by(function, args)
                return
            except CaptureError as error:
                self.watch.give_up(error)
        self.alone(function, args, {})

    def _refuse_made(self, function: Callable) -> None:
        """CaptureError for an optimizer or a schedule that the step makes: replays share it."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, LIVE_KINDS) and self.watch.is_inside(owner):
            raise CaptureError(
                f"{self.line()}: the step makes a {type(owner).__name__} and steps it, and its "
                "state would last from replay to replay: make it once, outside the step"
            )

    def read(self, tensor: Any, how: str) -> None:
        try:
            super().read(tensor, how)
        except CaptureError as error:
            self.watch.give_up(error)

    def close(self) -> None:
        """Let go of all that was recorded but the trace."""
        tables = self.owners, self.watched, self.constants, self.host_data, self.counted
        for table in (*tables, self.foreign, self.leaves, self.prior, self.depends, self.known):
            table.clear()
        self.given, self.dynamic_tensors = [], []

    def is_tensor_memory(self, array: Any) -> bool:
        """Whether an array is a tensor's."""
        while array is not None:
            if any(id(array) in table for table in (self.known, self.owners, self.prior)):
                return True
            array = getattr(array, "base", None)
        return False

    def is_accounted(self, array: Any) -> bool:
        """Whether an array needs no guard: it is known, or the same in each run."""
        return id(array) in self.constants or self.is_tensor_memory(array)
