"""Code that runs on any array module names only arguments that CuPy has too.

As in test_cupy_names, that is read off the source: ``x.max(initial=0)`` is NumPy's alone. What
a call is a call of is not known, so each is held against CuPy's method and function of that
name, unless the name or the module says that it is none of them.
"""

import ast
import inspect
import re
from pathlib import Path

import pytest

import minidl

cupy = pytest.importorskip("cupy", reason="needs CuPy, which needs no GPU: .[test-cuda]")

ROOT = Path(minidl.__file__).parent
FOR_THE_HOST = re.compile("^(from|import) (numba|llvmlite)", re.MULTILINE)
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("autograd", "ops", "kernels")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "cpu.py" and not FOR_THE_HOST.search(path.read_text())
) + ["random.py"]
OF_ANOTHER_MODULE = {"np", "math", "functools", "warnings", "emulator"}
UFUNC = {"out", "where", "dtype", "casting", "axis", "keepdims"}


def arguments(function):
    """The names of the arguments of one of CuPy's functions; None if it takes any."""
    if isinstance(function, cupy.ufunc):
        return UFUNC
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # compiled: the signature is the first line of the docstring
        first_line = function.__doc__.strip().partition("\n")[0]
        return set(re.findall(r"\w+", first_line.partition("(")[2]))
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return None if any_name else {p.name for p in parameters}


def wrong_arguments(source):
    """The line, the name and the argument of each call with one that CuPy does not have."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        value, name = node.func.value, node.func.attr
        if name.startswith("_") or (isinstance(value, ast.Name) and value.id in OF_ANOTHER_MODULE):
            continue
        for owner in (cupy.ndarray, cupy):
            function = getattr(owner, name, None)
            known = arguments(function) if inspect.isroutine(function) else None
            if known is None or (owner is cupy and hasattr(cupy.ndarray, name)):
                continue
            yield from (
                (node.lineno, name, k.arg) for k in node.keywords if k.arg and k.arg not in known
            )


@pytest.mark.parametrize("module", MODULES)
def test_cupy_has_every_argument_named(module):
    assert not list(wrong_arguments((ROOT / module).read_text()))


def test_the_search_finds_arguments():
    source = "x.max(axis=0, initial=1)\nxp(x).full(2, like=x)\nnp.max(x, initial=1)\nx.max(axis=1)"
    assert list(wrong_arguments(source)) == [(1, "max", "initial"), (2, "full", "like")]
