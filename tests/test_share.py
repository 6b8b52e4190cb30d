"""Kernels that deal out their work: once each item, in threads or without, the same bits."""

import inspect

import numpy as np
import pytest

from minidl.kernels import jit
from minidl.kernels.share import share


@jit.inner
def _add_row(i, x, numbers, out):
    """out[i] += sum of x[i], and a number for each row."""
    out[i] += numbers[1]
    for j in range(x.shape[1]):
        out[i] += x[i, j]


@jit.shared
def _add_rows(team, x, numbers, out):
    share(team, len(x), _add_row, (x, numbers, out))


@jit.inner
def _too_much(i, out):
    out[i] = np.empty(out.size << 60, np.uint8)[i]


@jit.shared
def _without_memory(team, out):
    share(team, len(out), _too_much, (out,))


@pytest.fixture(params=["alone", "together"])
def work(request, monkeypatch):
    """An amount of work that takes no threads, or some."""
    monkeypatch.setattr(jit, "THREAD_WORK", 200_000)  # as on a machine with several cores
    return {"alone": 0, "together": jit.THREAD_WORK}[request.param]


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_each_item_is_done_once(work, rows):
    x = np.random.default_rng(0).standard_normal((rows, 5))
    out = np.arange(rows, dtype=float)
    _add_rows(work, x, (1, 0.5), out)
    np.testing.assert_allclose(out, np.arange(rows) + 0.5 + x.sum(1))


def test_threads_and_none_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(jit, "THREAD_WORK", 200_000)
    x = np.random.default_rng(0).standard_normal((64, 1001)).astype(np.float32)
    alone, together = np.zeros((2, 64), np.float32)
    _add_rows(0, x, (1, 0.5), alone)
    _add_rows(jit.THREAD_WORK, x, (1, 0.5), together)
    np.testing.assert_array_equal(alone, together)


def test_one_build_serves_both(monkeypatch):
    monkeypatch.setattr(jit, "THREAD_WORK", 200_000)
    x, out = np.ones((3, 4), np.float32), np.zeros(3, np.float32)
    kernel = inspect.getclosurevars(_add_rows.run).nonlocals["kernel"]
    builds = len(kernel.signatures)
    for work in (jit.THREAD_WORK, 0):  # with arguments of types that no other test has
        _add_rows(work, x, (0, 0, 0), out)
        assert len(kernel.signatures) == builds + 1
    np.testing.assert_array_equal(out, 8)


def test_what_an_item_raises_is_not_lost(work):
    with pytest.raises(MemoryError, match="in a kernel"):
        _without_memory(work, np.ones(4, np.uint8))


def test_python_cannot_call_an_inner_function():
    with pytest.raises(TypeError, match="_add_row is for compiled kernels alone"):
        _add_row(0, np.ones((1, 1)), (0, 0.0), np.ones(1))
