"""Instrumented copies: functions that run a rewritten body instead of theirs."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType

from minidl.compiler.rewrite.hooks import Hooks
from minidl.compiler.rewrite.rewrite import rewritten
from minidl.compiler.rewrite.source import FUTURE, FunctionNode, Source, SourceError, find_source
from minidl.compiler.rewrite.syntax import HOOKS

_FACTORY = "@factory"
_FUNCTION = "@function"
_COROUTINES = 0x80 | 0x100 | 0x200  # coroutines also made of generators, and async generators


class Instrumented:
    """The rewritten code of a function, for any function object with that code.

    Attributes
    ----------
    code : CodeType
        The instrumented code.
    codes : frozenset of CodeType
        It, and the code of all functions, classes and comprehensions nested in it.
    """

    def __init__(self, code: CodeType):
        self.code = code
        self.codes = frozenset(_nested(code))

    def bind(self, function: FunctionType, hooks: Hooks) -> FunctionType:
        """A copy of a function that reports what it does to hooks.

        Parameters
        ----------
        function : function
            The one that was instrumented, or another of the same code.
        hooks : Hooks
            Told of all that calls of the copy do, as are the functions defined in it.

        Returns
        -------
        function
            With the same globals, variables of enclosing functions, defaults and attributes:
            not copies of them.
        """
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        cells[HOOKS] = CellType(hooks)
        closure = tuple(cells[name] for name in self.code.co_freevars)
        new = FunctionType(
            self.code, function.__globals__, function.__name__, function.__defaults__, closure
        )
        for name in _KEPT:
            if hasattr(function, name):
                setattr(new, name, getattr(function, name))
        return new


_KEPT = ("__kwdefaults__", "__qualname__", "__module__", "__doc__", "__dict__", "__type_params__")
# where annotations are evaluated when they are asked for, that is not asked here
_KEPT += ("__annotate__",) if hasattr(FunctionType, "__annotate__") else ("__annotations__",)

_known: dict[tuple[str, CodeType], Instrumented | SourceError] = {}
_made: set[CodeType] = set()
_lock = threading.RLock()


def instrument(function: FunctionType) -> Instrumented:
    """The instrumented code of a function; made once.

    Parameters
    ----------
    function : function
        Written in Python.

    Returns
    -------
    Instrumented

    Raises
    ------
    SourceError
        If its source is not to be found, has changed, or cannot be rewritten.
    """
    code = function.__code__
    key = code.co_filename, code  # codes of two files may be equal
    known = _known.get(key)
    if known is None:
        with _lock:  # linecache is not made for several threads
            known = _known.get(key) or _known.setdefault(key, _instrumented(function))
    if isinstance(known, SourceError):
        raise SourceError(known.reason)
    return known


def is_instrumented(code: CodeType) -> bool:
    """Whether code is of an instrumented copy, or of a function defined in one.

    Parameters
    ----------
    code : CodeType

    Returns
    -------
    bool
    """
    return code in _made


def _instrumented(function: FunctionType) -> Instrumented | SourceError:
    code = function.__code__
    try:
        if code.co_flags & _COROUTINES:
            raise SourceError("is a coroutine")
        source = find_source(function)
        made = Instrumented(_compiled(source, code))
    except SourceError as error:
        return SourceError(error.reason)  # without the frames that it was raised in
    _made.update(made.codes)
    return made


def _compiled(source: Source, original: CodeType) -> CodeType:
    node = rewritten(source, original.co_freevars)
    module = ast.Module([_factory(node, source.class_name, original.co_freevars)], [])
    ast.fix_missing_locations(module)
    flags = original.co_flags & FUTURE
    try:
        code = compile(module, original.co_filename, "exec", flags, dont_inherit=True)
    except (SyntaxError, RecursionError) as error:
        raise SourceError(f"cannot be instrumented: {error}") from None
    while code.co_name != _FACTORY:
        code = _inner(code)
    qualname = getattr(original, "co_qualname", source.qualname)
    code = _inner(code)
    prefix = f"{source.class_name}." if source.class_name else ""
    prefix += f"{_FACTORY}.<locals>.{code.co_name}"
    return _renamed(code, prefix, qualname).replace(co_name=original.co_name)


def _factory(node: FunctionNode, class_name: str | None, free: tuple[str, ...]) -> ast.stmt:
    """A definition around the function, which never runs: it makes free variables free.

    A class around that one has the compiler mangle private names.
    """
    body: list[ast.stmt] = [
        ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in free
    ]
    if isinstance(node, ast.Lambda):
        body.append(ast.Expr(node))
    else:
        node.name = _FUNCTION  # its own may be that of a global that it reads
        body.append(node)
    hooks = ast.arguments([], [ast.arg(HOOKS)], None, [], [], None, [])
    factory = ast.FunctionDef(_FACTORY, hooks, body, [])
    for new in (factory, *body[: len(free)]):
        new.lineno = new.end_lineno = node.lineno
        new.col_offset = new.end_col_offset = 0
    if class_name is None:
        return factory
    return ast.copy_location(ast.ClassDef(class_name, [], [], [factory], []), factory)


def _inner(code: CodeType) -> CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _renamed(code: CodeType, prefix: str, qualname: str) -> CodeType:
    """Code whose qualified names, and those nested in it, do not show the factory."""

    def renamed(constant: object) -> object:
        if isinstance(constant, CodeType):
            return _renamed(constant, prefix, qualname)
        if isinstance(constant, str) and constant.startswith(prefix):
            return qualname + constant[len(prefix) :]
        return constant

    changes: dict[str, object] = {"co_consts": tuple(map(renamed, code.co_consts))}
    if hasattr(code, "co_qualname"):
        changes["co_qualname"] = renamed(code.co_qualname)
    return code.replace(**changes)
