"""Tensor: its methods, its behaviour as a Python object, and what it says when misused."""

import copy
import math
import operator
import pickle

import numpy as np
import pytest

import minidl
from minidl.backend import result_type

DTYPES = ["bool", "uint8", "int64", "float16", "float32", "float64"]


@pytest.fixture
def x():
    return minidl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)


# --------------------------------------------------------------------------- what it is


def test_what_a_tensor_says_of_itself(x):
    assert x.shape == x.size() == (2, 3)
    assert (x.size(-1), x.ndim, x.dim(), x.numel(), x.element_size()) == (3, 2, 2, 6, 4)
    assert x.dtype == minidl.float32
    assert x.device == minidl.device("cpu")
    assert x.is_floating_point() and not x.long().is_floating_point()
    assert x.is_contiguous() and not x.T.is_contiguous()
    assert x.T.contiguous().is_contiguous() and x.contiguous() is x


def test_the_class_makes_no_tensors():
    with pytest.raises(TypeError, match=r"minidl\.tensor\(data\)"):
        minidl.Tensor([1])


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1, "int64"),
        (1.0, "float32"),
        (True, "bool"),
        ([], "float32"),
        ([1, 2.5], "float32"),
        ([True, 2], "int64"),
        (np.ones(2), "float64"),
        (np.float64(1), "float64"),
        ([np.ones(2)], "float64"),
        ([np.float16(1), 2], "float16"),
        ([[np.float32(1)], [np.float64(2)]], "float64"),
        ([minidl.ones((), dtype=minidl.float64), 1], "float64"),
        ([[minidl.tensor(1), 2], [3, minidl.tensor(4)]], "int64"),
        ((minidl.ones(2), [1, 2]), "float32"),
    ],
)
def test_dtype_of_data(data, dtype):
    made = minidl.tensor(data)
    assert made.dtype == np.dtype(dtype)
    assert minidl.as_tensor(data).dtype == np.dtype(dtype)
    assert minidl.tensor(data, dtype=minidl.int64).dtype == np.int64


def test_data_is_copied_and_shared_as_asked():
    data = np.zeros(2)
    for shares, make in (
        (False, minidl.tensor),
        (True, minidl.as_tensor),
        (True, minidl.from_numpy),
    ):
        assert np.shares_memory(make(data).numpy(), data) is shares
    tensor = minidl.ones(2)
    assert minidl.as_tensor(tensor) is tensor
    assert not np.shares_memory(minidl.tensor(tensor).numpy(), tensor.numpy())


def test_from_numpy_refuses_what_it_cannot_share():
    with pytest.raises(TypeError, match=r"wants a numpy\.ndarray, got list"):
        minidl.from_numpy([1])
    with pytest.raises(ValueError, match="foreign order"):
        minidl.from_numpy(np.arange(3, dtype=">i4"))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: minidl.arange(3, 1), "step=1 does not lead from 3 to 1"),
        (lambda: minidl.arange(0, 3, 0), "step=0 does not lead"),
        (lambda: minidl.linspace(0, 1, -1), "steps must not be negative"),
        (lambda: minidl.tensor([[1], [2, 3]]), "inhomogeneous"),
        (lambda: minidl.zeros(2, device="tpu"), "there is no device 'tpu'"),
    ],
)
def test_creation_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_like_and_new(x):
    whole = x.detach().long()
    assert minidl.full_like(x, 2.5).tolist() == [[2.5] * 3] * 2
    assert minidl.zeros_like(whole, dtype=minidl.float64).dtype == np.float64
    assert minidl.empty_like(x, requires_grad=True).requires_grad
    assert whole.new_zeros(2, 3).dtype == whole.new_ones((2,)).dtype == np.int64
    assert whole.new_full((2,), 7).tolist() == [7, 7]
    assert x.new_tensor([1, 2]).dtype == np.float32


# --------------------------------------------------------------------------- the graph


def test_detach_and_data_share_memory_and_version(x):
    for outside in (x.detach(), x.data):
        assert not outside.requires_grad
        outside.add_(1)
    assert x[0, 0].item() == 3
    y = (x * x).sum()
    x.data.mul_(2)
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_assigning_data(x):
    y = (x * x).sum()
    values = minidl.zeros(5)
    x.data = values
    assert x.shape == (5,) and x.requires_grad
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()
    z = (x * x).sum()
    values.add_(1)  # the same memory now
    with pytest.raises(RuntimeError, match="was changed in place"):
        z.backward()


def test_assigning_data_of_another_dtype(x):
    x.data = (x.detach() / 3).double()
    (x * x).sum().backward()
    assert x.grad.dtype == minidl.float64
    assert np.array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    with pytest.raises(TypeError, match="requires a gradient cannot hold int64"):
        x.data = minidl.zeros(5, dtype=minidl.int64)


def test_assigning_data_of_a_result(x):
    """PyTorch: the values change, the graph does not."""
    y = x * 2
    y.data = minidl.zeros_like(y)
    y.sum().backward()
    assert (x.grad == 2).all()
    for other in (minidl.zeros(5), minidl.zeros_like(y, dtype=minidl.float64)):
        with pytest.raises(RuntimeError, match=r"result of mul, float32.* cannot become .*detach"):
            y.data = other


def test_requires_grad(x):
    assert x.is_leaf and x.grad_fn is None
    y = x * 2
    assert not y.is_leaf and y.grad_fn.op.name == "mul"
    with pytest.raises(RuntimeError, match="only a leaf can stop requiring"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y
    assert y.detach_() is y and y.is_leaf and not y.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="only floating-point tensors can"):
        x.long().requires_grad_()


def test_retain_grad_twice_counts_once(x):
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad and not x.retains_grad
    y.sum().backward()
    assert y.grad.tolist() == [[1] * 3] * 2


# --------------------------------------------------------------------------- conversion


def test_conversions(x):
    names = ["half", "float", "double", "short", "int", "long", "byte", "bool"]
    dtypes = ["float16", "float32", "float64", "int16", "int32", "int64", "uint8", "bool"]
    for name, dtype in zip(names, dtypes):
        assert getattr(x, name)().dtype == np.dtype(dtype)
        assert x.to(np.dtype(dtype)).dtype == x.type(dtype).dtype == np.dtype(dtype)
    assert x.float() is x.cpu() is x.to("cpu") is x
    assert x.to("cpu", minidl.float64).dtype == np.float64
    assert x.to(device=minidl.device("cpu"), dtype=minidl.int64).dtype == np.int64
    assert x.to(minidl.ones(1, dtype=minidl.float64)).dtype == np.float64
    assert x.type_as(minidl.tensor(1)).dtype == np.int64
    assert x.double().sum().float().requires_grad
    with pytest.raises(ValueError, match="there is no device 'tpu'"):
        x.to("tpu")


def test_numpy(x):
    values = x.detach()
    assert values.numpy() is np.asarray(values) is values.array
    assert np.asarray(values, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(values), values.numpy())
    with pytest.raises(RuntimeError, match=r"detach\(\)\.numpy\(\)"):
        x.numpy()
    np.testing.assert_array_equal(np.exp(values), np.exp(values.numpy()))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "mod", "floordiv"])
def test_arithmetic_with_arrays_and_numpy_scalars(name):
    sign = getattr(operator, name)
    array, tensor = np.array([5.0, 7.0]), minidl.tensor([2.0, 3.0], dtype=minidl.float64)
    for left, right in ((array, tensor), (tensor, array), (np.float64(5), tensor), (5, tensor)):
        found = sign(left, right)
        assert isinstance(found, minidl.Tensor)
        np.testing.assert_array_equal(found.numpy(), sign(np.asarray(left), np.asarray(right)))


def test_item_and_tolist(x):
    assert x[0, 1].item() == 2.0 and isinstance(x[0, 1].item(), float)
    assert isinstance(minidl.tensor([[3]]).item(), int)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match=r"item: wants one element, got shape \(2, 3\)"):
        x.item()


# --------------------------------------------------------------------------- Python's protocols


def test_length_and_iteration(x):
    assert len(x) == 2
    assert [row.tolist() for row in x] == x.tolist()
    first, _ = x
    first.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1], [0, 0, 0]]
    for function in (len, iter):
        with pytest.raises(TypeError, match="0-d tensor"):
            function(minidl.tensor(1))


def test_contains(x):
    assert 3 in x and 7 not in x
    assert minidl.tensor(3.0) in x
    assert math.nan not in minidl.tensor([math.nan])
    assert None not in x


def test_truth():
    assert minidl.tensor([[2]]) and not minidl.tensor(0.0)
    for empty_or_many in (minidl.zeros(0), minidl.zeros(2)):
        with pytest.raises(ValueError, match="is ambiguous"):
            bool(empty_or_many)


def test_numbers():
    whole, real = minidl.tensor([3]), minidl.tensor(2.5)
    assert (int(real), float(whole), operator.index(whole)) == (2, 3.0, 3)
    assert [10, 20, 30, 40][whole] == 40
    with pytest.raises(TypeError, match="only an integer tensor can be an index, got float32"):
        operator.index(real)
    assert (f"{real}", f"{real:.2f}", f"{whole}") == ("2.5", "2.50", "tensor([3])")


def test_equality_with_strangers(x):
    assert operator.eq(x, None) is False
    assert operator.ne(x, "a") is True
    assert (x == np.ones(3)).tolist() == [[True, False, False], [False] * 3]
    assert len({x, x.detach()}) == 2  # hashed by identity
    with pytest.raises(TypeError, match=r"add\(float32\[2, 3\], None\): wants a tensor or a"):
        x + None
    for product in (lambda: x @ np.ones(3), lambda: np.ones(2) @ x, lambda: [1, 2] @ x):
        with pytest.raises(TypeError, match=r"wants two tensors, got (ndarray|list)"):
            product()


def test_signs(x):
    assert (-x)[0].tolist() == [-1, -2, -3] and +x is x
    assert abs(-x).tolist() == x.tolist()
    assert (2 - x)[0].tolist() == [1, 0, -1]
    assert (2 / x)[0, :2].tolist() == [2, 1]
    assert (2**x)[0].tolist() == [2, 4, 8]
    assert (7 % x.long())[0].tolist() == [0, 1, 1]
    assert (7 // x.long())[0].tolist() == [7, 3, 2]
    mask = x > 2
    assert (mask & ~mask).any().item() is False
    assert (mask | ~mask).all().item() is (True ^ mask ^ mask).all().item() is True


def test_deepcopy(x):
    x.sum().backward()
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1] is not x
    assert pair[0].requires_grad and pair[0].tolist() == x.tolist()
    assert pair[0].grad.tolist() == x.grad.tolist() and pair[0].grad is not x.grad
    with pytest.raises(RuntimeError, match="only a leaf can be deep-copied"):
        copy.deepcopy(x * 2)


def test_pickle(x):
    twin = pickle.loads(pickle.dumps(x))
    assert twin.requires_grad and twin.tolist() == x.tolist() and twin.dtype == x.dtype
    assert not pickle.loads(pickle.dumps(minidl.arange(3))).requires_grad
    with pytest.raises(RuntimeError, match="only a leaf can be pickled"):
        pickle.dumps(x * 2)


# --------------------------------------------------------------------------- repr

PRINTED = [
    [1.0, 2.0],
    [1.0, -2.5],
    [[1.0, 100.0], [0.25, 3.0]],
    [1.0, math.nan, math.inf],
    [1.5, math.nan, -math.inf],
    [1e-5, 1.0],
    [1.5, 2e9],
    [1.0, 1001.0],
    3.25,
    4.0,
    5,
    True,
    [],
    [[], []],
    [True, False],
    [1, -200],
    [[[1, 2]], [[3, 4]]],
    [[-1.0, 20.0], [0.0, math.nan]],
    [0.0, 0.0],
]


@pytest.mark.parametrize("data", PRINTED, ids=range(len(PRINTED)))
def test_values_are_printed_as_by_pytorch(data):
    torch = pytest.importorskip("torch")
    assert repr(minidl.tensor(data)) == repr(torch.tensor(data)).replace("torch.", "")


def test_large_tensors_are_abbreviated():
    assert repr(minidl.arange(2000)) == "tensor([   0,    1,    2, ..., 1997, 1998, 1999])"
    text = repr(minidl.zeros(2000, 3))  # not 6000 zeros
    assert text.count("0.") == 18


def test_repr(x):
    assert repr(x.detach()) == "tensor([[1., 2., 3.],\n        [4., 5., 6.]])"
    assert repr(x[0]) == "tensor([1., 2., 3.], grad_fn=<getitem>)"
    assert repr(x[0, 0].detach().double().requires_grad_()) == (
        "tensor(1., dtype=float64, requires_grad=True)"
    )
    assert repr(minidl.tensor([1.5, 2.25])) == "tensor([1.5000, 2.2500])"
    assert repr(minidl.zeros(0, 3, dtype=minidl.int32)) == ("tensor([], size=(0, 3), dtype=int32)")


# --------------------------------------------------------------------------- indexing


def test_an_integer_beside_an_array_is_taken_first():
    x = minidl.arange(24).reshape(2, 3, 4)
    assert x[0, :, minidl.tensor([0, 1])].shape == (3, 2)  # NumPy has (2, 3)
    x[1, :, [0, 1]] = 0
    assert x[1].tolist() == [[0, 0, 14, 15], [0, 0, 18, 19], [0, 0, 22, 23]]


def test_views_share_memory():
    x = minidl.zeros(2, 3)
    x[0, 1].add_(5)
    x[minidl.tensor(1)][2:] = 7
    x.T[0] = 1
    assert x.tolist() == [[1, 5, 0], [1, 0, 7]]


def test_assignment_without_and_within_a_graph():
    x, value = minidl.zeros(3), minidl.tensor([2.0], requires_grad=True)
    version = x.version[0]
    x[1:] = 5
    assert x.tolist() == [0, 5, 5] and x.version[0] == version + 1
    x[:1] = value
    assert x.requires_grad
    (x * x).sum().backward()
    assert value.grad.tolist() == [4]


def test_assignment_of_a_saved_tensor_is_noticed():
    x = minidl.ones(2, requires_grad=True)
    factor = minidl.ones(2)
    y = (x * factor).sum()
    factor[0] = 3
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize(
    "index, message",
    [
        (2, r"getitem\(float32\[2, 3\], \[2, Ellipsis\]\): index 2 is out of bounds"),
        ((0, 0, 0), "too many indices"),
        (1.5, "made of integers, slices and tensors, not of 1.5"),
        ("a", "not of 'a'"),
        (minidl.tensor([0.5]), "must be of integers or booleans, got float32"),
        (minidl.tensor([1, 0], dtype=minidl.uint8), r"use \.long\(\) or \.bool\(\)"),
        (minidl.tensor([True]), r"int64|bool\[1\]\]\): boolean index did not match"),
    ],
)
def test_index_errors(x, index, message):
    with pytest.raises(IndexError, match=message):
        x[index]


def test_a_value_that_does_not_fit(x):
    with pytest.raises(ValueError, match="could not broadcast"):
        x.detach()[0] = minidl.zeros(2)


def test_what_counts_as_an_index(x):
    rows = [4, 5, 6]
    assert x[np.int64(1)].tolist() == x[minidl.tensor(1)].tolist() == rows
    assert x[[1]].tolist() == x[range(1, 2)].tolist() == x[np.array([1])].tolist() == [rows]
    assert x[[]].shape == (0, 3) and x[np.bool_(True)].shape == (1, 2, 3)
    assert x[minidl.tensor(0) : minidl.tensor(1)].shape == (1, 3)


# --------------------------------------------------------------------------- methods


def test_sizes_come_one_by_one_or_together(x):
    for name, sizes in (
        ("reshape", (3, 2)),
        ("view", (6,)),
        ("permute", (1, 0)),
        ("expand", (4, 2, 3)),
        ("repeat", (1, 2)),
        ("flip", (0, 1)),
        ("new_zeros", (2, 2)),
    ):
        method = getattr(x, name)
        assert method(*sizes).tolist() == method(sizes).tolist() == method([*sizes]).tolist()


def test_methods_that_are_no_functions(x):
    ones = minidl.ones(2, 3)
    assert x.where(x > 2, ones).tolist() == [[1, 1, 3], [4, 5, 6]]
    assert ones[:1].expand_as(x).tolist() == ones.tolist()
    assert x.view_as(ones.T).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert x.mT.tolist() == x.T.tolist() == [[1, 4], [2, 5], [3, 6]]


def test_einsum_takes_a_list(x):
    assert minidl.einsum("ij,ij->", [x, x]).item() == 91


# --------------------------------------------------------------------------- in place


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda t: t.add_(1), [2.0, 5.0]),
        (lambda t: t.add_(t, alpha=2), [3.0, 12.0]),
        (lambda t: t.sub_(minidl.tensor(1)), [0.0, 3.0]),
        (lambda t: t.mul_(3), [3.0, 12.0]),
        (lambda t: t.div_(2), [0.5, 2.0]),
        (lambda t: t.pow_(2), [1.0, 16.0]),
        (lambda t: t.sqrt_(), [1.0, 2.0]),
        (lambda t: t.neg_(), [-1.0, -4.0]),
        (lambda t: t.neg_().abs_(), [1.0, 4.0]),
        (lambda t: t.clamp_(max=2), [1.0, 2.0]),
        (lambda t: t.sub_(2).relu_(), [0.0, 2.0]),
        (lambda t: t.fill_(7), [7.0, 7.0]),
        (lambda t: t.zero_(), [0.0, 0.0]),
        (lambda t: t.copy_(minidl.tensor([5, 6])), [5.0, 6.0]),
        (lambda t: t.masked_fill_(t > 2, -1), [1.0, -1.0]),
        (lambda t: t.scatter_(0, minidl.tensor([1]), 9.0), [1.0, 9.0]),
        (lambda t: t.scatter_add_(0, minidl.tensor([1]), minidl.tensor([1.0])), [1.0, 5.0]),
        (lambda t: operator.iadd(t, 1), [2.0, 5.0]),
        (lambda t: operator.ipow(t, 2), [1.0, 16.0]),
    ],
)
def test_in_place(change, expected):
    x = minidl.tensor([1.0, 4.0])
    memory, version = x.array, x.version[0]
    assert change(x) is x
    assert x.array is memory and x.version[0] > version
    assert x.tolist() == expected


def test_in_place_within_a_graph():
    x = minidl.tensor([1.0, 4.0], requires_grad=True)
    y = x * 1
    y.mul_(other=minidl.tensor([4.0, 1.0]))
    y.sqrt_()
    y.sum().backward()
    assert y.tolist() == [2, 2]
    assert x.grad.tolist() == [1, 0.25]


def test_in_place_results_must_fit():
    x = minidl.tensor([1, 2])
    with pytest.raises(TypeError, match="the result is float32, which does not fit into int64"):
        x.add_(0.5)
    with pytest.raises(ValueError, match="the result has shape"):
        x.add_(minidl.ones(3, 2, dtype=minidl.int64))
    small = minidl.tensor([250], dtype=minidl.uint8)
    assert small.add_(x[:1] * 10).tolist() == [4]
    assert x.copy_(minidl.tensor([2.9, -2.9])).tolist() == [2, -2]


def test_in_place_methods_describe_themselves():
    assert minidl.Tensor.add_.__name__ == "add_"
    assert minidl.Tensor.add_.__doc__.startswith("`add`")


# --------------------------------------------------------------------------- promotion


@pytest.mark.parametrize("name", ["add", "mul", "maximum", "where"])
def test_operators_promote(name):
    """Every pair of dtypes, with dimensions and without, and Python numbers."""
    ones = [minidl.ones(shape, dtype=dtype) for dtype in DTYPES for shape in [(2,), ()]]
    for left in ones:
        for right in [*ones, True, 2, 0.5]:
            operands = (minidl.tensor(True), left, right) if name == "where" else (left, right)
            found = getattr(minidl, name)(*operands)
            arrays = [getattr(operand, "array", operand) for operand in (left, right)]
            assert found.dtype == result_type(*arrays), (left, right)


def test_gradients_come_back_in_the_dtype_of_the_input():
    single = minidl.ones(2, requires_grad=True)
    double = minidl.ones(2, dtype=minidl.float64, requires_grad=True)
    (single * double).sum().backward()
    assert single.grad.dtype == np.float32 and double.grad.dtype == np.float64


# --------------------------------------------------------------------------- misuse

TWO, THREE = minidl.ones(2, 2), minidl.ones(2, 3)
INDEX = minidl.tensor([[0, 1]])


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: TWO + THREE, ValueError, r"add\(float32\[2, 2\], float32\[2, 3\]\)"),
        (lambda: minidl.exp([1, 2]), TypeError, r"exp\(\[1, 2\]\): wants a tensor, got list"),
        (lambda: minidl.exp(), TypeError, "exp"),
        (lambda: minidl.exp(TWO, base=2), TypeError, "exp"),
        (lambda: minidl.tensor([1]) % 0, ValueError, "integer cannot be divided by 0"),
        (lambda: minidl.tensor([1]) // 0, ValueError, "integer cannot be divided by 0"),
        (lambda: minidl.div(TWO, 2, rounding_mode="up"), ValueError, "rounding_mode is"),
        (lambda: minidl.tensor(True) // True, TypeError, "wants numbers, got booleans"),
        (lambda: minidl.tensor(True) ** minidl.tensor(True), TypeError, "booleans"),
        (lambda: abs(minidl.tensor(True)), TypeError, "wants numbers, got booleans"),
        (lambda: minidl.tensor(True) - minidl.tensor(True), TypeError, "subtract"),
        (lambda: minidl.where(TWO, 1, 0), TypeError, "condition must be boolean, got float32"),
        (lambda: TWO.clamp(), ValueError, "at least one of min and max"),
        (lambda: minidl.gelu(TWO, "erf"), ValueError, 'approximate is "none" or "tanh"'),
        (lambda: TWO.sum(2), IndexError, r"sum\(float32\[2, 2\].*dim 2 is out of range"),
        (lambda: TWO.sum((0, 0)), ValueError, "appears twice"),
        (lambda: TWO.cumsum((0, 1)), TypeError, r"dim must be an integer, got \(0, 1\)"),
        (lambda: INDEX.mean(), TypeError, "wants floating-point numbers, got int64"),
        (lambda: INDEX.var(), TypeError, "wants floating-point numbers"),
        (lambda: INDEX.softmax(0), TypeError, "wants floating-point numbers"),
        (lambda: TWO.norm("nuc"), ValueError, "p is a number or 'fro', got 'nuc'"),
        (lambda: minidl.zeros(0).amax(), ValueError, r"amax\(float32\[0\]"),
        (lambda: TWO.sum_to_size((3,)), ValueError, "does not broadcast to that shape"),
        (lambda: TWO.reshape(3), ValueError, r"reshape\(float32\[2, 2\], \(3,\)\)"),
        (lambda: THREE.T.view(6), ValueError, "without a copy: use reshape"),
        (lambda: TWO.permute(0), ValueError, r"permute\(float32\[2, 2\]"),
        (lambda: TWO.flatten(1, 0), ValueError, "start_dim 1 comes after end_dim 0"),
        (lambda: minidl.ones(1, 1, 1).t(), ValueError, "at most 2 dimensions"),
        (lambda: TWO.expand(3, 2), ValueError, r"expand\(float32\[2, 2\], \(3, 2\)\)"),
        (lambda: TWO.repeat(2), ValueError, "fewer entries than the shape"),
        (lambda: TWO.roll((1, 2), 0), ValueError, "must be equally many"),
        (lambda: minidl.cat([]), ValueError, "wants at least one tensor"),
        (lambda: minidl.cat([TWO, THREE]), ValueError, r"cat\(float32\[2, 2\], float32\[2, 3\]"),
        (lambda: minidl.cat([minidl.tensor(1)]), ValueError, r"use stack\(\)"),
        (lambda: minidl.stack([]), ValueError, "wants at least one tensor"),
        (lambda: minidl.stack([TWO, THREE]), ValueError, "tensors of one shape"),
        (lambda: TWO.narrow(0, 1, 2), IndexError, "2 elements from 1 on, of 2"),
        (lambda: TWO.split(0), ValueError, "must be positive, got 0"),
        (lambda: TWO.split([1, 2]), ValueError, "do not add up to 2"),
        (lambda: TWO.chunk(0), ValueError, "positive number of chunks"),
        (lambda: minidl.tensor(1).unbind(), ValueError, "no dimension to take slices"),
        (lambda: minidl.pad(TWO, (1, 1, 1)), ValueError, "is not a pair of widths"),
        (lambda: minidl.pad(TWO, (1,) * 6), ValueError, "for some of 2 dimensions"),
        (lambda: minidl.pad(TWO, (1, 1), "mirror"), ValueError, "got 'mirror'"),
        (lambda: minidl.pad(TWO, (1, 1), "reflect", 1.0), ValueError, "takes no value"),
        (lambda: minidl.pad(TWO, (2, 0), "reflect"), ValueError, "too small to be padded"),
        (lambda: minidl.pad(TWO, (3, 0), "circular"), ValueError, "too small to be padded"),
        (lambda: minidl.pad(TWO, (-2, -1)), ValueError, "cannot cut"),
        (lambda: TWO.gather(0, TWO), TypeError, "must be an integer tensor, got float32"),
        (lambda: TWO.gather(0, INDEX + 1), IndexError, r"from 1 to 2, outside 0\.\.1"),
        (lambda: TWO.gather(0, INDEX - 1), IndexError, r"from -1 to 0, outside 0\.\.1"),
        (lambda: TWO.gather(0, INDEX[0]), ValueError, r"shape \(2,\) does not fit input"),
        (lambda: THREE.gather(0, INDEX.repeat(1, 2)), ValueError, "does not fit input"),
        (lambda: TWO.scatter(0, INDEX, TWO[:, :1]), ValueError, "does not fit src"),
        (lambda: TWO.scatter(0, INDEX, TWO.double()), TypeError, "the dtype of input, float32"),
        (lambda: TWO.scatter(0, INDEX), TypeError, "either src or value"),
        (lambda: TWO.index_select(0, INDEX), ValueError, "must be a vector"),
        (lambda: TWO.index_select(0, INDEX[0] + 1), IndexError, "out of bounds"),
        (lambda: TWO.masked_fill(TWO > 0, TWO), ValueError, "must be one number"),
        (lambda: TWO.topk(3), ValueError, "k=3 of 2 elements"),
        (lambda: TWO @ THREE.T, ValueError, r"matmul\(float32\[2, 2\], float32\[3, 2\]\)"),
        (lambda: TWO @ minidl.ones(3), ValueError, r"\(2, 2\) and \(3,\) have no product"),
        (lambda: TWO @ minidl.tensor(1.0), ValueError, "have no product"),
        (lambda: TWO @ TWO.double(), TypeError, "one dtype, got float32 and float64"),
        (lambda: minidl.mm(TWO, minidl.ones(2)), ValueError, "wants two matrices"),
        (lambda: minidl.bmm(TWO, TWO), ValueError, "batches of matrices"),
        (lambda: minidl.outer(TWO, TWO), ValueError, "wants two vectors"),
        (lambda: minidl.linear(TWO, minidl.ones(4, 3)), ValueError, r"float32\[4, 3\]"),
        (lambda: minidl.einsum("ij,jk", TWO), ValueError, "names 2 operands, got 1"),
        (lambda: minidl.einsum("ijk", TWO), ValueError, "does not fit an operand"),
        (lambda: minidl.einsum("i1->i", TWO), ValueError, "other signs than letters"),
        (lambda: minidl.einsum("ij->ik", TWO), ValueError, "unknown one"),
        (lambda: minidl.einsum("ij,jk", TWO, THREE.T), ValueError, "'j' have sizes 2 and 3"),
    ],
)
def test_errors_name_the_operator_and_the_reason(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
