"""Source: the syntax tree of a function, verified against the code that runs."""

from __future__ import annotations
import __future__

import ast
import linecache
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import NamedTuple

from minidl.compiler.rewrite.executed import executed_texts

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

FUTURE = __future__.annotations.compiler_flag
"""The flag of the one ``from __future__ import`` that still changes what code does."""

_MARK = 1_000_000  # no file has as many lines


class SourceError(Exception):
    """A function without source that can be trusted, or that cannot be rewritten.

    Attributes
    ----------
    reason : str
        Why, in words that go on after the name of the function.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Source(NamedTuple):
    """A function in the syntax tree of its file.

    Attributes
    ----------
    node : ast.FunctionDef, ast.AsyncFunctionDef or ast.Lambda
        Belongs to a tree that others use: not to be changed.
    class_name : str or None
        The innermost class around it, which mangles its private names.
    qualname : str
        Its name with those of what is around it.
    """

    node: FunctionNode
    class_name: str | None
    qualname: str


def find_source(function: FunctionType) -> Source:
    """The verified source of a function.

    Parameters
    ----------
    function : function
        Of a file, of a text that ``linecache`` knows (doctest, IPython), or of a module of
        Python's that is frozen into the interpreter.

    Returns
    -------
    Source

    Raises
    ------
    SourceError
        If there is no text, or if the text does not compile to the code that runs.
    """
    code = function.__code__
    file = _file_of(function)
    found = file.sources.get(code)
    if found is None and "@pytest_ar" in function.__globals__:
        found = file.with_other_asserts(code)
    if found is None:
        raise SourceError(_not_found(code.co_filename))
    return found


def _not_found(name: str) -> str:
    if name.startswith("<"):
        return (
            f"its source is not known ({name}): define it in a file, or import minidl before the "
            "text is executed"
        )
    return f"is not what {name} says now: the file has changed"


class _File:
    """The functions of one text, by the code that the text compiles to."""

    def __init__(self, text: str, filename: str, flags: int):
        tree, marked = ast.parse(text, filename), ast.parse(text, filename)
        pairs = zip(_functions(tree), _functions(marked))
        by_mark = {_marked(i, twin): source for i, (source, twin) in enumerate(pairs)}
        self.sources: dict[CodeType, Source] = {}
        plain = compile(tree, filename, "exec", flags, dont_inherit=True)
        other = compile(marked, filename, "exec", flags, dont_inherit=True)
        for code, twin in _twins(plain, other, by_mark):
            source = by_mark.get((twin.co_firstlineno, twin.co_name))
            if source is not None:
                self.sources[code] = source

    def with_other_asserts(self, code: CodeType) -> Source | None:
        """The source of a function whose asserts pytest has rewritten: no code is equal."""
        shape = _shape(code)
        for own, source in self.sources.items():
            if _shape(own) == shape and _asserts(source.node):
                return source
        return None


_MOST_FILES = 512
_files: dict[tuple[str, str, int], _File | SourceError] = {}
"""What was made of a file name and the text that it had."""


def _file_of(function: FunctionType) -> _File:
    code = function.__code__
    name, flags = code.co_filename, code.co_flags & FUTURE
    path = _path_of(name)
    linecache.checkcache(path)
    text = "".join(linecache.getlines(path, function.__globals__))
    texts = ([text] if text else []) + executed_texts(name)
    if not texts:
        raise SourceError(f"has no source: there is no text of {name}")
    files = [_file(name, text, flags) for text in texts]
    for file in files:
        if isinstance(file, _File) and code in file.sources:
            return file
    if isinstance(files[0], SourceError):
        raise SourceError(files[0].reason)
    return files[0]


def _path_of(name: str) -> str:
    """The file of code, also of a module of Python's that is frozen into the interpreter."""
    if not name.startswith("<frozen "):
        return name
    module = sys.modules.get(name.removeprefix("<frozen ").removesuffix(">"))
    return getattr(module, "__file__", None) or name


def _file(name: str, text: str, flags: int) -> _File | SourceError:
    key = name, text, flags
    if key not in _files:
        while len(_files) >= _MOST_FILES:
            del _files[next(iter(_files))]
        _files[key] = _parsed(text, name, flags)
    return _files[key]


def _parsed(text: str, name: str, flags: int) -> _File | SourceError:
    try:
        return _File(text, name, flags)
    except (SyntaxError, ValueError, RecursionError) as error:
        return SourceError(f"has no source that compiles: {name}: {error}")


def _functions(tree: ast.AST, class_name: str | None = None, prefix: str = "") -> Iterator[Source]:
    """All functions in a tree, in an order that depends on nothing but the tree."""
    for node in ast.iter_child_nodes(tree):
        inner, around = class_name, prefix
        if isinstance(node, FunctionNode):
            qualname = prefix + _name(node)
            yield Source(node, class_name, qualname)
            around = f"{qualname}.<locals>."
        elif isinstance(node, ast.ClassDef):
            inner, around = node.name, f"{prefix}{node.name}."
        yield from _functions(node, inner, around)


def _name(node: FunctionNode) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _marked(index: int, source: Source) -> tuple[int, str]:
    """The first line and name of code, after giving the function a separate line."""
    anchor = _anchor(source.node)
    if anchor.lineno < _MARK:  # a lambda that decorates has its line already
        anchor.lineno = anchor.end_lineno = _MARK + index
        anchor.col_offset = anchor.end_col_offset = 0
    return anchor.lineno, _name(source.node)


def _anchor(node: FunctionNode) -> ast.expr | FunctionNode:
    """What the first line of a function's code is that of."""
    decorators = getattr(node, "decorator_list", None)
    return decorators[0] if decorators else node


def _twins(
    code: CodeType, twin: CodeType, by_mark: dict[tuple[int, str], Source]
) -> Iterator[tuple[CodeType, CodeType]]:
    """Code of the plain and the marked tree, which come in the same order, with all in it."""
    yield code, twin
    inner, twins = ([c for c in x.co_consts if isinstance(c, CodeType)] for x in (code, twin))
    if len(inner) != len(twins):  # Python 3.10 makes one of equal lambdas in a line
        inner = [_unmarked(c, by_mark) for c in twins]
    for pair in zip(inner, twins):
        yield from _twins(*pair, by_mark)


def _unmarked(code: CodeType, by_mark: dict[tuple[int, str], Source]) -> CodeType:
    """Code of the marked tree with its true first line, for the Python that looks no further."""
    source = by_mark.get((code.co_firstlineno, code.co_name))
    line = code.co_firstlineno if source is None else _anchor(source.node).lineno
    constants = (_unmarked(c, by_mark) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_firstlineno=line, co_consts=tuple(constants))


def _shape(code: CodeType) -> tuple:
    """What pytest leaves as it is when it rewrites asserts."""
    names = frozenset(name for name in code.co_varnames if not name.startswith("@py"))
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return code.co_name, code.co_firstlineno, counts, names, frozenset(code.co_freevars)


def _asserts(node: FunctionNode) -> bool:
    return any(isinstance(part, ast.Assert) for part in ast.walk(node))
