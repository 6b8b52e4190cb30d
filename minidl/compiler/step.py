"""The compiled step: which plan serves a call, and what to do when none does."""

from __future__ import annotations

import functools
import threading
import time
import types
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from minidl.autograd import TensorBase
from minidl.autograd.mode import mode
from minidl.compiler.arguments import Arguments, with_leaves
from minidl.compiler.errors import CaptureError
from minidl.compiler.match import Signature, difference
from minidl.compiler.report import Report
from minidl.compiler.step_plan import StepPlan
from minidl.compiler.structure import closed, is_dataclass, leaves, mapped, opened
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import Trace, Value
from minidl.compiler.watch.changing import Reader
from minidl.compiler.watch.collector import collector_paused
from minidl.compiler.watch.guards import Guard, same
from minidl.compiler.watch.watch import Watch

_MOST_PLANS = 16
_MOST_CHANGES = 1000  # reads whose changes are counted
_MOST_REFUSED = 64  # keys of calls that cannot be captured
_MOST_PENDING = 4  # runs of one key that wait for another that agrees
_PATIENCE = 3  # runs that differ from the one before, with nothing seen to change, until an error
_MOST_MISSES = 32  # recorded calls without a replay until the step runs uncaptured
_RETRY = 64  # calls that then run as they are until one is recorded again


_OWN = frozenset(
    {"audit", "captures", "function", "history", "refuse", "_lock", "_plans", "_pending",
     "_dynamic", "_dynamic_args", "_changes", "_last", "_box", "_reads_arguments", "_by_identity",
     "_misses", "_refused", "_lost", "_seen_numbers"}
)  # fmt: skip
"""The attributes of a `CompiledStep` itself; others are those of its function."""


class CompiledStep:
    """What `minidl.compile` returns; called like the function that it was made of.

    Parameters
    ----------
    function : callable
        The step.
    audit : int, optional
        Audit a plan after this many replays, each time; 0 never. By default after 1, 2, 4 and 8
        replays, and then as often as 1 % of the time pays for.
    refuse : callable, optional
        Given the reason when a call cannot be captured, which then runs as it is. Without it
        that is a `CaptureError`.

    Attributes
    ----------
    captures : int
        How many plans it has made.
    """

    def __init__(
        self,
        function: Callable,
        audit: int | None = None,
        refuse: Callable[[str], None] | None = None,
    ):
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.refuse = refuse
        self.audit = audit
        self.captures = 0
        self.history = Report()
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self._plans: OrderedDict[Any, list[StepPlan]] = OrderedDict()
        self._pending: dict[Any, list[_Pending]] = {}
        self._dynamic: set[tuple] = set()
        self._dynamic_args: dict[int, type] = {}
        self._changes: Counter = Counter()
        self._last: dict[tuple, Any] = {}
        self._box: list[Any] = []  # the leaves of the arguments, for plans that read them
        self._reads_arguments = False
        self._by_identity: set[type] = set()  # dataclasses that the step changes
        self._lost = ""  # why the last plan was dropped
        self._misses = 0
        self._refused: set[Any] = set()  # keys of calls that cannot be captured

    @property
    def __compiled_function__(self) -> Callable:
        return self.function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.observer is not None and mode.observer.recording:  # as a part of another step
            return self.function(*args, **kwargs)
        with self._lock:
            given = Arguments(args, kwargs, self._dynamic_args, by_identity=self._by_identity)
            if self._reads_arguments:
                self._box[:] = given.leaves
            for recording in self._plans.get(given.key, ()):
                if recording.holds():
                    if not recording.is_free():
                        self._plans[given.key].remove(recording)
                        self._lost = "the memory of a gradient of the plan before is still in use"
                        break
                    if recording.audits.due():
                        return self._audited(recording, given, args, kwargs)
                    self._misses = 0
                    return recording.repeat(given)
            return self._missed(given, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def reset(self) -> None:
        """Forget all plans and their memory; the next calls capture again."""
        with self._lock:
            self._forget()

    def code(self) -> str:
        """The programs of all plans, as Python."""
        texts = (plan.plan.source for plans in self._plans.values() for plan in plans)
        return "\n".join(texts)

    def report(self) -> str:
        """Captures with their reasons, and what each plan costs before a replay, as a table."""
        with self._lock:
            plans = [recording for plans in self._plans.values() for recording in plans]
            return self.history.text(f"compile({self.__name_or_type()})", self.captures, plans)

    def __getattr__(self, name: str) -> Any:
        if "function" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.__dict__["function"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Attributes of the program's are those of the function."""
        if name in _OWN or name.startswith("__"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.function, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.function, name)

    def __reduce__(self) -> tuple:
        return CompiledStep, (self.function, self.audit)

    def __repr__(self) -> str:
        return f"minidl.compile({self.function!r})"

    # ----------------------------------------------------------------- recording

    def _missed(self, given: Arguments, args: tuple, kwargs: dict) -> Any:
        """A call that no plan serves: recorded, or run as it is if nothing ever settles."""
        if given.key in self._refused:
            return self.function(*args, **kwargs)
        self._misses += 1
        reason = self._reason(given)
        if self._misses > _MOST_MISSES and self._misses % _RETRY:
            if self._misses == _MOST_MISSES + 1:
                warnings.warn(
                    f"{self.__name_or_type()} was recorded {_MOST_MISSES} times in a row and never "
                    f"replayed, since what it reads keeps changing ({reason}). It now runs without "
                    "being compiled, as fast as it is. Pass what changes as a tensor",
                    RuntimeWarning,
                    stacklevel=3,
                )
            return self.function(*args, **kwargs)
        given = self._relaxed(given, args, kwargs)
        with collector_paused():  # a trace is large, and all of it is in use
            return self._record(given, args, kwargs, reason)

    def __name_or_type(self) -> str:
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def _reason(self, given: Arguments) -> str:
        """Why no plan serves a call; what keeps changing is made an input of the next capture."""
        known = [recording.guards for recording in self._plans.get(given.key, ())]
        known += [pending.guards for pending in self._pending.get(given.key, ())]
        reason = "these arguments are new" if not known else ""
        for guards in known:
            for guard in guards.failed():
                reason = reason or guards.change(guard)
                self._count_change(guard, guards.now(guard))
        return reason

    def _count_change(self, guard: Guard, now: Any) -> None:
        """Note that a number or a tensor that is read has changed."""
        before = guard.value
        if type(before) is not type(now) or self.refuse is not None:
            return
        memory = guard.key[0] == "tensor" and guard.key[2] == "array"
        if same(now, self._last.get(guard.key, before)):
            return  # counted before
        if len(self._last) >= _MOST_CHANGES:  # most of them of objects that are gone
            self._last.clear()
            self._changes.clear()
        self._last[guard.key] = now
        if type(before) in (int, float) or isinstance(before, TensorBase) or memory:
            self._changes[guard.key] += 1
            if self._changes[guard.key] >= 2:
                self._dynamic.add(guard.key)

    def _relaxed(self, given: Arguments, args: tuple, kwargs: dict) -> Arguments:
        """The arguments with numbers that were different in each call as inputs."""
        if self.refuse is not None:  # a run that goes on unwatched knows plain numbers only
            return given
        numbers = [(i, leaf) for i, leaf in enumerate(given.leaves) if type(leaf) in (int, float)]
        changed = False
        for i, leaf in numbers:
            if i in self._dynamic_args:
                continue
            seen = self._seen_numbers.setdefault((i, type(leaf)), set())
            seen.add(leaf)
            if len(seen) > 2:
                self._dynamic_args[i] = type(leaf)
                changed = True
        if not changed:
            return given
        self._reads_arguments = True
        return Arguments(args, kwargs, self._dynamic_args, by_identity=self._by_identity)

    @functools.cached_property
    def _seen_numbers(self) -> dict[tuple, set]:
        return {}

    def _record(self, given: Arguments, args: tuple, kwargs: dict, reason: str) -> Any:
        """Run as it is, and make a plan if the run before it was the same."""
        waiting = self._pending.get(given.key, [])
        dynamic = frozenset(self._dynamic)
        pending = next((r for r in waiting if r.dynamic == dynamic and r.guards.holds()), None)
        if pending is not None:
            waiting.remove(pending)
        result, run = self._run(given, args, kwargs, dynamic)
        if run is None:
            return result
        if pending is None:
            self._wait(run, given.key)
            return result
        found = difference(pending.signature, run.signature)
        if found is None:
            self._keep(StepPlan(run, self.audit), given.key, reason)
        elif pending.attempts + 1 >= _PATIENCE:
            raise CaptureError(
                f"{found}. No two runs of the step computed the same, though nothing that it "
                "reads has changed"
            )
        else:
            run.attempts = pending.attempts + 1
            self._wait(run, given.key)
        return result

    def _run(
        self, given: Arguments, args: tuple, kwargs: dict, dynamic: frozenset[tuple]
    ) -> tuple[Any, _Pending | None]:
        """Run the step watched: its result, and the run unless it cannot be captured."""
        start = time.perf_counter()
        watch = Watch(given.tensors, given.objects, dynamic, lenient=self.refuse is not None)
        self._box[:] = given.leaves
        self._give(watch, given)
        if self._dynamic_args:
            as_input = functools.partial(self._as_input, watch)
            args, kwargs = with_leaves((args, kwargs), as_input, self._by_identity)
            self._give(watch, self._taken_apart(args, kwargs))
        result = watch.run(self.function, args, kwargs)
        try:
            if not self._leaves_arguments(given, args, kwargs):
                return result, None
            trace = watch.finish(result)
            self._reads_arguments |= watch.reads_arguments
        except CaptureError as error:
            if self.refuse is None:
                raise
            if len(self._refused) >= _MOST_REFUSED:  # they keep arguments alive
                self._refused.clear()
            self._refused.add(given.key)
            self.refuse(str(error))
            return result, None
        finally:
            watch.close()
            if not self._reads_arguments:
                self._box.clear()
        detached = functools.partial(_detached, watch.new_tensors)
        result = closed(mapped(detached, opened(result) if _has_dataclass(result) else result))
        return result, _Pending(trace, watch, time.perf_counter() - start)

    def _give(self, watch: Watch, given: Arguments) -> None:
        """Have the watch know the arguments."""
        for i, container in enumerate(given.containers):
            watch.make_inside(container)
            watch.containers[id(container)] = i
        for position, leaf in enumerate(given.leaves):
            if isinstance(leaf, TensorBase):
                reader = Reader(("argument", position, ""), self._box, position)
                watch.arguments.setdefault(id(leaf), reader)

    def _taken_apart(self, args: tuple, kwargs: dict) -> Arguments:
        """The arguments that a run is given, with numbers that are inputs."""
        dynamic = dict.fromkeys(self._dynamic_args, Number)
        return Arguments(args, kwargs, dynamic, by_identity=self._by_identity)

    def _leaves_arguments(self, given: Arguments, args: tuple, kwargs: dict) -> bool:
        """Whether the step has changed no container among its arguments; else a CaptureError.

        Instances of dataclasses may be changed: from then on they count as objects.
        """
        again = self._taken_apart(args, kwargs)
        if (
            again.attributes == given.attributes
            and len(again.leaves) == len(given.leaves)
            and all(a is b or type(a) is Number for a, b in zip(again.leaves, given.leaves))
        ):
            return True
        records = {type(container) for container in given.containers if is_dataclass(container)}
        if records:
            self._by_identity |= records
            return False
        raise CaptureError(
            f"{self.__name_or_type()} changes a container that it was given, which a replay "
            "would not: return what is new"
        )

    def _as_input(self, watch: Watch, position: int, leaf: Any) -> Any:
        if self._dynamic_args.get(position) is not type(leaf):
            return leaf
        reader = Reader(("argument", position, ""), self._box, position)
        call = watch.recorder.note(f"argument {position}", reader, (), {})
        call.result = value = Value(leaf, call)
        return Number(watch, leaf, f"{watch.guards.constant(reader)}()", value)

    def _wait(self, run: _Pending, key: Any) -> None:
        """Keep a run for the next one to be compared with, but not its arrays."""
        run.trace.forget()
        waiting = self._pending.setdefault(key, [])
        waiting.insert(0, run)
        del waiting[_MOST_PENDING:]
        while len(self._pending) > _MOST_PLANS:
            self._pending.pop(next(iter(self._pending)))

    def _keep(self, recording: StepPlan, key: Any, reason: str) -> None:
        self.captures += 1
        self.history.captured(reason or self._lost)
        self._lost = ""
        self._plans.setdefault(key, []).insert(0, recording)
        self._plans.move_to_end(key)
        while sum(map(len, self._plans.values())) > _MOST_PLANS:
            oldest = next(iter(self._plans))
            self._plans[oldest].pop()
            if not self._plans[oldest]:
                del self._plans[oldest]

    # ----------------------------------------------------------------- audits

    def _audited(self, recording: StepPlan, given: Arguments, args: tuple, kwargs: dict) -> Any:
        """A call that is run as it is and compared with the plan that would have served it."""
        with collector_paused():
            result, run = self._run(given, args, kwargs, recording.dynamic)
        if run is None:
            return result
        found = difference(recording.signature, run.signature)
        run.trace.close()
        if found is not None and run.signature.failures != recording.signature.failures:
            return result  # an error that depends on values, and that the step has handled
        if found is not None:
            self._plans.pop(given.key, None)
            raise recording.audits.error(found, f"the compiled step {self.__name_or_type()}")
        recording.audits.passed(run.seconds)
        return result


class _Pending:
    """A recorded run, and what it depended on."""

    def __init__(self, trace: Trace, watch: Watch, seconds: float):
        self.trace, self.guards, self.dynamic = trace, watch.guards, watch.dynamic
        self.handlers, self.seconds = watch.handlers, seconds
        self.signature = Signature(trace)
        self.attempts = 0


def _detached(made: set[int], leaf: Any) -> Any:
    """A leaf of a result as replays return it: what the run made has no graph."""
    if type(leaf) is Number:
        return leaf.value
    if isinstance(leaf, TensorBase) and not leaf.is_leaf and id(leaf) in made:
        return leaf.detach_()  # itself: it may have been stored, too
    return leaf


def _has_dataclass(result: Any) -> bool:
    return any(is_dataclass(leaf) for leaf in leaves(result))
