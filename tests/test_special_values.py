"""Where PyTorch is the measure: NaN, infinities, ties, float16, no elements, odd dtypes.

Each case is one expression, computed by both libraries from the same inputs and compared
in value, dtype and gradient. A NumPy warning would be an error.
"""

import math

import numpy as np
import pytest

import minidl

torch = pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")

INF, NAN = math.inf, math.nan
SPECIAL = [0.0, -0.0, 1.5, -2.0, INF, -INF, NAN]


def outcome(library, function, inputs, dtype):
    """Values of all results and gradients, as NumPy arrays."""
    tensors = [library.tensor(x, dtype=getattr(library, dtype)) for x in inputs]
    differentiable = dtype.startswith("float")
    if differentiable:
        tensors = [tensor.requires_grad_() for tensor in tensors]
    results = function(library, *tensors)
    results = list(results) if isinstance(results, tuple) else [results]
    roots = [result for result in results if result.requires_grad]
    gradients = []
    if roots:
        weights = [library.ones_like(root) for root in roots]
        gradients = library.autograd.grad(roots, tensors, weights, allow_unused=True)
    arrays = [result.detach().numpy() for result in results]
    return arrays + [None if g is None else g.numpy() for g in gradients]


def check(function, *inputs, dtype="float64", rtol=1e-12, atol=1e-15):
    ours = outcome(minidl, function, inputs, dtype)
    theirs = outcome(torch, function, inputs, dtype)
    assert len(ours) == len(theirs)
    for mine, expected in zip(ours, theirs):
        if expected is None:
            assert mine is None or not mine.any()
        else:
            assert mine.dtype == expected.dtype
            np.testing.assert_allclose(mine, expected, rtol=rtol, atol=atol, strict=True)


def cases(*functions):
    return pytest.mark.parametrize("function", functions, ids=range(len(functions)))


# --------------------------------------------------------------------------- NaN and infinity


@cases(
    lambda T, x: x.exp(),
    lambda T, x: T.expm1(x),
    lambda T, x: x.log(),
    lambda T, x: T.log1p(x),
    lambda T, x: x.sqrt(),
    lambda T, x: T.rsqrt(x),
    lambda T, x: x.square(),
    lambda T, x: x.reciprocal(),
    lambda T, x: x.sin(),
    lambda T, x: x.cos(),
    lambda T, x: x.tanh(),
    lambda T, x: x.erf(),
    lambda T, x: x.abs(),
    lambda T, x: x.sign(),
    lambda T, x: x.floor(),
    lambda T, x: x.round(),
    lambda T, x: x.relu(),
    lambda T, x: x.sigmoid(),
    lambda T, x: x.clamp(-1, 1),
    lambda T, x: x.clamp(min=0),
    lambda T, x: x**2,
    lambda T, x: x**0,
    lambda T, x: x**-1,
    lambda T, x: x**1.5,
    lambda T, x: x / 0,
    lambda T, x: x % 2,
    lambda T, x: T.div(x, 2, rounding_mode="floor"),
    lambda T, x: T.div(x, 0.0, rounding_mode="trunc"),
    lambda T, x: x - x,
    lambda T, x: T.where(x > 0, x, 0.0),
    lambda T, x: x.masked_fill(T.isnan(x), 0.0),
)
def test_functions_of_special_values(function):
    check(function, SPECIAL)


PAIRS = np.array([[a, b] for a in SPECIAL for b in SPECIAL]).T


@cases(
    lambda T, a, b: a + b,
    lambda T, a, b: a * b,
    lambda T, a, b: a / b,
    lambda T, a, b: T.div(a, b, rounding_mode="floor"),
    lambda T, a, b: T.maximum(a, b),
    lambda T, a, b: T.minimum(a, b),
    lambda T, a, b: a.clamp(min=b),
    lambda T, a, b: a.clamp(max=b),
    lambda T, a, b: a == b,
    lambda T, a, b: a <= b,
    lambda T, a, b: T.logical_and(a, b),
)
def test_pairs_of_special_values(function):
    check(function, *PAIRS)


def test_remainder_of_special_values():
    check(lambda T, a, b: a.detach() % b.detach(), *PAIRS)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 3.0, -1.0])
@pytest.mark.parametrize("base", [0.0, 0.5, 2.0])
def test_powers(base, exponent):
    check(lambda T, x, p: x**p, [base], [exponent])
    check(lambda T, p: base**p, [exponent])
    check(lambda T, x: x**exponent, [base])


def test_second_derivative_of_powers_at_0():
    x = minidl.tensor([0.0, 0.0, 2.0], requires_grad=True)
    p = minidl.tensor([0.0, 1.0, 0.0], requires_grad=True)
    (first,) = minidl.autograd.grad((x**p).sum(), x, create_graph=True)
    (second,) = minidl.autograd.grad(first.sum(), x, retain_graph=True)
    (mixed,) = minidl.autograd.grad(first[2], p)
    assert first.tolist() == [0, 1, 0]
    assert second.tolist() == [0, 0, 0]
    assert mixed.tolist() == [0, 0, 0.5]


# --------------------------------------------------------------------------- reductions

ROWS = [[1.0, 2.0, 3.0], [INF, 1.0, 2.0], [-INF, -INF, -INF], [-INF, 0.0, 1.0], [NAN, 1.0, 2.0]]


@cases(
    lambda T, x: x.detach().logsumexp(1),
    lambda T, x: T.logsumexp(x[:2], 1),
    lambda T, x: T.logsumexp(x[3:], (0, 1)),
    lambda T, x: x.softmax(dim=1),
    lambda T, x: x.log_softmax(dim=-1),
    lambda T, x: x.sum(0),
    lambda T, x: x.mean((0, 1)),
    lambda T, x: x.std(1),
    lambda T, x: x.amax(1),
    lambda T, x: x.max(1).values,
    lambda T, x: x.min(0).indices,
    lambda T, x: x.argmax(1, keepdim=True),
    lambda T, x: x.cumsum(1),
    lambda T, x: x.norm(dim=1),
    lambda T, x: x[:4].norm(INF, 1),
    lambda T, x: x.sort(1, descending=True),
    lambda T, x: x.topk(2, 1),
    lambda T, x: x.topk(2, largest=False),
)
def test_reductions_of_special_values(function):
    check(function, ROWS)


def test_large_logits():
    check(lambda T, x: x.softmax(0), [1e4, -1e4, 1e4 - 1])
    check(lambda T, x: x.log_softmax(0), [1e4, -1e4, 1e4 - 1])
    check(lambda T, x: x.logsumexp(0), [1e4, -1e4, 1e4 - 1])


def test_logsumexp_of_nothing_but_minus_infinity_has_no_gradient():
    x = minidl.tensor([-INF, -INF], requires_grad=True)
    total = x.logsumexp(0)
    total.backward()
    assert total.item() == -INF
    assert x.grad.tolist() == [0, 0]  # PyTorch's is NaN, and spoils all that is summed with it


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, INF, -INF, "fro"])
def test_norms_at_0(p):
    check(lambda T, x: T.norm(x, p, dim=1), [[0.0, 0.0], [0.0, 2.0], [-3.0, 4.0]])


def test_second_derivative_of_the_norm_beside_0():
    x = minidl.tensor([3.0, 0.0], requires_grad=True)
    (first,) = minidl.autograd.grad(x.norm(), x, create_graph=True)
    (second,) = minidl.autograd.grad(first[1], x)
    np.testing.assert_allclose(second.numpy(), [0, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    "row", [[2.0, 3.0, 4.0], [0.0, 3.0, 4.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [INF, 0.0, 1.0]]
)
def test_products_with_zeros(row):
    check(lambda T, x: x.prod(1), [row, row])
    check(lambda T, x: T.prod(x), row)


@cases(
    lambda T, x: x.amax(),
    lambda T, x: x.amin(0),
    lambda T, x: x.max(),
    lambda T, x: x.max(1),
    lambda T, x: x.min(1),
    lambda T, x: T.maximum(x, x * 1),
    lambda T, x: x.std(0),
    lambda T, x: x.relu(),
)
def test_ties(function):
    check(function, [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@cases(
    lambda T, x: x.sum(),
    lambda T, x: x.sum(()),
    lambda T, x: x.mean(),
    lambda T, x: x.mean(1),
    lambda T, x: x.prod(1),
    lambda T, x: x.logsumexp(1),
    lambda T, x: x.softmax(1),
    lambda T, x: x.log_softmax(1),
    lambda T, x: x.cumsum(1),
    lambda T, x: x.norm(dim=1),
    lambda T, x: x.sort(),
    lambda T, x: x.any(1),
    lambda T, x: x.all(1),
    lambda T, x: x.amax(0),
    lambda T, x: x.matmul(x.t()),
    lambda T, x: T.einsum("ij,kj->ik", x, x),
    lambda T, x: T.nn.functional.linear(x, x.detach()) if T is torch else T.linear(x, x.detach()),
)
def test_no_elements(function):
    check(function, np.zeros((2, 0)))


@cases(
    lambda T, x: x.sum(0),
    lambda T, x: x.mean(-1),
    lambda T, x: x.max(0),
    lambda T, x: x.argmin(0),
    lambda T, x: x.cumsum(0),
    lambda T, x: x.softmax(0),
    lambda T, x: x.logsumexp(0),
    lambda T, x: x.sort(),
    lambda T, x: x.topk(1),
    lambda T, x: T.gather(x, 0, T.tensor(0)),
    lambda T, x: T.gather(x, 0, T.tensor([0, 0])),
    lambda T, x: T.scatter(x, 0, T.tensor(0), 5.0),
    lambda T, x: T.scatter_add(x, 0, T.tensor([0]), T.tensor([5.0], dtype=x.dtype)),
    lambda T, x: x.flatten(),
    lambda T, x: x.squeeze(0),
    lambda T, x: x.unsqueeze(-1),
    lambda T, x: x.transpose(0, -1),
    lambda T, x: x.repeat(2),
    lambda T, x: x.expand(2, 3),
    lambda T, x: x[None],
    lambda T, x: x[...],
    lambda T, x: x[True],
    lambda T, x: x[T.tensor(False)],
    lambda T, x: T.stack([x, x]),
)
def test_scalars_count_as_vectors_of_one(function):
    check(function, 2.5)


def test_variance_of_too_few():
    with pytest.warns(UserWarning, match="degrees of freedom"):
        check(lambda T, x: x.var(), [1.0])
    with pytest.warns(UserWarning, match="degrees of freedom"):
        check(lambda T, x: x.std(correction=3), [1.0, 2.0])
    with pytest.warns(UserWarning, match="degrees of freedom"):
        check(lambda T, x: x.var(1), np.zeros((2, 0)))


# --------------------------------------------------------------------------- dtypes


@cases(
    lambda T, x: x + 1,
    lambda T, x: x + 70000,
    lambda T, x: x * x,
    lambda T, x: x / 3,
    lambda T, x: x.exp(),
    lambda T, x: x.sigmoid(),
    lambda T, x: x.erf(),
    lambda T, x: x.sum(),
    lambda T, x: x.mean(),
    lambda T, x: x.mean(0),
    lambda T, x: x.softmax(1),
    lambda T, x: x.logsumexp(1),
    lambda T, x: x.norm(),
    lambda T, x: x.std(),
    lambda T, x: x.matmul(x.t()),
    lambda T, x: x.cumsum(1),
    lambda T, x: x.float().sum(),
)
def test_float16(function):
    generator = np.random.default_rng(0)
    x = generator.uniform(0.5, 2, (3, 500)).round(2)
    check(function, x, dtype="float16", rtol=5e-3, atol=1e-6)


def test_float16_sums_are_added_up_in_float32():
    ones = minidl.ones(4096, 2, dtype=minidl.float16)
    assert ones[:, 0].sum().item() == 4096
    assert ones.sum(0).tolist() == [4096, 4096]
    assert ones.sum_to_size((1, 2)).tolist() == [[4096, 4096]]
    assert (ones * 100).mean().item() == 100
    assert ones[:, 0].matmul(ones[:, 1]).item() == 4096
    assert minidl.linear(ones.t(), ones.t()).tolist() == [[4096, 4096]] * 2
    assert minidl.einsum("ij,ij->j", ones, ones).tolist() == [4096, 4096]
    assert minidl.einsum("ij->", ones).item() == 8192
    assert (ones[:, 0] * 300).norm().item() == 19200
    assert ones[:, 0].cumsum(0)[-1].item() == 4096


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@cases(
    lambda T, x: x.sum(),
    lambda T, x: x.prod(0),
    lambda T, x: x.cumsum(1),
    lambda T, x: x / x.sum(),
    lambda T, x: x * 2.5,
    lambda T, x: x + True,
    lambda T, x: x > 0.5,
    lambda T, x: x & x,
    lambda T, x: ~x,
    lambda T, x: x.clamp(0.5) if x.dtype != T.bool else x,
    lambda T, x: T.where(x > 0, x, 0),
    lambda T, x: T.where(x > 0, 1.0, 0.0),
    lambda T, x: T.where(x > 0, x, 0.5),
    lambda T, x: x.sqrt(),
    lambda T, x: x.sigmoid(),
    lambda T, x: x.floor() if x.dtype != T.bool else x,
    lambda T, x: x.amax(1),
    lambda T, x: x.argmax(1) if x.dtype != T.bool else x,
    lambda T, x: x.logsumexp(0),
    lambda T, x: T.cat([x, T.ones(1, 3)]),
    lambda T, x: T.stack([x, x.double()]),
    lambda T, x: x.sum(dtype=T.float32),
    lambda T, x: x.float().mean(),
)
def test_integers(function, dtype):
    check(function, [[1, 0, 1], [1, 1, 1]], dtype=dtype, rtol=1e-6)


@cases(
    lambda T, x: x + 300,
    lambda T, x: x - 2,
    lambda T, x: x * -1,
    lambda T, x: -x,
    lambda T, x: x == 256,
    lambda T, x: x // 2,
    lambda T, x: x % 2,
    lambda T, x: T.div(x, 2, rounding_mode="trunc"),
    lambda T, x: x**2,
    lambda T, x: x**2.0,
)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64"])
def test_integers_wrap_around(function, dtype):
    check(function, [0, 1, 7, 101], dtype=dtype)


@cases(
    lambda T, a, b: a // b,
    lambda T, a, b: a % b,
    lambda T, a, b: T.div(a, b, rounding_mode="trunc"),
)
def test_division_of_negative_integers(function):
    check(function, [7, 7, -7, -7, 6, -6], [2, -2, 2, -2, -3, 3], dtype="int64")
