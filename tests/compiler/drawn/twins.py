"""Running a program: an eager and a compiled copy, call by call, with the same seeds."""

import contextlib
import gc
import importlib.util
import itertools
import marshal
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import minidl
from drawn.program import CALLS, Program

_INPUTS = np.random.default_rng(0).uniform(0.5, 2.0, (CALLS, 3)).astype(np.float32)
_numbers = itertools.count()


@dataclass
class Outcome:
    """How a case went.

    Attributes
    ----------
    name : str
        "equal", "refused", "wrong", or "invalid" if the program itself cannot be made.
    replays : int
        Of how many calls of the compiled step none of the program's code ran.
    call : int
        The call that was refused or wrong.
    text : str
        What was wrong.
    raised : int
        How many calls of the eager copy raised an error.
    failed : int
        How many changes raised an error.
    """

    name: str
    replays: int = 0
    call: int = -1
    text: str = ""
    raised: int = 0
    failed: int = 0


def run(
    program: Program, folder: Path, compile: Callable = minidl.compile, changes: bool = True
) -> Outcome:
    """Both copies of ``program``, written to ``folder``, and whether they agreed.

    ``compile`` makes the second copy's step. Without ``changes`` nothing changes in the second.
    """
    with written(program, folder) as load, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases: list[Any] = []
        try:
            for _ in range(2):
                _seed(0, True)
                cases.append(load().make())
        except Exception as error:
            return Outcome("invalid", text=repr(error))
        for case in cases:
            case.draws_numbers = "random" in program.text
        if not changes:
            cases[1].change = lambda i: None
        try:
            return _compared(*cases, compile, str(folder))
        finally:
            for case in cases:
                case.close()


def _compared(eager: Any, compiled: Any, compile: Callable, folder: str) -> Outcome:
    step = compile(compiled.step)
    outcome = Outcome("equal")
    for i in range(CALLS):
        expected = _called(eager, eager.step, i)
        with _watched(folder) as entered:
            found = _called(compiled, step, i)
        outcome.failed += expected.changed != ""
        outcome.raised += isinstance(expected.result, _Raised)
        refused = isinstance(found.result, _Raised) and found.result.is_refusal
        if isinstance(expected.result, _Raised) and expected.result == found.result:
            return outcome  # gradients after an error are not promised: see docs/compile.md
        if refused or found != expected:
            outcome.name, outcome.call = "refused" if refused else "wrong", i
            outcome.text = f"call {i}: {_difference(expected, found)}"
            return outcome
        outcome.replays += not entered and not isinstance(found.result, _Raised)
    return outcome


def _difference(expected: "_Call", found: "_Call") -> str:
    """Where two calls differ, and what was there."""
    for name, one, other in zip(vars(found), vars(expected).values(), vars(found).values()):
        if one != other:
            place, one, other = _first_difference(one, other)
            return f"{name}{place}: expected {_plain(one)}, found {_plain(other)}"
    return "the result is refused"


def _first_difference(one: Any, other: Any, place: str = "") -> tuple[str, Any, Any]:
    alike = type(one) is type(other) and isinstance(one, tuple | list) and len(one) == len(other)
    if alike and one[:1] != ("tensor",):
        for i, (part, other_part) in enumerate(zip(one, other)):
            if part != other_part:
                return _first_difference(part, other_part, f"{place}[{i}]")
    return place, one, other


def _plain(value: Any) -> Any:
    """What `digest` made of a value, with the numbers of tensors."""
    if isinstance(value, tuple) and value[:1] == ("tensor",):
        return np.frombuffer(value[3], value[1]).tolist()
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value


@dataclass
class _Call:
    """What a call did: the result or the error, the state, and the error of the change."""

    result: Any
    state: Any
    changed: str


@dataclass(eq=False)
class _Raised:
    """An error; two of one type are equal."""

    error: Exception

    @property
    def is_refusal(self) -> bool:
        return isinstance(self.error, minidl.CaptureError)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Raised) and type(self.error) is type(other.error)


def _called(case: Any, step: Callable, i: int) -> _Call:
    """Call ``i`` of one copy, after the change that comes before it."""
    _seed(100 + i, case.draws_numbers)
    changed, result = "", None
    try:
        if i:
            case.change(i)
    except Exception as error:
        changed = type(error).__name__
    try:
        args, options = case.args(i)
        x = minidl.tensor(_INPUTS[i].reshape(case.shapes[i]))
        with case.around():
            result = digest(step(x, *args, **options))
    except Exception as error:
        result = _Raised(error)
    try:
        state = digest(case.state())
    except Exception as error:  # what was deleted has no state
        state = type(error).__name__
    return _Call(result, state, changed)


def _seed(number: int, python: bool) -> None:
    """Start the generators of random numbers anew, those of Python and NumPy if they are used."""
    minidl.manual_seed(number)
    if python:
        random.seed(number)
        np.random.seed(number)


def digest(value: Any, depth: int = 6) -> Any:
    """What of a value has to agree: bits of tensors, numbers with their types, structure."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if depth and isinstance(value, dict):
        items = value.items()
        return kind.__name__, [(digest(k, 0), digest(v, depth - 1)) for k, v in items]
    if depth and isinstance(value, tuple | list):
        return kind.__name__, [digest(part, depth - 1) for part in value]
    if isinstance(value, minidl.Tensor):
        array = value.array
        return "tensor", array.dtype.char, array.shape, array.tobytes()
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return "array", value.dtype.char, value.shape, value.tobytes()
    return kind.__name__


_PLAIN = {int, float, bool, str, type(None)}


@contextlib.contextmanager
def _watched(folder: str) -> Iterator[list]:
    """Whether code of the program's files is entered by the step: not empty if so."""
    entered: list = []
    if sys.gettrace() is not None:  # coverage, a debugger: they go first
        entered.append(None)
        yield entered
        return

    def trace(frame: Any, event: str, argument: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(folder) and code.co_name not in _OURS:
            entered.append(code.co_name)
            sys.settrace(None)

    sys.settrace(trace)
    try:
        yield entered
    finally:
        sys.settrace(None)


_OURS = ("change", "args", "around", "state")


@contextlib.contextmanager
def written(program: Program, folder: Path) -> Iterator[Callable[[], ModuleType]]:
    """Write the files of a program; gives a function that imports another copy of it."""
    name = f"drawn_program_{next(_numbers)}"
    alone = len(program.files) == 1
    place = folder if alone else folder / name
    codes: dict[str, bytes] = {}
    copies = itertools.count()

    def load() -> ModuleType:
        copy = f"{name}_{next(copies)}"
        if alone:
            return _imported(copy, str(place / f"{name}.py"), codes)
        _imported(copy, str(place / "__init__.py"), codes, [str(place)])
        return importlib.import_module(f"{copy}.program")

    for file, text in program.files.items():
        path = place / (f"{name}.py" if alone else file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if not alone:
        (place / "__init__.py").write_text("")
    byte_code, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield load
    finally:
        sys.dont_write_bytecode = byte_code
        for copy in range(next(copies)):
            sys.modules.pop(f"{name}_{copy}", None)
        if not alone:
            for module in [m for m in sys.modules if m.startswith(f"{name}_")]:
                del sys.modules[module]


class _Loader(SourceFileLoader):
    """Compiles a file once and gives every copy code objects of its own."""

    def __init__(self, name: str, path: str, codes: dict[str, bytes]):
        super().__init__(name, path)
        self.codes = codes

    def get_code(self, fullname: str) -> Any:
        if self.path not in self.codes:
            self.codes[self.path] = marshal.dumps(super().get_code(fullname))
        return marshal.loads(self.codes[self.path])


def _imported(
    name: str, path: str, codes: dict[str, bytes], folders: list[str] | None = None
) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, path, loader=_Loader(name, path, codes), submodule_search_locations=folders
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Frozen:
    """Within the block, collections and searches for objects pass over what was there before.

    A recording looks through all objects for tensors; those of the program that runs are
    enough, and a hundred times as fast.
    """

    def __enter__(self) -> "Frozen":
        step = minidl.compile(lambda x: (x * 2).sum())
        for _ in range(4):
            step(minidl.ones(3))  # what the first of all steps loads
        self.cases = 0
        self._freeze()
        return self

    def __exit__(self, *exception: object) -> None:
        gc.unfreeze()

    def another(self) -> None:
        """A case has been run: now and then, its remains are put away as well."""
        self.cases += 1
        if self.cases in (3, 10, 20) or self.cases % 20 == 0:
            self._freeze()

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()


class Tally:
    """Counts of outcomes, in all and by what programs are about."""

    ABOUT = ("scope", "reader", "kind", "container", "change", "when", "form", "inputs", "written")
    NAMES = ("equal, replayed", "equal, not replayed", "refused", "wrong")

    def __init__(self) -> None:
        self.counts: Counter = Counter()

    def add(self, program: Program, outcome: Outcome) -> None:
        """Count one case."""
        name = outcome.name
        if name == "equal":
            name = "equal, replayed" if outcome.replays else "equal, not replayed"
        for about, label in {"all": "cases", **program.labels}.items():
            self.counts[about, label, name] += 1
        self.counts["errors of eager", "", ""] += bool(outcome.raised)
        self.counts["errors of changes", "", ""] += bool(outcome.failed)

    def share(self, name: str) -> float:
        """The share of one outcome."""
        return self.counts["all", "cases", name] / max(1, self.total())

    def total(self) -> int:
        """How many cases there were."""
        return sum(self._rows("all").values())

    def _rows(self, about: str) -> Counter:
        rows: Counter = Counter()
        for (other, label, _), count in self.counts.items():
            if other == about:
                rows[label] += count
        return rows

    def summary(self) -> str:
        """A table by scope, by reader and so on, and of what went wrong most."""
        lines = [f"{'':34}{'cases':>7}" + "".join(f"{name:>21}" for name in self.NAMES)]
        for about in ("all", *self.ABOUT):
            lines += [about, *self._table(about, self._rows(about).most_common())]
        rows = [(row, count) for row, count in self._rows("by").items() if count >= 5]
        rows = [(row, count) for row, count in rows if self.counts["by", row, "wrong"]]
        rows.sort(key=lambda pair: -self.counts["by", pair[0], "wrong"] / pair[1])
        lines += ["most often wrong", *self._table("by", rows[:60])]
        for what in ("errors of eager", "errors of changes"):
            lines.append(f"{what}: {self.counts[what, '', '']}")
        return "\n".join(lines)

    def _table(self, about: str, rows: list[tuple[str, int]]) -> Iterator[str]:
        for label, count in rows:
            shares = (self.counts[about, label, name] / count for name in self.NAMES)
            cells = "".join(f"{share:>20.1%} " for share in shares)
            yield f"  {label[:32]:32}{count:>7}{cells}"
