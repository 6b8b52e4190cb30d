"""Einstein summation, as a chain of matrix products."""

from __future__ import annotations

import math
import string
from typing import Any

from minidl import kernels
from minidl.autograd import op, quiet
from minidl.backend import xp
from minidl.ops.creation import eye
from minidl.ops.linalg import same_dtype
from minidl.ops.operands import accumulator


def einsum(equation: str, *operands: Any) -> Any:
    """Einstein summation: ``einsum("bij,bjk->bik", a, b)``.

    Letters that the result does not name are summed over; a letter twice in one operand
    takes its diagonal; ``...`` stands for any leading dimensions, which broadcast, as sizes
    of 1 do. Without ``->`` the result has the letters that occur once, in alphabetical order.

    Parameters
    ----------
    equation : str
        The letters of each operand's dimensions and of the result's.
    operands : Tensor
        Tensors of one dtype; they are multiplied from left to right.

    Raises
    ------
    ValueError
        If the equation does not fit the operands or names an unknown letter.
    """
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands, got {len(operands)}")
    terms, ellipsis = _spelled_out(terms, operands)
    if arrow:
        result = result.replace("...", ellipsis)
    else:
        letters = "".join(terms)
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in ellipsis)
        result = ellipsis + "".join(once)
    _check_letters(equation, terms, result)
    terms, operands = _without_diagonals(terms, list(operands))
    return _einsum(*operands, terms=tuple(terms), result=result)


def _spelled_out(terms: list[str], operands: tuple) -> tuple[list[str], str]:
    """Terms with letters in the place of each ``...``, and the letters of the longest one."""
    used = "".join(terms)
    spare = [letter for letter in string.ascii_letters if letter not in used]
    hidden = [
        max(x.ndim - len(term.replace("...", "")), 0) if "..." in term else 0
        for term, x in zip(terms, operands)
    ]
    ellipsis = "".join(spare[: max(hidden)])
    spelled = [
        term.replace("...", ellipsis[len(ellipsis) - n :], 1) for term, n in zip(terms, hidden)
    ]
    for term, x in zip(spelled, operands):
        if len(term) != x.ndim:
            raise ValueError(f"einsum: {term!r} does not fit an operand of shape {x.shape}")
    return spelled, ellipsis


def _check_letters(equation: str, terms: list[str], result: str) -> None:
    known = "".join(terms)
    if not set(known) <= set(string.ascii_letters):
        raise ValueError(f"einsum: {equation!r} names dimensions by other signs than letters")
    if len(set(result)) < len(result) or not set(result) <= set(known):
        raise ValueError(f"einsum: {equation!r} asks for a letter twice, or for an unknown one")


def _without_diagonals(terms: list[str], operands: list) -> tuple[list[str], list]:
    """``ii`` as ``ij`` times the identity, whose gradient is a plain product again."""
    terms = list(terms)
    spare = [letter for letter in string.ascii_letters if letter not in "".join(terms)]
    for k in range(len(terms)):
        seen = ""
        for letter, size in zip(terms[k], operands[k].shape):
            if letter in seen:
                new = spare.pop()
                operands.append(eye(size, dtype=operands[k].dtype, device=operands[k].device))
                terms.append(letter + new)
                letter = new
            seen += letter
        terms[k] = seen
    return terms, operands


# --------------------------------------------------------------------------- the operator


@op
@quiet
def _einsum(*arrays, terms, result):
    same_dtype(*arrays)
    arrays = _broadcast(arrays, terms)
    total, letters = arrays[0], terms[0]
    for i in range(1, len(arrays)):
        needed = {*result, *"".join(terms[i + 1 :])}
        total, letters = _contracted(total, letters, arrays[i], terms[i], needed)
    total, letters = _kept(total, letters, result), _only(letters, result)
    total = total.transpose([letters.index(letter) for letter in result])
    return total if len(arrays) > 1 else total.copy()


@_einsum.vjp_each
def _einsum_rule(g, _y, *operands, i, terms, result):
    """The gradient of operand i: the same sum with g in its place, and its letters as result."""
    others = [j for j in range(len(operands)) if j != i]
    factors = [g, *(operands[j] for j in others)]
    names = [result, *(terms[j] for j in others)]
    sizes = {pair for x, name in zip(factors, names) for pair in zip(name, x.shape)}
    for letter, size in zip(terms[i], operands[i].shape):
        if (letter, size) not in sizes:  # summed in this operand alone, or broadcast in others
            factors.append(g.new_ones((size,)))
            names.append(letter)
    return _einsum(*factors, terms=tuple(names), result=terms[i])


def _broadcast(arrays: tuple, terms: tuple[str, ...]) -> list:
    """The arrays with every dimension in the size of its letter, in the place of 1."""
    sizes: dict[str, int] = {}
    for array, term in zip(arrays, terms):
        for letter, size in zip(term, array.shape):
            known = sizes.setdefault(letter, size)
            if known != size != 1 and known != 1:
                raise ValueError(f"the dimensions {letter!r} have sizes {known} and {size}")
            sizes[letter] = size if known == 1 else known
    return [
        xp(array).broadcast_to(array, [sizes[letter] for letter in term])
        for array, term in zip(arrays, terms)
    ]


def _kept(array: Any, letters: str, needed: Any) -> Any:
    """``array`` summed over the letters that are not needed."""
    gone = tuple(i for i, letter in enumerate(letters) if letter not in needed)
    if not gone:
        return array
    return array.sum(axis=gone, dtype=accumulator(array.dtype)).astype(array.dtype, copy=False)


def _contracted(a: Any, left: str, b: Any, right: str, needed: set) -> tuple[Any, str]:
    """Two operands as one, summed over the letters that nobody needs any more."""
    a, left = _kept(a, left, {*needed, *right}), _only(left, {*needed, *right})
    b, right = _kept(b, right, {*needed, *left}), _only(right, {*needed, *left})
    batch = "".join(c for c in left if c in right and c in needed)
    summed = "".join(c for c in left if c in right and c not in needed)
    rows = "".join(c for c in left if c not in right)
    columns = "".join(c for c in right if c not in left)
    sizes = {**dict(zip(left, a.shape)), **dict(zip(right, b.shape))}
    a = _blocks(a, left, (batch, rows, summed), sizes)
    b = _blocks(b, right, (batch, summed, columns), sizes)
    out = kernels.matmul(a, b) if summed else a * b
    letters = batch + rows + columns
    return out.reshape([sizes[letter] for letter in letters]), letters


def _only(letters: str, needed: Any) -> str:
    return "".join(letter for letter in letters if letter in needed)


def _blocks(array: Any, letters: str, groups: tuple[str, ...], sizes: dict) -> Any:
    """The array with one dimension for each group of letters."""
    order = [letters.index(letter) for letter in "".join(groups)]
    shape = [math.prod(sizes[letter] for letter in group) for group in groups]
    return array.transpose(order).reshape(shape)
