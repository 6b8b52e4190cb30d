"""Faults that compiled steps had once: none of them is back. The cases are in `steps.faults`."""

import contextlib
import gc
import tracemalloc

import pytest
from steps import Compiling
from steps.faults import REFUSED, SILENT, check
from steps.faults.case import one
from steps.faults.refusals import accumulated, alternating

import minidl
from minidl.compiler import CaptureError


@pytest.mark.filterwarnings("ignore:compile.*runs without a plan:RuntimeWarning")
@pytest.mark.parametrize("name", SILENT)
def test_silent_faults(name):
    with contextlib.suppress(CaptureError):
        check(SILENT[name])


@pytest.mark.parametrize("name", REFUSED)
def test_false_refusals(name):
    check(REFUSED[name])


def test_accumulation_every_fourth_call_settles():
    compiling = Compiling()
    check(lambda compile: accumulated(compile, 4, 40), compiling)
    assert 1 <= compiling.steps[0].captures <= 4


def test_floats_that_differ_take_no_more_and_more_memory():
    step = minidl.compile(lambda x, k: x * k)

    def grown(first, last):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for i in range(first, last):
            step(one(2), i / 7)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    grown(0, 40)  # whatever is bounded may fill up
    tracemalloc.start()
    try:
        assert grown(40, 80) < 40 * 2000
    finally:
        tracemalloc.stop()


def test_training_and_evaluation_in_turn_are_captured():
    compiling = Compiling()
    check(alternating, compiling)
    assert [1 <= step.captures <= 4 for step in compiling.steps] == [True, True]


def numbers(x):
    yield x * 2
    yield x * 3


def test_a_generator_is_computed_or_refused_by_name():
    try:
        step = minidl.compile(numbers)
        found = [[part.item() for part in step(one(i))] for i in range(4)]
    except (CaptureError, TypeError) as error:
        assert "generator" in str(error)
    else:
        assert found == [[2.0 * i, 3.0 * i] for i in range(4)]


async def later(x):
    return x * 2


def awaited(coroutine):
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_coroutine_is_computed_or_refused_by_name():
    try:
        step = minidl.compile(later)
        found = [awaited(step(one(i))).item() for i in range(4)]
    except (CaptureError, TypeError) as error:
        assert any(word in str(error) for word in ("async", "coroutine"))
        gc.collect()  # of one that nobody awaited Python warns when it goes
    else:
        assert found == [2.0 * i for i in range(4)]
