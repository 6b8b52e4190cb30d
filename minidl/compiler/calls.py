"""Which recording serves a call of a compiled module, and what to do when none does."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections import OrderedDict
from typing import Any

from minidl.autograd import is_grad_enabled
from minidl.compiler.arguments import Arguments
from minidl.compiler.errors import CaptureError
from minidl.compiler.joint import Joint, Signature, joint_run
from minidl.compiler.match import difference
from minidl.compiler.replay import Recording, behind
from minidl.compiler.report import Report
from minidl.compiler.results import unknown_result
from minidl.compiler.step import CompiledStep
from minidl.nn import Module

_MOST_KINDS = 16  # of calls, by the layouts of arguments and the like
_MOST_PLANS = 4  # of one kind: training, evaluation, ...
_MOST_SIGNATURES = 6
_PATIENCE = 3  # runs of one kind that came to nothing, until it runs eagerly
_HOPELESS = 64  # recorded runs without a replay, until nothing new is recorded


class _Pending:
    """A recorded run that the next one is compared with."""

    def __init__(self, joint: Joint):
        joint.trace.forget()
        self.computed = joint.computed
        self.signatures, self.guards = joint.signatures, joint.guards


class _Kind:
    """Calls with arguments of one kind: all that is known of them."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []
        self.pending: _Pending | None = None
        self.failures = 0
        self.signatures: list[Signature] = []

    def learn(self, signature: Signature, without: Recording | None = None) -> None:
        """Record backward passes for gradients like these from now on, too.

        ``without`` is a recording that has none of them.
        """
        if signature not in self.signatures and len(self.signatures) < _MOST_SIGNATURES:
            self.signatures.append(signature)
            if self.pending is not None and signature not in self.pending.signatures:
                self.pending = None
        if signature in self.signatures:
            self.recordings = [r for r in self.recordings if r is not without]


class Calls:
    """Which recording serves a call of a module, and what to do when none does."""

    def __init__(self, module: Module, fullgraph: bool, audit: int | None):
        self.module, self.fullgraph, self.audit = module, fullgraph, audit
        self.name = f"compile({type(module).__name__})"
        self.trained = self.unrewarded = 0
        refuse = weakref.WeakMethod(self.refuse)  # no cycle keeps plans alive
        self.inference = CompiledStep(module, audit, refuse=lambda reason: refuse()(reason))
        self.history = Report()
        self.kinds: OrderedDict[Any, _Kind] = OrderedDict()
        self.warned = False
        self.lock = threading.RLock()

    @property
    def captures(self) -> int:
        """How many plans were made, with and without a backward pass."""
        return self.trained + self.inference.captures

    def __call__(self, args: tuple, kwargs: dict) -> Any:
        if not is_grad_enabled():
            return self.inference(*args, **kwargs)
        with self.lock:
            try:
                given = Arguments(args, kwargs, graphs=True)
            except CaptureError as error:
                self.refuse(str(error))
                return self.module(*args, **kwargs)
            tensors, key = given.tensors, given.key
            kind = self.kinds.get(key) or self.kind(key)
            for recording in kind.recordings:
                if recording.holds():
                    self.unrewarded = 0
                    if recording.audits.due():
                        return self.audited(recording, tensors, kind, args, kwargs)
                    return recording.repeat(tensors, kind)
            if self.unrewarded >= _HOPELESS:
                self.warn("its calls are of ever new kinds")
            elif kind.failures < _PATIENCE:
                return self.record(tensors, kind, args, kwargs)
            return self.module(*args, **kwargs)

    def kind(self, key: Any) -> _Kind:
        """A new kind of calls; the oldest is dropped if there are too many."""
        if len(self.kinds) >= _MOST_KINDS:
            self.kinds.popitem(last=False)
        return self.kinds.setdefault(key, _Kind())

    def reset(self) -> None:
        """Forget all plans and their memory; the next calls capture again."""
        with self.lock:
            self.kinds.clear()
            self.unrewarded = 0
            self.inference.reset()

    def code(self) -> str:
        """The programs of all plans, as Python."""
        recordings = (r for kind in self.kinds.values() for r in kind.recordings)
        texts = [text for recording in recordings for text in recording.texts()]
        return "\n".join([*texts, self.inference.code()])

    def report(self) -> str:
        """Captures with their reasons, and what each plan costs before a replay, as text."""
        with self.lock:
            plans = [recording for kind in self.kinds.values() for recording in kind.recordings]
            text = self.history.text(self.name, self.trained, plans)
            return f"{text}\nwithout gradients, {self.inference.report()}"

    # ----------------------------------------------------------------- recording

    def record(self, tensors: list, kind: _Kind, args: tuple, kwargs: dict) -> Any:
        """Run the module, and make a plan if the run before it was the same."""
        self.unrewarded += 1
        if kind.pending is not None and not kind.pending.guards.holds():
            kind.pending = None
        joint, failure = self.run(tensors, kind.signatures, args, kwargs)
        if failure:
            kind.pending = None
        else:
            failure = self.compare(kind, joint, tensors)
        if failure:
            self.failed(kind, failure, at_once=bool(joint.failure))
        elif joint.outputs:
            return behind(joint, self.name, kind)
        return joint.result

    def run(
        self, tensors: list, signatures: list[Signature], args: tuple, kwargs: dict
    ) -> tuple[Joint, str]:
        """Run the module as it is: a recording of it, and why it cannot be replayed, if so."""
        joint = joint_run(
            lambda call: call(self.module, args, kwargs),
            tensors,
            signatures,
            lambda: (*self.module.parameters(), *self.module.buffers()),
        )
        return joint, joint.failure or unknown_result(joint.result)

    def audited(
        self, recording: Recording, tensors: list, kind: _Kind, args: tuple, kwargs: dict
    ) -> Any:
        """A call that runs as it is and is compared with the plan that would have served it."""
        start = time.perf_counter()
        joint, failure = self.run(tensors, recording.signatures, args, kwargs)
        found = failure or difference(recording.computed, joint.computed)
        if found:
            kind.recordings.remove(recording)
            raise recording.audits.error(found, self.name)
        joint.trace.close()
        recording.audits.passed(time.perf_counter() - start)
        return behind(joint, self.name, kind) if joint.outputs else joint.result

    def compare(self, kind: _Kind, joint: Joint, tensors: list) -> str:
        """Keep a plan if this run and the one before computed the same; else why there is none."""
        before, kind.pending = kind.pending, None
        if before is not None and before.signatures == joint.signatures:
            if not (before.guards.holds() and joint.guards.holds()):
                return "forward changes what it reads: an attribute, a global, a list"
            found = difference(before.computed, joint.computed)
            if found is None:
                self.keep(Recording(self.name, joint, tensors, self.audit), kind)
                return ""
            kind.pending = _Pending(joint)
            return f"{found}. No two runs computed the same"
        kind.pending = _Pending(joint)
        return ""

    def keep(self, recording: Recording, kind: _Kind) -> None:
        """Add a plan, and give up those that will not be used any more."""
        self.history.captured(self.reason(kind))
        self.trained += 1
        kind.failures = 0
        for other in self.kinds.values():
            other.recordings = [r for r in other.recordings if r.has_its_arrays()]
        kind.recordings = [recording, *kind.recordings][:_MOST_PLANS]

    def reason(self, kind: _Kind) -> str:
        """Why none of the plans for calls like this one served it."""
        for recording in kind.recordings:
            for guard in recording.guards.failed():
                return recording.guards.change(guard)
        return "parameters or buffers have other memory" if kind.recordings else ""

    def failed(self, kind: _Kind, reason: str, at_once: bool) -> None:
        """Count a run that came to nothing, and say so unless the next may do better."""
        kind.failures += 1
        if at_once or kind.failures >= _PATIENCE:
            self.refuse(reason)

    def refuse(self, reason: str) -> None:
        """Say why the module is not compiled, or raise if it must be."""
        if self.fullgraph:
            raise CaptureError(f"{self.name}: {reason}")
        self.warn(reason)

    def warn(self, reason: str) -> None:
        """Say once why the module is not compiled."""
        if not self.warned:
            self.warned = True
            text = f"{self.name} runs without a plan: {reason}"
            warnings.warn(text, RuntimeWarning, stacklevel=7)
