"""A watch: one run of a step in which every read and write of its Python code is seen."""

from __future__ import annotations

import functools
import gc
import importlib.util
import operator
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, observed_by
from minidl.autograd.mode import mode
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError, is_users, users_line
from minidl.compiler.profiling import restore_profile, set_profile
from minidl.compiler.recorder import Recorder
from minidl.compiler.structure import leaves
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import Call, Value, layout_of
from minidl.compiler.watch import hooks as transparent
from minidl.compiler.watch.calls import LIVE_KINDS, Calls
from minidl.compiler.watch.contents import VIEWS
from minidl.compiler.watch.guards import MISSING, Guards, is_plain, own_attributes, static_attribute
from minidl.compiler.watch.hooks import Hooks
from minidl.compiler.watch.instrument import instrument, is_instrumented
from minidl.compiler.watch.reads import HELPERS, Reads
from minidl.compiler.watch.tensors import tensor_facts
from minidl.compiler.watch.trust import is_engine, is_named_tuples, is_own, is_trusted
from minidl.compiler.watch.writes import Write, Writes

_BINARY = {
    "+": ("__add__", "__radd__"), "-": ("__sub__", "__rsub__"), "*": ("__mul__", "__rmul__"),
    "/": ("__truediv__", "__rtruediv__"), "//": ("__floordiv__", "__rfloordiv__"),
    "%": ("__mod__", "__rmod__"), "**": ("__pow__", "__rpow__"), "@": ("__matmul__", "__rmatmul__"),
    "<<": ("__lshift__", "__rlshift__"), ">>": ("__rshift__", "__rrshift__"),
    "&": ("__and__", "__rand__"), "|": ("__or__", "__ror__"), "^": ("__xor__", "__rxor__"),
    "==": ("__eq__", "__eq__"), "!=": ("__ne__", "__ne__"), "<": ("__lt__", "__gt__"),
    "<=": ("__le__", "__ge__"), ">": ("__gt__", "__lt__"), ">=": ("__ge__", "__le__"),
}  # fmt: skip
_UNARY = {"-": "__neg__", "+": "__pos__", "~": "__invert__"}
_FOLDER = __file__.rsplit("/", 1)[0]


class Watch(Reads, Writes, Calls):
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
        self.given = {id(thing): thing for thing in given}
        self.inside: set[int] = set()
        self.read: dict[int, Any] = {}  # what was read from outside, by identity
        self.paths: dict[int, str] = {}
        self.written: dict[tuple, Any] = {}
        self.writes: list[Write] = []
        self.deferred: dict[int, list[Write]] = {}  # writes that wait for the end, by owner
        self.snapshots: dict[int, tuple[Any, Any]] = {}
        self.moved: dict[int, Any] = {}  # what live calls may have changed
        self.copies: dict[int, tuple[FunctionType, FunctionType]] = {}
        self.special = self.builtin_handlers()
        self.stray: str | None = None
        self.place: tuple[CodeType, int] | None = None  # where in the user's program the run is
        self.harmless: dict[int, CodeType] = {}  # code that may run, by its identity
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
        self.written.clear()
        self.writes.clear()
        self.snapshots.clear()
        self.deferred.clear()
        self.recorder.close()
        self.recorder.watch = None

    def give_up(self, error: CaptureError) -> None:
        """Go on without watching, if that is allowed."""
        if not self.lenient:
            raise error
        self.failure = self.failure or str(error)
        self.active = False

    def finish(self, result: Any) -> Any:
        """The trace of the run; CaptureError if something in it went unseen."""
        if self.failure or self.stray is not None:
            raise CaptureError(self.failure or self.stray)
        self.finish_writes()
        exported = self.exported(result, "the result")
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
        if is_named_tuples(frame.f_globals):
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
        return function(*args, **kwargs)

    def trusted(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call trusted code, which runs no other Python code if its arguments have none."""
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

    # ----------------------------------------------------------------- what keeps changing

    def dynamic_read(
        self, key: tuple, value: Any, owner: Any, name: Any, item: bool = False
    ) -> Any:
        """A value that each replay reads again; None if it is to be guarded."""
        moved = id(owner) in self.moved
        if moved and is_plain(value) and not isinstance(value, int | float):
            if self.is_own_line() or value is None:
                return None
            raise CaptureError(
                f"{self.line()}: {self.name_of(owner)} is read after a call that may change it "
                "in each replay: read it before, or outside the step"
            )
        if not moved and key not in self.dynamic:
            return None
        if moved and key not in self.dynamic and self.is_own_line():
            return None
        reader = Reader(key, owner, name)
        const = self.guards.constant(reader)
        if type(value) in (int, float):
            kind = self.guards.constant(type(value))
            if not moved:
                test = f"type({const}()) is {kind}"
                self.guard_test((*key, "type"), test, f"the type of {name!r}")
            return self._read_again(reader, value, None if moved else f"{const}()")
        if isinstance(value, TensorBase) and value.place is None and not moved:
            return self._tensor_again(key, reader, const, value, name)
        return None

    def _read_again(self, reader: Reader, value: Any, text: str | None) -> Number:
        call = self.recorder.note(f"read {reader.name}", reader, (), {})
        call.result = Value(value, call)
        return Number(self, value, text, call.result)

    def _tensor_again(self, key: tuple, reader: Reader, const: str, tensor: Any, name: Any) -> Any:
        if self.recorder.is_known(tensor):
            return None
        facts = self.guards.constant(tensor_facts(tensor))
        self.guard_test(
            (*key, "facts"), f"tensor_facts({const}()) == {facts}", f"the layout of {name!r}"
        )
        call = Call(f"read {name}", reader.array, (), {}, False, self.line())
        call.result = value = Value(tensor.array, call)
        self.recorder.trace.calls.append(call)
        self.recorder.know(tensor.array, value)
        self.recorder.dynamic_tensors.append(tensor)
        return tensor

    def moved_by(self, function: Any, args: tuple) -> None:
        """Note what a call that each replay makes again may have changed."""
        owner = getattr(function, "__self__", None)
        if not isinstance(owner, LIVE_KINDS):
            return
        reached = _reached([owner, *args])
        self.check_deferred(reached)
        update = static_attribute(type(owner), "update")
        if type(update) is FunctionType and is_own(update.__code__):
            return  # minidl's own optimizers change tensors and their state only
        self.moved.update(reached)

    # ----------------------------------------------------------------- operators

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """``left + right`` and the like."""
        return self._operated(sign, transparent._BINARY[sign], left, right)

    def inplace(self, sign: str, left: Any, right: Any) -> Any:
        """``left += right`` and the like."""
        function = transparent._INPLACE[sign]
        if isinstance(left, TensorBase):
            right = right if type(right) is Number else self.deep(right)
            self.recorder.register(left)
            return self.trusted(function, (left, right), {})
        name = "__i" + _BINARY[sign][0][2:]
        method = static_attribute(type(left), name)
        if type(method) is FunctionType:
            self.guard_class(type(left), name, method)
            return self.call(method, (left, right), {})
        if isinstance(left, list | set | dict | deque) and not self.is_inside(left):
            return self.mutate(getattr(type(left), name), left, (self.iterated_argument(right),))
        if is_array(left) and not self.is_inside(left):
            raise CaptureError(
                f"{self.line()}: the step changes a NumPy array in place, which a replay would "
                "not: make it a tensor"
            )
        if isinstance(left, list | set | dict | deque):
            return function(left, self.iterated_argument(right))
        return self._operated(sign, function, left, right)

    def unary(self, sign: str, value: Any) -> Any:
        """``-value`` and the like."""
        method = static_attribute(type(value), _UNARY[sign])
        if type(method) is FunctionType and not isinstance(value, TensorBase | Number):
            self.guard_class(type(value), _UNARY[sign], method)
            return self.call(method, (value,), {})
        if isinstance(value, TensorBase):
            self.recorder.register(value)
        if is_array(value):
            self.host_operand(value)
        result = transparent._UNARY[sign](value)
        return self._numpy_result(result)

    def compare(self, sign: str, left: Any, right: Any) -> Any:
        """``left < right`` and the like."""
        if sign == "in":
            return self.contains(right, left)
        if sign == "not in":
            return not self.contains(right, left)
        if sign == "!=" and not isinstance(left, TensorBase | Number):
            equal = static_attribute(type(left), "__eq__")
            unequal = static_attribute(type(left), "__ne__")
            if type(equal) is FunctionType and type(unequal) is not FunctionType:
                return not self.truth(self.compare("==", left, right))
        return self._operated(sign, transparent._COMPARE[sign], left, right)

    def _operated(self, sign: str, function: Callable, left: Any, right: Any) -> Any:
        if isinstance(left, TensorBase) or isinstance(right, TensorBase):
            left = left if type(left) is Number else self.deep(left)
            right = right if type(right) is Number else self.deep(right)
            return self.vouched(self.trusted(function, (left, right), {}))
        if is_plain(left) and is_plain(right):
            return function(left, right)
        if type(left) is Number or type(right) is Number:
            return function(left, right)
        if is_array(left) or is_array(right):
            for side in (left, right):
                self.host_operand(side)
            return self._numpy_result(function(left, right))
        forward, reflected = _BINARY[sign]
        first = static_attribute(type(left), forward)
        second = static_attribute(type(right), reflected)
        if type(first) is FunctionType or type(second) is FunctionType:
            return self._by_methods(sign, left, right)
        for side in (left, right):
            self.deep(side) if not isinstance(side, VIEWS) else self.content(side)
        return self.make_inside(self.native(function, (left, right), {}))

    def host_operand(self, value: Any) -> None:
        """Guard an operand of NumPy's; CaptureError if it is the memory of a tensor."""
        if is_array(value) and self.recorder.is_tensor_memory(value):
            self.recorder.read(None, "NumPy")
        self.deep(value)

    def _numpy_result(self, result: Any) -> Any:
        if is_array(result):
            self.recorder.add_constant(result)
        return result

    def _by_methods(self, sign: str, left: Any, right: Any) -> Any:
        """Python's protocol of operators, for classes that define them in Python."""
        forward, reflected = _BINARY[sign]
        tries = [(forward, left, right), (reflected, right, left)]
        if type(right) is not type(left) and isinstance(right, type(left)):
            tries.reverse()
        for name, owner, other in tries:
            method = static_attribute(type(owner), name)
            if method is MISSING:
                continue
            self.guard_type(owner)
            self.guard_class(type(owner), name, method)
            result = self.call(method, (owner, other), {})
            if result is not NotImplemented:
                return result
        if sign in ("==", "!="):
            return (left is right) == (sign == "==")
        raise TypeError(
            f"unsupported operand type(s) for {sign}: {type(left).__name__!r} and "
            f"{type(right).__name__!r}"
        )

    def format(self, value: Any, conversion: str | None, spec: str) -> str:
        """``f"{value!conversion:spec}"``."""
        if type(value) is Number:
            value = value.settle("its text")
        kind = type(value)
        if not is_plain(value) and not isinstance(value, TensorBase | type):
            names = {"r": ("__repr__",), "s": ("__str__", "__repr__")}.get(
                conversion or "", ("__format__", "__str__", "__repr__")
            )
            for name in names:
                method = static_attribute(kind, name)
                if type(method) is FunctionType and not is_engine(method.__code__):
                    self.guard_class(kind, name, method)
                    given = (value, spec) if name == "__format__" else (value,)
                    text = self.call(method, given, {})
                    return text if name == "__format__" else format(text, spec)
                if method is not static_attribute(object, name):
                    break
            self.deep(value)
        return Hooks.format(_TRANSPARENT, value, conversion, spec)

    def context(self, manager: Any) -> Any:
        """A context manager whose methods are watched."""
        enter = static_attribute(type(manager), "__enter__")
        if type(enter) is FunctionType and not is_engine(enter.__code__):
            return _WatchedContext(self, manager)
        return manager

    def imported(self, space: dict, module: str, name: str | None, value: Any) -> None:
        """Guard what an import statement found."""
        if name is None:
            path = getattr(value, "__name__", module)
            read = f"{self.guards.constant(sys.modules)}[{path!r}]"
            self.guard(("module", path, ""), read, value, f"the module {path}")
            return
        if module.startswith("."):
            module = importlib.util.resolve_name(module, space.get("__package__") or "")
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


class WatchedRecorder(Recorder):
    """A recorder whose hooks, rules and live calls a `Watch` knows of."""

    def line(self) -> str:
        return self.watch.line()

    def __init__(self, watch: Watch, inputs: list[Any]):
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
                super().change(name, function, args)
                self.watch.moved_by(function, args)
                return
            except CaptureError as error:
                self.watch.give_up(error)
        self.alone(function, args, {})

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


class WatchedHooks(Hooks):
    """The hooks of one function's copy."""

    def __init__(self, watch: Watch, function: FunctionType):
        self.watch = watch
        self.space = function.__globals__
        self.is_users = is_users(function.__code__, function.__globals__)
        cells = zip(function.__code__.co_freevars, function.__closure__ or ())
        self.cells = dict(cells)

    def locate(self, frame: FrameType) -> None:
        """Note where in the user's program the run is."""
        if frame.f_globals is self.space:  # and not a hook's that calls another
            self.watch.place = frame.f_code, frame.f_lineno

    def read_global(self, name: str, value: Any) -> Any:
        if not self.watch.here():
            return value
        if self.is_users:
            self.locate(sys._getframe(1))
        if any(value is function for function in _UNWATCHED):
            self.watch.give_up(self.watch.refused(value))
        try:
            return self.watch.read_global(self.space, name, value)
        except CaptureError as error:
            self.watch.give_up(error)
            return value

    def read_free(self, name: str, value: Any) -> Any:
        if not self.watch.here():
            return value
        if self.is_users:
            self.locate(sys._getframe(1))
        try:
            return self.watch.read_free(self.cells[name], name, value)
        except CaptureError as error:
            self.watch.give_up(error)
            return value

    def wrote_global(self, name: str, value: Any) -> None:
        if self.watch.here():
            self.watch.wrote_global(self.space, name, value)

    def wrote_free(self, name: str, value: Any) -> None:
        if self.watch.here():
            self.watch.wrote_free(self.cells[name], value)

    def deleted_global(self, name: str) -> None:
        if self.watch.here():
            self.watch.deleted_global(self.space, name)

    def deleted_free(self, name: str) -> None:
        if self.watch.here():
            self.watch.give_up(self.watch.unwatchable(self.cells[name], "a deleted variable"))

    def imported(self, module: str, name: str | None, value: Any) -> None:
        if self.watch.here():
            self.watch.imported(self.space, module, name, value)


def _delegated(name: str) -> Callable:
    transparent_method = getattr(Hooks, name)

    @functools.wraps(transparent_method)
    def method(self: WatchedHooks, *args: Any, **kwargs: Any) -> Any:
        if self.watch.here():
            if self.is_users:
                self.locate(sys._getframe(1))
            try:
                return getattr(self.watch, name)(*args, **kwargs)
            except CaptureError as error:
                self.watch.give_up(error)
        return transparent_method(self, *args, **kwargs)

    return method


for _name in (
    "attribute", "set_attribute", "delete_attribute", "item", "set_item", "delete_item", "binary",
    "inplace", "unary", "compare", "truth", "format", "iterate", "iterate_mapping", "read_all",
    "context",
):  # fmt: skip
    setattr(WatchedHooks, _name, _delegated(_name))


def _call(self: WatchedHooks, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    if self.watch.here():
        if self.is_users:
            self.locate(sys._getframe(1))
        try:
            return self.watch.call(function, args, kwargs)
        except CaptureError as error:
            self.watch.give_up(error)
    return function(*args, **kwargs)


def _operand(self: WatchedHooks, value: Any) -> Any:
    if self.watch.here() and type(value) is not Number:
        self.truth(value)
    return value


def _iterated(self: WatchedHooks, values: Any) -> Any:
    return self.iterate(values)


def _made(self: WatchedHooks, value: Any) -> Any:
    return self.watch.make_inside(value) if self.watch.here() else value


def _identical(self: WatchedHooks, left: Any, right: Any) -> bool:
    return left is right


WatchedHooks.call, WatchedHooks.operand, WatchedHooks.made = _call, _operand, _made
WatchedHooks.unpack = _iterated
WatchedHooks.identical = _identical
_TRANSPARENT = Hooks()
_UNWATCHED = (eval, exec, dir, compile, input, open)
"""Builtins that the copy calls itself, or that no guard can cover."""


class Reader:
    """Reads a global, variable, attribute or element again."""

    def __init__(self, key: tuple, owner: Any, name: Any):
        self.key, self.owner, self.name = key, owner, name
        kind = key[0]
        if kind in ("global", "item"):
            self.read: Callable = operator.getitem
        elif kind == "argument":
            self.read = _argument
        else:
            self.read = getattr

    def __call__(self) -> Any:
        return self.read(self.owner, self.name)

    def array(self) -> Any:
        """The array of the tensor that is read."""
        return self.read(self.owner, self.name).array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reader) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _argument(leaves: list, position: int) -> Any:
    return leaves[position]


class _WatchedContext:
    """Enters and leaves a context manager through a watch."""

    def __init__(self, watch: Watch, manager: Any):
        self.watch, self.manager = watch, manager

    def __enter__(self) -> Any:
        method = static_attribute(type(self.manager), "__enter__")
        self.watch.guard_class(type(self.manager), "__enter__", method)
        return self.watch.call(method, (self.manager,), {})

    def __exit__(self, *exception: Any) -> Any:
        method = static_attribute(type(self.manager), "__exit__")
        self.watch.guard_class(type(self.manager), "__exit__", method)
        return self.watch.call(method, (self.manager, *exception), {})


def _reached(roots: list) -> dict[int, Any]:
    """The objects and containers that are reached from ``roots``, not through tensors."""
    seen: dict[int, Any] = {}
    stack = list(roots)
    while stack:
        thing = stack.pop()
        if id(thing) in seen or is_plain(thing) or isinstance(thing, _OPAQUE) or is_array(thing):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            stack += thing.values()
        elif isinstance(thing, list | tuple | set | deque):
            stack += thing
        else:
            own = own_attributes(thing)
            if own is not None:
                seen[id(own)] = own
                stack += own.values()
    return seen


_OPAQUE = (TensorBase, ModuleType, type, FunctionType)


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


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


_pauses = 0
_pauses_lock = threading.Lock()
_collects = True


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without garbage collection, whose finalizers have nothing to do with the run."""
    global _pauses, _collects
    with _pauses_lock:
        if not _pauses:
            _collects = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _pauses_lock:
            _pauses -= 1
            if not _pauses and _collects:
                gc.enable()
