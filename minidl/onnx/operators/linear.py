"""Products of matrices."""

from __future__ import annotations

import functools

from minidl import ops
from minidl.onnx.registry import reads, writes


@writes("linear")
def _(graph, y, x, weight, bias):
    if len(graph.shape(x)) == 2:
        graph.add("Gemm", [x, weight, bias], y, transB=1)
        return
    product = [x, graph.add("Transpose", [weight], perm=[1, 0])]
    if bias is None:
        graph.add("MatMul", product, y)
    else:
        graph.add("Add", [graph.add("MatMul", product), bias], y)


@reads("Gemm")
def _(node):
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    turned = node.attribute("transA", 0), node.attribute("transB", 0)

    def gemm(a, b, c=None):
        a = a.t() if turned[0] else a
        b = b if turned[1] else b.t()
        if alpha == beta == 1 and (c is None or tuple(c.shape) == b.shape[:1]):
            return ops.linear(a, b, c)
        product = alpha * ops.linear(a, b)
        return product if c is None else product + beta * c

    return gemm


@writes("matmul")
def _(graph, y, a, b):
    graph.add("MatMul", [a, b], y)


@reads("MatMul")
def _(node):
    return ops.matmul


@writes("einsum")
def _(graph, y, *operands, terms, result):
    graph.add("Einsum", operands, y, equation=f"{','.join(terms)}->{result}")


@reads("Einsum")
def _(node):
    return functools.partial(ops.einsum, node.attribute("equation"))
