"""A watch: one run of a step in which every read and write of its Python code is seen."""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import getrefcount
from types import CodeType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, observed_by
from minidl.autograd.mode import mode
from minidl.compiler.errors import CaptureError, is_users, users_line
from minidl.compiler.profile_function import restore_profile, set_profile
from minidl.compiler.rewrite.instrument import instrument, is_instrumented
from minidl.compiler.structure import leaves
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import layout_of
from minidl.compiler.watch.calls import Calls
from minidl.compiler.watch.changing import ChangingReads, Reader
from minidl.compiler.watch.collector import collector_paused
from minidl.compiler.watch.guards import MISSING, Guards, is_plain, static_attribute
from minidl.compiler.watch.names import absolute
from minidl.compiler.watch.operators import Operators
from minidl.compiler.watch.reads import HELPERS, Reads
from minidl.compiler.watch.recording import WatchedRecorder
from minidl.compiler.watch.trust import is_engine, is_named_tuples, is_own, is_trusted
from minidl.compiler.watch.watched_hooks import WatchedHooks
from minidl.compiler.watch.writes import Write, Writes

_UNSHARED = (lambda thing: getrefcount(thing))(object())
"""The references of an argument that nothing else refers to."""


class Watch(Reads, ChangingReads, Writes, Operators, Calls):
    """Runs a step once, and finds what it computed and what that depended on.

    Parameters
    ----------
    inputs : list of Tensor
        The tensors among the arguments.
    given : list
        The arguments that are neither tensors nor plain: objects that are the same in each call.
    dynamic : frozenset of tuple
        The keys of reads that are made again in each replay, for their values keep changing.
    lenient : bool
        Whether a run goes on, unwatched, when it meets what cannot be captured.

    Attributes
    ----------
    guards : Guards
        What must still hold for a replay.
    recorder : Recorder
        What was computed.
    failure : str
        Why a lenient run cannot be captured.
    """

    def __init__(
        self, inputs: list[Any], given: list[Any], dynamic: frozenset[tuple], lenient: bool = False
    ):
        self.recorder = WatchedRecorder(self, inputs)
        self.lenient, self.failure = lenient, ""
        self.guards = Guards()
        self.guards.constants.update(HELPERS)
        self.dynamic = dynamic
        self.handlers = ""  # the first line of the program that may handle errors
        self.inputs = set(map(id, inputs))
        self.arguments: dict[int, Reader] = {}  # how tensors among the arguments are read
        self.containers: dict[int, int] = {}  # those among the arguments, with their numbers
        self.reads_arguments = False  # whether guards look at the arguments of a call
        self.as_values = False  # whether results are values of the trace, also of known tensors
        self.given = {id(thing): thing for thing in given}
        self.inside: set[int] = set()
        self.read: dict[int, Any] = {}  # what was read from outside, by identity
        self.paths: dict[int, str] = {}
        self.new_tensors: set[int] = set()  # those that the engine made in the run
        self.replaced: dict[int, str] = {}  # how tensors are read that each replay reads again
        self.written: dict[tuple, Any] = {}
        self.writes: list[Write] = []
        self.deferred: dict[int, list[Write]] = {}  # writes that wait for the end, by owner
        self.exports: dict[int, tuple[Any, Any]] = {}  # what leaves the step, by identity
        self.snapshots: dict[int, tuple[Any, Any]] = {}
        self.moved: dict[int, Any] = {}  # what live calls may have changed
        self.renewed: dict[int, Reader] = {}  # how lists are read that they may replace
        self.copies: dict[int, tuple[FunctionType, FunctionType]] = {}
        self.special = self.builtin_handlers()
        self.stray: str | None = None
        self.place: tuple[CodeType, int] | None = None  # where in the user's program the run is
        self.space: dict[str, Any] = {}  # the globals there
        self.harmless: dict[int, CodeType] = {}  # code that may run, by its identity
        self.began = 0  # calls of functions that ran, maybe not to their end
        self.active = False
        self.thread = threading.get_ident()

    # ----------------------------------------------------------------- the run

    def run(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """``function(*args, **kwargs)``, watched; call `finish` with its result."""
        with self.running():
            result = self.call(function, args, kwargs)
            if isinstance(result, GeneratorType):
                raise CaptureError(
                    f"{self.line_of(function)}: a compiled step cannot be a generator: "
                    "collect what it yields in a list"
                )
            return result

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch what `call` runs within the block."""
        self.active = True
        try:
            with collector_paused(), observed_by(self.recorder), self._profiled():
                yield
        finally:
            self.active = False

    def close(self) -> None:
        """Let go of what the run held, now and not when a collector finds its cycles."""
        self.copies.clear()
        self.special.clear()
        self.given.clear()
        self.read.clear()
        self.replaced.clear()
        self.arguments.clear()
        self.containers.clear()
        self.renewed.clear()
        self.written.clear()
        self.writes.clear()
        self.snapshots.clear()
        self.exports.clear()
        self.deferred.clear()
        self.recorder.close()
        self.recorder.watch = None

    def give_up(self, error: CaptureError, began: int | None = None) -> None:
        """Go on without watching, if that is allowed.

        It is not if what failed will be run again and has run some function since ``began``.
        """
        if not self.lenient or began not in (None, self.began):
            raise error
        self.failure = self.failure or str(error)
        self.active = False

    def finish(self, result: Any) -> Any:
        """The trace of the run; CaptureError if something in it went unseen."""
        if self.failure or self.stray is not None:
            raise CaptureError(self.failure or self.stray)
        exported: Any = self.exported(result, "the result")
        if not self.as_values:
            exported = exported, self.late_writes()
        for value in self.recorder.trace.held:
            for tensor in value.tensors:
                self.guard_array(tensor)
        inputs = set(map(id, self.recorder.given))
        for leaf in self.recorder.depends.values():
            if id(leaf) in inputs:
                continue
            self._guard_gradient(leaf, self.recorder.leaves[id(leaf)][1])
        return self.recorder.finish(exported)

    def _guard_gradient(self, leaf: Any, before: Any) -> None:
        const = self.guards.constant(leaf)
        key, what = ("tensor", id(leaf), "grad"), "whether a tensor has a gradient"
        if before is None:
            self.guards.add(key, f"{const}.grad", None, what, "the step")
        else:
            self.guards.add_test(key, f"{const}.grad is not None", what, "the step")
        if any(leaf is prior for prior in self.recorder.trace.prior):
            self.guards.constants["layout_of"] = layout_of
            layout = self.guards.constant(layout_of(before.array))
            test = f"layout_of({const}.grad.array) == {layout}"
            self.guards.add_test((*key, "layout"), test, "the layout of a gradient", "the step")

    @contextmanager
    def _profiled(self) -> Iterator[None]:
        previous = sys.getprofile()
        set_profile(self._entered)
        try:
            yield
        finally:
            restore_profile(previous)

    def _entered(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Notice Python code that runs and is neither an instrumented copy nor trusted."""
        if event != "call" or self.stray is not None:
            return
        code = frame.f_code
        if id(code) in self.harmless:
            return
        if is_trusted(code) or is_instrumented(code) or code.co_name == "__del__":
            self.harmless[id(code)] = code
            return
        if not (is_users(code, frame.f_globals) or is_own(code)) and not _called_here(frame):
            return
        if is_named_tuples(frame.f_globals) or _is_of_frozen_fields(frame):
            return
        where = f"{code.co_filename}:{code.co_firstlineno}"
        self.stray = (
            f"{self.line()}: {code.co_name} ({where}) is called by code that is not "
            "Python's own, where what it reads cannot be watched: call it directly"
        )

    def line(self) -> str:
        """``file:line`` of the user's program."""
        if self.place is None:
            return users_line() or "the step"
        code, line = self.place
        return f"{code.co_filename}:{line}"

    def line_of(self, function: Any) -> str:
        """``file:line`` of a function."""
        code = getattr(function, "__code__", None)
        return self.line() if code is None else f"{code.co_filename}:{code.co_firstlineno}"

    def is_own_line(self) -> bool:
        """Whether the code that runs is minidl's."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and is_engine(frame.f_code):
            frame = frame.f_back
        return frame is not None and is_own(frame.f_code)

    def here(self) -> bool:
        """Whether this thread is in the run."""
        return self.active and mode.observer is not None and threading.get_ident() == self.thread

    # ----------------------------------------------------------------- inside and outside

    def is_inside(self, thing: Any) -> bool:
        """Whether the run made an object."""
        return id(thing) in self.inside

    def make_inside(self, thing: Any) -> Any:
        """Note that the run made an object; returns it."""
        if not is_plain(thing) and not isinstance(thing, TensorBase | ModuleType):
            self.inside.add(id(thing))
        return thing

    def make_fresh(self, thing: Any) -> Any:
        """Note that the run made an object that a function of C returned, if it is new.

        An object from before has other references, also if its function is not known to keep it.
        """
        return self.make_inside(thing) if getrefcount(thing) <= _UNSHARED else thing

    def is_given(self, thing: Any) -> bool:
        """Whether an object is an argument."""
        return id(thing) in self.given

    # ----------------------------------------------------------------- functions

    def copy_of(self, function: FunctionType) -> FunctionType:
        """The instrumented copy of a function."""
        if is_instrumented(function.__code__):
            return self._own_copy(function)
        known = self.copies.get(id(function))
        if known is None:
            made = instrument(function)
            copy = made.bind(function, WatchedHooks(self, function))
            known = self.copies[id(function)] = (function, copy)
        return known[1]

    def _own_copy(self, function: FunctionType) -> FunctionType:
        for cell in function.__closure__ or ():
            hooks = _content(cell)
            if isinstance(hooks, WatchedHooks) and hooks.watch is not self:
                raise CaptureError(
                    f"{self.line()}: {function.__qualname__} was defined in an earlier call of a "
                    "compiled step and kept: define it outside the step"
                )
        return function

    def has_hooks(self, function: FunctionType) -> bool:
        """Whether a function was defined in the run: code that calls no hooks is as written."""
        return any(isinstance(_content(cell), WatchedHooks) for cell in function.__closure__ or ())

    def is_instrumented(self, code: CodeType) -> bool:
        """Whether code reports what it does."""
        return is_instrumented(code)

    def is_copy(self, function: Any) -> bool:
        """Whether a function reports what it does."""
        return type(function) is FunctionType and is_instrumented(function.__code__)

    def step_of(self, instance: Any) -> Any:
        """The function of a compiled step that is called inside another one."""
        found = static_attribute(type(instance), "__compiled_function__")
        return None if found is MISSING else instance.__compiled_function__

    def invoke(self, function: Any, args: tuple) -> Any:
        """Call a hook or a rule for the engine."""
        plain = function.func if type(function) is functools.partial else function
        if type(plain) is FunctionType and is_engine(plain.__code__):
            return function(*args)
        if type(plain) is MethodType and is_engine(plain.__func__.__code__):
            return function(*args)
        for arg in args:
            if isinstance(arg, TensorBase):
                self.recorder.register(arg)
        profile = sys.getprofile()
        set_profile(self._entered)
        try:
            return self.call(function, args, {})
        finally:
            restore_profile(profile)

    def native(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call a function of C's."""
        self.began += 1
        return function(*args, **kwargs)

    def trusted(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call trusted code, which runs no other Python code if its arguments have none."""
        self.began += 1
        profile = sys.getprofile()
        if profile is None or not all(map(_is_simple, leaves((args, kwargs) if kwargs else args))):
            result = function(*args, **kwargs)
        else:
            set_profile(None)
            try:
                result = function(*args, **kwargs)
            finally:
                restore_profile(profile)
        if isinstance(result, GeneratorType):
            self.inside.add(id(result))
        return result

    # ----------------------------------------------------------------- imports and tensors

    def imported(self, space: dict, module: str, name: str | None, value: Any) -> None:
        """Guard what an import statement found."""
        if name is None:
            path = getattr(value, "__name__", module)
            read = f"{self.guards.constant(sys.modules)}[{path!r}]"
            self.guard(("module", path, ""), read, value, f"the module {path}")
            return
        module = absolute(module, space)
        source = sys.modules.get(module)
        if source is None:
            return
        read = f"{self.guards.constant(sys.modules)}[{module!r}]"
        self.guard(("module", module, ""), read, source, f"the module {module}")
        if getattr(source, name, MISSING) is value:
            self.note_attribute(source, name, value)

    def deep_tensor(self, value: Any) -> Any:
        """A value that is put into a tensor."""
        return value.settle("an element") if type(value) is Number else self.deep(value)


def _is_simple(leaf: Any) -> bool:
    """Whether a value has no methods but those of minidl, NumPy and Python."""
    kind = type(leaf)
    if kind in _SIMPLE or is_plain(leaf):
        return True
    return kind.__module__.startswith(_SIMPLE_MODULES) and kind is not functools.partial


_SIMPLE = frozenset({Number, slice, set, frozenset, deque, np.ndarray, np.dtype, range})
_SIMPLE_MODULES = (
    "minidl.backend",
    "minidl.tensor",
    "minidl.nn.parameter",
    "minidl.random",
    "numpy",
)


def _called_here(frame: FrameType) -> bool:
    """Whether a frame was entered by a function of C's that the watch called."""
    caller = frame.f_back
    return caller is not None and caller.f_code is Watch.native.__code__


def _is_of_frozen_fields(frame: FrameType) -> bool:
    """Whether code was generated to hash or compare a frozen dataclass, which does not change."""
    code = frame.f_code
    if code.co_filename != "<string>" or code.co_name not in ("__hash__", "__eq__"):
        return False
    kind = type(frame.f_locals.get("self"))
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and parameters.frozen


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
