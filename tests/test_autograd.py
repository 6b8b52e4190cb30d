"""The engine: gradients, their order and number, hooks, modes, and the errors of misuse."""

import threading
from collections import namedtuple

import numpy as np
import pytest

import minidl
from minidl.autograd import Spec, backward, fused, grad, op, operators
from minidl.testing import check_grads


def leaf(data, dtype=minidl.float64):
    return minidl.tensor(data, dtype=dtype, requires_grad=True)


# --------------------------------------------------------------------------- gradients


def test_backward_fills_the_leaves():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x * w).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert w.grad.tolist() == [1.0, 2.0]


def test_a_tensor_used_several_times_collects_all_its_gradients():
    x = leaf(3.0)
    y = x * x
    (y * y + y + x).backward()  # x^4 + x^2 + x
    assert x.grad.item() == 4 * 27 + 6 + 1


def test_gradients_add_up_over_passes():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_derivatives_up_to_the_fourth():
    x = leaf(2.0)
    expected = [80.0, 160.0, 240.0, 240.0]  # of x^5
    y = x**5
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value)


def test_backward_with_create_graph_leaves_a_grad_that_can_be_differentiated():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward()
    assert first.item() == 27.0
    assert x.grad.item() == 18.0


def test_recorded_gradients_add_up():
    x = leaf(3.0)
    for _ in range(2):
        (x**3).backward(create_graph=True)
    total, x.grad = x.grad, None
    assert total.item() == 54.0
    total.backward()
    assert x.grad.item() == 36.0


def test_gradient_penalty_mixes_first_and_second_derivatives():
    def penalty(x, w):
        y = minidl.tanh(x @ w).sum()
        (g,) = grad(y, x, create_graph=True)
        return y + (g * g).sum()

    values = np.random.default_rng(0).normal(size=(2, 3)), np.arange(6.0).reshape(3, 2) / 6
    check_grads(penalty, values, order=2)


def test_broadcasting_and_promotion_are_undone():
    row = leaf([[1.0, 2.0, 3.0]], minidl.float32)
    column = leaf([[1.0], [2.0]], minidl.float64)
    (row * column).sum().backward()
    assert row.grad.dtype == minidl.float32 and row.grad.tolist() == [[3.0, 3.0, 3.0]]
    assert column.grad.dtype == minidl.float64 and column.grad.tolist() == [[6.0], [6.0]]


def test_several_roots_and_given_gradients():
    x = leaf([1.0, 2.0])
    y, z = x * 2, x * x
    start = minidl.tensor([1.0, 10.0], dtype=minidl.float64)
    backward([y, z.sum()], [start, None])
    assert x.grad.tolist() == [2 + 2, 20 + 4]


def test_a_given_gradient_takes_the_dtype_of_the_tensor():
    x = leaf([1.0, 2.0], minidl.float32)
    x.backward(minidl.tensor([1.0, 1.0], dtype=minidl.float64))
    assert x.grad.dtype == minidl.float32


def test_grad_of_an_intermediate_leaves_grads_alone():
    x = leaf(2.0)
    y = x * x
    z = y * y
    dy, dx = grad(z, [y, x])
    assert (dy.item(), dx.item()) == (8.0, 32.0)
    assert x.grad is None


def test_grad_towards_an_intermediate_goes_no_further():
    calls = []

    @op
    def counted(x):
        return x * 1

    counted.vjp(lambda g, _y, _x: (calls.append("rule"), g)[1])
    y = counted(leaf(2.0)) * 1
    grad(y * y, y)
    assert calls == []


def test_only_needed_rules_run():
    calls = []

    @op
    def product(a, b):
        return a * b

    product.vjp(
        lambda g, _y, _a, b: (calls.append("a"), g * b)[1],
        lambda g, _y, a, _b: (calls.append("b"), g * a)[1],
    )
    w = leaf(2.0)
    product(minidl.tensor(3.0), w).backward()
    assert calls == ["b"] and w.grad.item() == 3.0


def test_each_node_runs_once():
    calls = []

    @op
    def traced(x):
        return x * 1

    traced.vjp(lambda g, _y, _x: (calls.append(1), g)[1])
    x = leaf(1.0)
    y = x
    for _ in range(30):  # 2^30 paths
        y = traced(y) + y
    y.backward()
    assert len(calls) == 30 and x.grad.item() == 2.0**30


def test_several_results():
    @op
    def halves(x):
        return x[::2].copy(), x[1::2].copy()

    def rule(g, _y, _x):
        even, odd = (minidl.zeros(2, dtype=_x.dtype) if part is None else part for part in g)
        return minidl.stack([even, odd], 1).reshape(4)

    halves.vjp(rule)
    x = leaf([1.0, 2.0, 3.0, 4.0])
    _, odd = halves(x)
    (odd * odd).sum().backward()
    assert x.grad.tolist() == [0.0, 4.0, 0.0, 8.0]
    check_grads(lambda x: halves(x * x), [x.detach()])


def test_fused_operators_take_names_and_explain_errors():
    @fused(reference=lambda x, scale=2.0: x * scale)
    def scaled(x, scale=2.0):
        if scale == 0:
            raise ValueError("scale is 0")
        return (x * scale, x.sum()), None

    @scaled.backward("x")
    def _(g, residuals, x, scale):
        return (g * scale,)

    x = leaf([1.0, 2.0])
    for result, by_product in (scaled(x), scaled(x, scale=2.0), scaled(scale=2.0, x=x)):
        assert result.tolist() == [2.0, 4.0] and not by_product.requires_grad
        assert grad(result.sum(), x)[0].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match=r"scaled\(float64\[2\], 0\): scale is 0"):
        scaled(x, 0)
    with pytest.raises(TypeError, match="misses its argument 'x'"):
        scaled()
    with pytest.raises(TypeError, match="does not take size"):
        scaled(x, size=3)
    with pytest.raises(TypeError, match="does not take 3 arguments"):
        scaled(x, 1, 2)


def test_a_kernel_for_all_gradients_stands_in_for_the_rules():
    calls = []

    @op
    def product(a, b):
        return a * b

    product.vjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)

    @product.vjp_kernel
    def _(g, y, a, b, wanted):
        calls.append((*(isinstance(each, Spec) for each in (y, a, b)), wanted))
        return (g * b if wanted[0] else None), (g * a if wanted[1] else None)

    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    product(x, w).sum().backward()
    product(minidl.ones(2, dtype=minidl.float64), w).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0] and w.grad.tolist() == [2.0, 3.0]
    first, second = calls
    assert first == (True, False, False, (True, True))
    assert second == (True, False, True, (False, True))
    (slope,) = grad(product(x, x).sum(), x, create_graph=True)
    assert grad(slope.sum(), x)[0].tolist() == [2.0, 2.0]
    assert len(calls) == 2  # rules are what is differentiated, and they run no kernel of others


def test_our_operators_are_quiet_and_nobody_elses():
    def rule(g, _y, _x):
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            np.ones(2) / np.zeros(2)
        return g

    @op
    def loud(x):
        return x / np.zeros(2)

    loud.vjp(rule)
    x = leaf([0.0, 1.0])
    with pytest.warns(RuntimeWarning) as caught:
        y = loud(x)
    assert len(caught) == 2  # 0 / 0 and 1 / 0
    (y + (1 / x).log()).sum().backward()


ARITHMETIC = sorted(
    name
    for name, call in operators.items()
    if call.op.array_rules and name not in ("reshape", "view", "max_pool2d")  # tested below
)


@pytest.mark.parametrize("dtypes", [("f4", "f4"), ("f8", "f4"), ("f4", "f8"), ("f2", "f2")])
@pytest.mark.parametrize("first", [(3, 4), ()])
@pytest.mark.parametrize("name", ARITHMETIC)
def test_rules_mean_the_same_for_arrays_as_for_tensors(name, first, dtypes):
    call, random = operators[name], np.random.default_rng(0)
    shapes = (first, ())  # numbers in tensors of another dtype are where promotion differs
    arrays = [random.uniform(0.5, 2, s).astype(t) for s, t in zip(shapes, dtypes)]
    args = [leaf(array, array.dtype) for array in arrays[: call.op.arity]]
    recorded = grad(call(*args).sum(), args, create_graph=True)
    bare = grad(call(*args).sum(), args)
    for one, other in zip(recorded, bare, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.detach().numpy(), other.numpy())


def test_results_may_be_a_named_tuple():
    Halves = namedtuple("Halves", ["lower", "upper"])

    @op
    def halves(x):
        return Halves(x[: len(x) // 2], x[len(x) // 2 :])

    lower, upper = halves(leaf([1.0, 2.0]))
    assert (lower.item(), upper.item()) == (1.0, 2.0)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_the_gradient_of_a_maximum_is_the_same_for_arrays(ceil_mode):
    x = leaf(np.random.default_rng(0).standard_normal((2, 3, 7, 8)))
    weight = minidl.randn(2, 3, 4, 5, dtype=minidl.float64)

    def slope(**options):
        y = minidl.nn.functional.max_pool2d(x, (3, 2), 2, 1, ceil_mode=ceil_mode)
        return grad((y * weight[..., : y.shape[2], : y.shape[3]]).sum(), x, **options)[0]

    recorded, bare = slope(create_graph=True), slope()
    np.testing.assert_array_equal(recorded.detach().numpy(), bare.numpy())


@pytest.mark.parametrize("change", [lambda x: x.reshape(3, 2), lambda x: x.view(6)])
def test_gradients_in_another_shape(change):
    weight = minidl.tensor(np.arange(6.0)).reshape(2, 3)
    x = leaf(np.ones((2, 3)))
    (change(x) * change(weight)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), weight.numpy())
    x.grad.zero_()  # memory of its own, not that of a gradient in another shape
    assert weight.sum().item() == 15


# --------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_the_complete_gradient():
    x = leaf(2.0)
    y = x * x
    seen = []
    y.register_hook(lambda g: seen.append(("y", g.item())))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(("y again", g.item())))
    x.register_hook(lambda g: seen.append(("x", g.item())))
    x.register_hook(lambda g: -g)
    (y + y).backward()
    assert seen == [("y", 2.0), ("y again", 20.0), ("x", 80.0)]
    assert x.grad.item() == -80.0


def test_hooks_can_be_removed():
    x = leaf(1.0)
    calls = []

    def hook(g):
        calls.append(1)

    first, second = x.register_hook(hook), x.register_hook(hook)
    first.remove()
    first.remove()  # does not take the second one with it
    (x * 1).backward()
    assert len(calls) == 1
    with second:
        (x * 1).backward()
    (x * 1).backward()
    assert len(calls) == 2


def test_a_hook_on_a_result_that_nothing_used_is_not_called():
    @op
    def twice(x):
        return x + 0, x * 2

    twice.vjp(lambda g, _y, _x: g[0])
    x = leaf(1.0)
    first, second = twice(x)
    second.register_hook(lambda g: pytest.fail("it has no gradient"))
    first.backward()
    assert x.grad.item() == 1.0


def test_hooks_run_in_grad_too():
    x = leaf(1.0)
    x.register_hook(lambda g: g * 5)
    assert grad(x * 2, x)[0].item() == 10.0


@pytest.mark.parametrize(("returned", "error"), [(3.0, TypeError), (minidl.zeros(2), RuntimeError)])
def test_what_a_hook_returns_must_be_a_gradient(returned, error):
    x = leaf(1.0)
    x.register_hook(lambda g: returned)
    with pytest.raises(error, match="a hook returned"):
        (x * 2).backward()


def test_a_hook_needs_a_gradient():
    with pytest.raises(RuntimeError, match="requires a gradient"):
        minidl.zeros(2).register_hook(print)


def test_retain_grad():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    (y * 3).backward()
    assert y.grad.item() == 3.0 and x.grad.item() == 12.0
    x.retain_grad()  # of a leaf it changes nothing
    (x * 1).backward()
    assert x.grad.item() == 13.0


# --------------------------------------------------------------------------- modes


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with minidl.no_grad():
        assert not (x * 2).requires_grad
        with minidl.enable_grad():
            assert (x * 2).requires_grad
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()
    with minidl.set_grad_enabled(False):
        assert not (x * 2).requires_grad


@pytest.mark.parametrize("decorate", [minidl.no_grad, minidl.no_grad()])
def test_modes_decorate_functions_that_call_themselves(decorate):
    @decorate
    def countdown(n):
        """Count down."""
        assert not minidl.is_grad_enabled()
        return 0 if n == 0 else countdown(n - 1)

    assert countdown(3) == 0
    assert minidl.is_grad_enabled()
    assert countdown.__doc__ == "Count down."


def test_a_mode_is_restored_after_an_error():
    with pytest.raises(KeyError), minidl.no_grad():
        raise KeyError
    assert minidl.is_grad_enabled()


def test_a_mode_holds_for_its_thread():
    found = []
    with minidl.no_grad():
        thread = threading.Thread(target=lambda: found.append(minidl.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_rules_are_not_recorded_unless_asked():
    x = leaf(2.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad
    (g,) = grad(x**3, x, create_graph=True)
    assert g.requires_grad


def test_detach_cuts_the_graph():
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad.item() == 3.0
    assert np.shares_memory(x.detach().numpy(), x.array)


# --------------------------------------------------------------------------- errors


def test_retain_graph_allows_a_second_pass():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match=r"through mul a second time.*retain_graph=True"):
        y.backward()


def test_create_graph_retains_unless_told_otherwise():
    x = leaf(2.0)
    y = x * x
    grad(y, x, create_graph=True)
    grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        grad(y, x)


def test_backward_needs_a_scalar_or_a_gradient():
    y = leaf([[1.0, 2.0]]) * 2
    with pytest.raises(RuntimeError, match=r"float64\[1, 2\], which is not a scalar"):
        y.backward()
    with pytest.raises(RuntimeError, match=r"gradient of shape \(2,\), not \(1, 2\)"):
        y.backward(minidl.ones(2))
    with pytest.raises(TypeError, match="ndarray"):
        y.backward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="2 tensors to differentiate, 1 gradients"):
        backward([y, y], minidl.ones(1, 2))


def test_backward_needs_a_graph():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        minidl.ones(()).backward()
    with minidl.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_unused_inputs():
    x, other = leaf(1.0), leaf([1.0, 2.0])
    y = x * 2
    with pytest.raises(RuntimeError, match=r"do not depend on input 1, float64\[2\].*allow_unused"):
        grad(y, [x, other], retain_graph=True)
    found = grad(y, [x, other], allow_unused=True)
    assert found[0].item() == 2.0 and found[1] is None
    assert grad(x * 2, other, allow_unused=True) == (None,)
    assert grad([x * 2, other.sum()], other, allow_unused=True)[0].tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="do not depend on input 0"):
        grad(x * 2, other * 2)
    with pytest.raises(RuntimeError, match=r"input 0, float32.*requires no gradient"):
        grad(x * 2, minidl.ones(2))


def test_integers_have_no_gradient():
    with pytest.raises(RuntimeError, match=r"int64\[3\] cannot require a gradient"):
        minidl.tensor([1, 2, 3], requires_grad=True)
    with pytest.raises(RuntimeError, match="only floating-point"):
        minidl.zeros(2, dtype=minidl.int32).requires_grad_()


def test_only_a_leaf_can_stop_requiring_a_gradient():
    x = leaf(1.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="use detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_errors_name_the_operator_and_the_shapes():
    with pytest.raises(ValueError, match=r"add\(float64\[2\], float32\[3\]\): "):
        leaf([1.0, 2.0]) + minidl.ones(3)
    with pytest.raises(TypeError, match=r"matmul\(float32\[2, 2\], float64\[2, 2\]\)"):
        minidl.ones(2, 2) @ minidl.ones(2, 2, dtype=minidl.float64)


def test_an_error_in_a_rule_leaves_gradients_as_they_were():
    @op
    def broken(x):
        return x * 1

    def rule(g, _y, _x):
        raise KeyError("rule")

    broken.vjp(rule)
    x = leaf(1.0)
    with pytest.raises(KeyError):
        (broken(x) + x).backward()
    assert x.grad is None
    assert minidl.is_grad_enabled()
