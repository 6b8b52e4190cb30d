"""The engine and memory: changes in place, aliases, what is freed when, depth, threads."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

import minidl
from minidl.autograd import grad, op, operators
from minidl.kernels import kernels


def leaf(data):
    return minidl.tensor(data, dtype=minidl.float64, requires_grad=True)


# --------------------------------------------------------------------------- in place


def test_changing_a_saved_argument_is_an_error():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = (y * y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"mul\(float64\[2\], float64\[2\]\).*in place before"):
        z.backward()


def test_changing_a_saved_result_is_an_error():
    x = leaf([1.0, 2.0])
    y = minidl.exp(x)
    z = y.sum()
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"exp.*changed in place"):
        z.backward()


def test_changing_it_through_an_alias_is_an_error():
    for alias in (lambda t: t.detach(), lambda t: t[0], lambda t: t.reshape(-1), lambda t: t.T):
        x = leaf([[1.0, 2.0]])
        y = x * 2
        z = (y * y).sum()
        with minidl.no_grad():
            alias(y).fill_(0)
        with pytest.raises(RuntimeError, match="changed in place"):
            z.backward()


def test_changing_what_no_rule_needs_is_fine():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = (y + 1).sum()
    y.zero_()
    z.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_the_graph_follows_changes_in_place():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.add_(x)
    y[0] = 5.0
    y.div_(2)
    y.sum().backward()
    assert y.tolist() == [2.5, 3.0]
    assert x.grad.tolist() == [0.0, 1.5]


def test_a_buffer_that_gets_recorded_values_joins_the_graph():
    w = leaf([1.0, 2.0])
    buffer = minidl.zeros(3, dtype=minidl.float64)
    buffer[1:] = w * 3
    (buffer * buffer).sum().backward()
    assert w.grad.tolist() == [18.0, 36.0]
    buffer.fill_(0)
    assert not buffer.requires_grad


def test_a_leaf_changes_in_place_only_under_no_grad():
    x = leaf([1.0])
    with pytest.raises(RuntimeError, match=r"a leaf float64\[1\].*no_grad"):
        x.add_(1)
    with minidl.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0] and x.is_leaf and x.requires_grad


def test_a_view_cannot_be_changed_in_place_while_recording():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match="is a view"):
        y[:1].mul_(2)


def test_a_stale_view_is_an_error():
    x = leaf([1.0, 2.0])
    y = x * 2
    view = y[:1]
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"view.*out of date"):
        view * 2
    with pytest.raises(RuntimeError, match=r"view.*out of date"):
        view[:1].backward()
    (y[:1] * 2).sum().backward()  # taken again
    assert x.grad.tolist() == [4.0, 0.0]


def test_a_stale_view_without_a_history_is_an_error_too():
    w = leaf([1.0, 2.0])
    buffer = minidl.zeros(2, dtype=minidl.float64)
    view = buffer[:1]
    buffer.add_(w)
    for stale in (view, view[:1]):
        with pytest.raises(RuntimeError, match=r"view.*out of date"):
            stale * w


def test_changes_that_nothing_records_leave_views_valid():
    x = leaf([1.0, 2.0])
    view = x[:1]
    with minidl.no_grad():
        x.mul_(3)
    (view * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0]


def test_a_change_in_place_keeps_shape_and_dtype():
    x = minidl.zeros(2)
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        x.add_(minidl.zeros(3, 2))
    with pytest.raises(TypeError, match="float32"):
        minidl.zeros(2, dtype=minidl.int64).add_(minidl.zeros(2))


# --------------------------------------------------------------------------- aliases


def test_grads_have_memory_of_their_own():
    a, b, start = leaf([1.0, 2.0]), leaf([3.0, 4.0]), minidl.ones(2, dtype=minidl.float64)
    y = a + b
    y.backward(start)
    arrays = [a.array, b.array, y.array, start.array, a.grad.array, b.grad.array]
    for i, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[:i])


def test_a_gradient_that_someone_holds_is_copied():
    held = []

    @op
    def copied(x):
        return x.copy()

    def rule(g, _y, _x):
        gradient = g * 1
        held.append(ways[len(held)](gradient))
        return gradient

    copied.vjp(rule)
    ways = [lambda g: g, lambda g: g.array, lambda g: g.detach(), lambda g: g[1:]]
    for _ in ways:
        x = leaf([1.0, 2.0])
        copied(x).backward(minidl.ones(2, dtype=minidl.float64))
        array = getattr(held[-1], "array", held[-1])
        assert not np.shares_memory(x.grad.array, array)
    hooked = leaf([1.0, 2.0])
    hooked.register_hook(held.append)
    (hooked * 2).backward(minidl.ones(2, dtype=minidl.float64))
    assert not np.shares_memory(hooked.grad.array, held[-1].array)


def test_a_gradient_that_nobody_holds_is_taken_over():
    addresses = []

    @op
    def copied(x):
        return x.copy()

    def rule(g, _y, _x):
        gradient = g * 1
        addresses.append(gradient.array.ctypes.data)
        return gradient

    copied.vjp(rule)
    x = leaf([1.0, 2.0])
    copied(x).backward(minidl.ones(2, dtype=minidl.float64))
    assert x.grad.array.ctypes.data == addresses[0] and x.grad.tolist() == [1.0, 1.0]


def test_part_of_a_larger_array_is_copied():
    @op
    def first(x):
        return x[:1].copy()

    first.vjp(lambda g, _y, _x: minidl.cat([g, g, g])[:2])
    x = leaf([1.0, 2.0])
    first(x).sum().backward()
    assert x.grad.array.base is None


def test_incoming_gradients_are_not_changed():
    x, start = leaf([1.0, 2.0]), minidl.ones(2, dtype=minidl.float64)
    y = x + x
    y.backward(start, retain_graph=True)
    (y + 0).backward(start)
    assert start.tolist() == [1.0, 1.0]


# --------------------------------------------------------------------------- what is freed


@pytest.fixture
def no_collector():
    """Only reference counts free memory: what dies is in no cycle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_dropping_the_result_frees_the_graph(no_collector):
    x = leaf(np.ones(3))
    y = minidl.exp(x)
    z = (y * minidl.tanh(y)).sum()
    arrays = [weakref.ref(t.array) for t in (y, z)]
    node = z.grad_fn
    del y, z
    assert arrays[1]() is None and arrays[0]() is not None
    del node
    assert arrays[0]() is None


def test_a_pass_that_is_recorded_leaves_no_cycle(no_collector):
    x = leaf(np.ones(3))
    y = minidl.exp(x)
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    (g,) = grad((y * y).sum(), x, create_graph=True)
    watched = [weakref.ref(t) for t in (y, g)] + [weakref.ref(y.array)]
    del y, g
    assert [ref() for ref in watched] == [None] * 3


def test_a_dropped_leaf_is_freed_and_its_gradient_forgotten(no_collector):
    x, w = leaf(np.ones(3)), leaf(np.ones(3))
    y = (x * 2 + w).sum()  # no rule needs the values of x
    watched = weakref.ref(x)
    del x
    assert watched() is None
    y.backward()
    assert w.grad.tolist() == [1.0, 1.0, 1.0]


def test_backward_frees_saved_values_as_it_passes(no_collector):
    alive = []

    @op
    def probe(x):
        return x * 1

    def look(g, _y, _x):
        alive.append(watched() is not None)
        return g

    probe.vjp(look)
    x = leaf(np.ones(3))
    y = minidl.exp(probe(x))
    watched = weakref.ref(y.array)
    z = minidl.sum(probe(y * 2 + 0))
    del y
    z.backward()
    assert alive == [True, False]  # before and after exp's rule has run


def test_values_that_no_rule_needs_are_not_saved(no_collector):
    x = leaf(np.ones(3))
    y = x * 2
    watched = weakref.ref(y.array)
    z = y + 1
    del y
    assert watched() is None and z.requires_grad


# --------------------------------------------------------------------------- depth


def test_a_chain_of_100_000_nodes(no_collector):
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * x
    y.backward(retain_graph=True)
    assert x.grad.item() == 100_001.0
    watched = weakref.ref(y.grad_fn.args[0])
    del y  # with all that it has saved
    assert watched() is None


# --------------------------------------------------------------------------- threads


def in_threads(count, function):
    """Run ``function(i)`` in threads at once; the errors they ended with."""
    errors = []
    barrier = threading.Barrier(count)

    def target(i):
        barrier.wait()
        try:
            function(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_do_not_disturb_each_other():
    def work(i):
        x = leaf(np.full(50, 1.0 + i))
        for step in range(50):
            x.grad = None
            with minidl.no_grad():
                assert not (x * 2).requires_grad
            (minidl.tanh(x) * x).sum().backward()
            expected = np.tanh(1.0 + i) + (1 - np.tanh(1.0 + i) ** 2) * (1.0 + i)
            np.testing.assert_allclose(x.grad.numpy(), expected, err_msg=str(step))

    assert in_threads(4, work) == []


def test_threads_can_add_to_the_same_leaf(monkeypatch):
    x = leaf(1.0)

    def slow_clone(tensor, clone=minidl.Tensor.clone):
        time.sleep(0.01)  # long enough for another thread to find no gradient yet
        return clone(tensor)

    monkeypatch.setattr(minidl.Tensor, "clone", slow_clone)
    start = minidl.ones((), dtype=minidl.float64)
    assert in_threads(4, lambda i: x.backward(start)) == []
    assert x.grad.item() == 4.0


def test_operators_defined_here_are_registered():
    @op
    def registered_here(x):
        return x * 1

    assert operators["registered_here"] is registered_here
    assert registered_here.op.name == "registered_here"


# --------------------------------------------------------------------------- no memory


@pytest.mark.parametrize(
    ("kernel", "compute"),
    [
        ("max_pool2d_scatter", lambda x: minidl.nn.functional.max_pool2d(x, 2)),
        ("relu_grad", lambda x: minidl.nn.functional.relu(x)),
    ],
)
def test_a_gradient_without_memory_is_named(kernel, compute, monkeypatch):
    def fail(*_args):
        raise MemoryError("Unable to allocate")

    y = compute(leaf(np.ones((1, 1, 4, 4)))).sum()
    monkeypatch.setattr(kernels[kernel], "usual", fail)
    with pytest.raises(MemoryError, match=r"float64\[1, 1, 4, 4\]"):
        y.backward()
