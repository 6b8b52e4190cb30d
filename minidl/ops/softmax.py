"""Softmax and its logarithm along one dimension."""

from minidl.autograd import op
from minidl.backend import xp
from minidl.ops.elementwise import exp, quiet


@op
def softmax(input, dim):
    """exp(x) / sum(exp(x)) along ``dim``."""
    e = xp(input).exp(input - input.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


softmax.vjp(lambda g, y, _x, dim: (g - (g * y).sum(dim, True)) * y)


@op
@quiet
def log_softmax(input, dim):
    """log(softmax(x)) along ``dim``, without the loss of precision."""
    shifted = input - input.max(axis=dim, keepdims=True)
    return shifted - xp(input).log(xp(input).exp(shifted).sum(axis=dim, keepdims=True))


log_softmax.vjp(lambda g, y, _x, dim: g - exp(y) * g.sum(dim, True))
