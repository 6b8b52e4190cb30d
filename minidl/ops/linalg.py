"""Products of matrices and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import op
from minidl.backend import xp
from minidl.ops.reduce import sum
from minidl.ops.shape import permute, reshape, transpose, unsqueeze


def _same_dtype(*arrays: Any) -> None:
    dtypes = {array.dtype for array in arrays if array is not None}
    if len(dtypes) > 1:
        names = " and ".join(sorted(map(str, dtypes)))
        raise TypeError(f"wants operands of one dtype, got {names}; convert with .to(dtype)")


@op
def matmul(input, other):
    """The matrix product, batched over leading dimensions, which broadcast.

    ``(..., n, k) @ (..., k, m) -> (..., n, m)``; a vector counts as a row on the left and
    as a column on the right, and its dimension is dropped from the result.
    """
    _same_dtype(input, other)
    return xp(input).matmul(input, other)


def _matmul_left_rule(g, _y, _a, b):
    if b.ndim == 1:
        return (unsqueeze(g, -1) if g.ndim else g) * b
    if _a.ndim == 1:
        return reshape(matmul(b, unsqueeze(g, -1)), b.shape[:-1])
    return matmul(g, transpose(b, -2, -1))


def _matmul_right_rule(g, _y, a, _b):
    if a.ndim == 1:
        return (unsqueeze(a, -1) if g.ndim else a) * (unsqueeze(g, -2) if g.ndim else g)
    if _b.ndim == 1:
        return reshape(matmul(transpose(a, -2, -1), unsqueeze(g, -1)), (*a.shape[:-2], a.shape[-1]))
    return matmul(transpose(a, -2, -1), g)


matmul.vjp(_matmul_left_rule, _matmul_right_rule)


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, ``(n, k) @ (k, m)``."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise ValueError(f"mm: wants two matrices, got shapes {input.shape} and {mat2.shape}")
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices, ``(b, n, k) @ (b, k, m)``."""
    if input.ndim != 3 or mat2.ndim != 3 or input.shape[0] != mat2.shape[0]:
        raise ValueError(
            f"bmm: wants two equally large batches of matrices, got shapes {input.shape} "
            f"and {mat2.shape}"
        )
    return matmul(input, mat2)


def outer(input: Any, vec2: Any) -> Any:
    """The outer product of two vectors, ``out[i, j] = input[i] * vec2[j]``."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise ValueError(f"outer: wants two vectors, got shapes {input.shape} and {vec2.shape}")
    return unsqueeze(input, 1) * vec2


@op
def linear(input, weight, bias=None):
    """``input @ weight.T + bias``: (..., in) with weight (out, in), bias (out,) -> (..., out)."""
    _same_dtype(input, weight, bias)
    result = xp(input).matmul(input, weight.T)
    if bias is not None:
        result += bias
    return result


def _rows(x: Any) -> Any:
    return reshape(x, (-1, x.shape[-1]))


linear.vjp(
    lambda g, _y, _x, weight, _bias: matmul(g, weight),
    lambda g, _y, x, _weight, _bias: matmul(transpose(_rows(g), 0, 1), _rows(x)),
    lambda g, _y, _x, _weight, _bias: sum(_rows(g), 0),
)


# --------------------------------------------------------------------------- einsum


@op
def _einsum(*arrays, terms, result):
    _same_dtype(*arrays)
    return xp(arrays[0]).einsum(f"{','.join(terms)}->{result}", *arrays, optimize=len(arrays) > 2)


@_einsum.vjp_each
def _einsum_rule(g, _y, *operands, i, terms, result):
    """The gradient of operand i: the same sum with g in its place, and its indices as result."""
    others = [j for j in range(len(operands)) if j != i]
    factors = [g, *(operands[j] for j in others)]
    names = [result, *(terms[j] for j in others)]
    for letter, size in zip(terms[i], operands[i].shape):
        if not any(letter in name for name in names):  # summed in this operand alone
            factors.append(g.new_ones((size,)))
            names.append(letter)
    return _einsum(*factors, terms=tuple(names), result=terms[i])


def einsum(equation: str, *operands: Any) -> Any:
    """Einstein summation: ``einsum("bij,bjk->bik", a, b)``, with ``...`` and repeated indices.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.einsum.html
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands, got {len(operands)}")
    terms, ellipsis = _spell_out(terms, operands)
    if arrow:
        result = result.replace("...", ellipsis)
    else:
        letters = "".join(terms)
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in ellipsis)
        result = ellipsis + "".join(once)
    terms, operands = _without_diagonals(terms, list(operands))
    return _einsum(*operands, terms=tuple(terms), result=result)


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _spell_out(terms: list[str], operands: tuple) -> tuple[list[str], str]:
    """Terms with letters in the place of each ``...``, and the letters of the longest one."""
    used = "".join(terms)
    spare = [letter for letter in _LETTERS if letter not in used]
    hidden = [
        x.ndim - len(term.replace("...", "")) if "..." in term else 0
        for term, x in zip(terms, operands)
    ]
    ellipsis = "".join(spare[: max(hidden)])
    spelled = [term.replace("...", ellipsis[len(ellipsis) - n :]) for term, n in zip(terms, hidden)]
    for term, x in zip(spelled, operands):
        if len(term) != x.ndim:
            raise ValueError(f"einsum: {term!r} does not fit an operand of shape {x.shape}")
    return spelled, ellipsis


def _without_diagonals(terms: list[str], operands: list) -> tuple[list[str], list]:
    """``ii`` as ``ij`` times the identity, whose gradient is a plain product again."""
    terms = list(terms)
    spare = [letter for letter in _LETTERS if letter not in "".join(terms)]
    for k in range(len(terms)):
        seen = ""
        for letter, size in zip(terms[k], operands[k].shape):
            if letter in seen:
                new = spare.pop()
                operands.append(operands[k].new_tensor(np.eye(size)))
                terms.append(letter + new)
                letter = new
            seen += letter
        terms[k] = seen
    return terms, operands


def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal."""
    return einsum("ii->", input)


def mT(input: Any) -> Any:
    """The last two dimensions exchanged."""
    order = [*range(input.ndim - 2), input.ndim - 1, input.ndim - 2]
    return permute(input, order)
