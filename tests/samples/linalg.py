"""Samples of products of matrices and tensors."""

from hypothesis import strategies as st

import minidl
from minidl.ops import linalg
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, arrays_together, broadcastable_shapes, shapes


def _sides(draw, count, least=0):
    return [draw(st.integers(least, 3)) for _ in range(count)]


@samples(minidl.matmul)
def _(draw):
    """Vectors, matrices and batches of them, in any combination."""
    n, k, m = _sides(draw, 3)
    left, right = draw(broadcastable_shapes(max_dims=2))
    first = draw(st.sampled_from([(k,), (n, k), (*left, n, k)]))
    second = draw(st.sampled_from([(k,), (k, m), (*right, k, m)]))
    return Sample(*draw(arrays_together([first, second])))


@samples(minidl.mm)
def _(draw):
    n, k, m = _sides(draw, 3)
    return Sample(*draw(arrays_together([(n, k), (k, m)])))


@samples(minidl.bmm)
def _(draw):
    b, n, k, m = _sides(draw, 4)
    return Sample(*draw(arrays_together([(b, n, k), (b, k, m)])))


@samples(minidl.outer)
def _(draw):
    n, m = _sides(draw, 2)
    return Sample(*draw(arrays_together([(n,), (m,)])))


@samples(linalg.mT, torch=lambda input: input.mT)
def _(draw):
    return Sample(draw(arrays(shapes(min_dims=2))))


@samples(minidl.linear)
def _(draw):
    lead, (inside, outside) = draw(shapes(max_dims=2)), _sides(draw, 2)
    x, weight, bias = draw(arrays_together([(*lead, inside), (outside, inside), (outside,)]))
    return Sample(x, weight, *draw(st.sampled_from([(), (None,), (bias,)])))


EQUATIONS = [
    "i->i",
    "ij->ji",
    "ij->",
    "ii->i",
    "iji",
    "i,j->ij",
    "ij,jk",
    "ij,jk->ki",
    "bij,bjk->bik",
    "ij,ij->ij",
    "ij,ij->j",
    "ij,kl->il",
    "i,i,i->",
    "ij,jk,kl->li",
    "ii,ij->j",
    "bi,ijk,bk->bj",
    "...i,...i->...",
    "...ij,jk",
    "i...->...",
    "b...,b->b...",
    " ba , cb -> ca ",
]


@samples(minidl.einsum)
def _(draw):
    """Letters have one size throughout, or 1 where an operand broadcasts."""
    equation = draw(st.sampled_from(EQUATIONS))
    sizes = dict(zip("abcijkl", _sides(draw, 7, least=1)))
    lead = draw(shapes(max_dims=2, min_side=1, max_side=2))
    operands = []
    for term in equation.replace(" ", "").split("->")[0].split(","):
        doubled = len(set(term.replace("...", ""))) < len(term.replace("...", ""))
        before, dots, after = term.partition("...")
        sides = [[sizes[letter] for letter in part] for part in (before, after)]
        shape = [*sides[0], *(lead if dots else ()), *sides[1]]
        if shape and not doubled and draw(st.integers(0, 3)) == 0:
            shape[draw(st.integers(0, len(shape) - 1))] = 1
        operands.append(tuple(shape))
    return Sample(equation, *draw(arrays_together(operands)))
