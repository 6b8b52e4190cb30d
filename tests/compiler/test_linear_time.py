"""Long steps: a plan takes work and memory in proportion to the calls, and no more than before."""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.compiler.memory import Allocations, placed
from minidl.compiler.plan import Plan, Schedule
from minidl.compiler.program import Program
from minidl.compiler.trace import Call, Value


class Work:
    """Counts calls of functions, and comparisons of what a trace consists of.

    Those are what a search through a list does for each of its elements.
    """

    def __init__(self, monkeypatch):
        self.done = 0
        for kind in (Call, Value):
            monkeypatch.setattr(kind, "__eq__", self._equal)

    def _equal(self, _other):
        self.done += 1
        return NotImplemented

    def of(self, function, *args):
        """The work of a call."""
        self.done, previous = 0, sys.getprofile()
        sys.setprofile(self._event)
        try:
            function(*args)
        finally:
            sys.setprofile(previous)
        return self.done

    def _event(self, frame, event, argument):
        self.done += event in ("call", "c_call")


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch)


@pytest.fixture
def planned(monkeypatch):
    """Note what plans are made of: their traces or schedules, in order."""
    made, make = [], Plan.__init__

    def noted(plan, trace, *args):
        made.append(trace)
        make(plan, trace, *args)

    monkeypatch.setattr(Plan, "__init__", noted)
    return made


SMALL, LARGE = (16,), (2048,)  # without and with chains


def weights(shape, count=1):
    rng = np.random.default_rng(0)
    return [
        nn.Parameter(minidl.tensor(rng.normal(size=shape).astype(np.float32) / 8))
        for _ in range(count)
    ]


def repeated(layer, shape, *parameters):
    """A step of n layers, forward and backward."""

    def step(x, n):
        for parameter in parameters:
            parameter.grad = None
        x = x * parameters[0]
        for _ in range(n):
            x = layer(x, *parameters)
        loss = x.sum()
        loss.backward()
        return loss

    return step, shape


def steps():
    (small,), (large,) = weights(SMALL), weights(LARGE)
    square, (bias,) = weights((8, 8), 1), weights((8,))
    return {
        "calls as a whole": repeated(lambda x, w: x.tanh(), SMALL, small),
        "calls that share a parameter": repeated(lambda x, w: x * w, SMALL, small),
        "chains": repeated(lambda x, w: (x * 0.5 + 0.25).relu(), LARGE, large),
        "chains and calls": repeated(lambda x, w: x.tanh(), LARGE, large),
        "layers": repeated(
            lambda x, w, b: nn.functional.linear(x, w, b).relu(), (8, 8), *square, bias
        ),
        "copies and views": repeated(
            lambda x, w: x.reshape(4, 4).t().clone().reshape(16), SMALL, small
        ),
    }


def captured(step, shape, n):
    """Run ``step`` until it is captured; what it returned."""
    compiled = minidl.compile(step)
    x = minidl.ones(*shape)
    for _ in range(2):
        result = compiled(x, n)
    assert compiled.captures == 1
    return compiled, x, result


@pytest.mark.parametrize("name", steps())
def test_twice_the_calls_are_twice_the_work(work, monkeypatch, name):
    step, shape = steps()[name]
    done, make = [], Plan.__init__
    monkeypatch.setattr(Plan, "__init__", lambda *args: done.append(work.of(make, *args)))
    captured(step, shape, 5)  # once for all that is compiled or imported
    for n in (100, 200):
        captured(step, shape, n)
    assert done[2] < 2.5 * done[1]


def test_memory_that_is_taken_back_is_as_much_work_as_it_was_to_take(work):
    def take_back(allocations):
        mark = allocations.mark()
        allocations.allocate((4,), np.float32, None)
        allocations.forget_since(mark)

    found = []
    for count in (10, 1000):
        allocations = Allocations()
        for _ in range(count):
            allocations.allocate((4,), np.float32, None)
        found.append(work.of(take_back, allocations))
        assert len(allocations.arrays) == count
        assert all(map(allocations.owns, allocations.arrays))
    assert found[0] == found[1]


def test_variables_are_let_go_in_a_repetition_as_soon_as_they_are_not_needed():
    size = 1 << 18

    def step(x):
        for _ in range(30):
            x = x.tanh() + x.sin()
        return x

    compiled = minidl.compile(step)
    x = minidl.ones(size, dtype=np.float64)
    with minidl.no_grad():
        for _ in range(3):
            compiled(x)
        tracemalloc.start()
        try:
            compiled(x)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 4.5 * 8 * size


def test_no_two_things_have_the_same_name_in_a_program():
    program = Program()
    words = [f"{word}{digits}" for word in ("log", "log_", "x") for digits in ("", *range(12))]
    things = [object() for _ in range(1500)]
    names = {program.constant(thing, words[i % len(words)]) for i, thing in enumerate(things)}
    names |= {program.variable(Value(1)) for _ in range(100)}
    assert len(names) == 1600


# --------------------------------------------------------------------------- memory


def as_before(sizes, lives):
    """The largest first, each at the lowest place that is free: by comparing all with all."""
    offsets, done = [0] * len(sizes), []
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        meets = (j for j in done if lives[j][0] <= lives[i][1] and lives[i][0] <= lives[j][1])
        for start, end in sorted((offsets[j], offsets[j] + sizes[j]) for j in meets):
            if start - offsets[i] >= sizes[i]:
                break
            offsets[i] = max(offsets[i], end)
        done.append(i)
    return offsets


arrays = st.tuples(st.integers(0, 6), st.integers(0, 40), st.integers(0, 40)).map(
    lambda drawn: (64 * drawn[0], (min(drawn[1:]), max(drawn[1:])))
)


@given(st.lists(arrays, max_size=40))
def test_arrays_that_live_at_one_time_do_not_overlap(drawn):
    sizes, lives = [size for size, _ in drawn], [life for _, life in drawn]
    offsets = placed(sizes, lives)
    for i in range(len(drawn)):
        for j in range(i):
            apart = lives[i][1] < lives[j][0] or lives[j][1] < lives[i][0]
            below = offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
            assert apart or below
    assert offsets == as_before(sizes, lives)


@pytest.mark.parametrize("kind", ["nested", "short", "both"])
def test_twice_the_arrays_are_twice_the_work(work, kind):
    def lives(n):
        nested = [(i, 2 * n - i) for i in range(n)]
        short = [(i, i + 2) for i in range(n)]
        return {"nested": nested, "short": short, "both": nested[::2] + short[::2]}[kind]

    found = []
    for n in (512, 1024):
        sizes = [64 * (1 + i % 5) for i in range(n)]
        found.append(work.of(placed, sizes, lives(n)))
    assert found[1] < 2.5 * found[0]


# --------------------------------------------------------------------------- several plans


def test_a_schedule_serves_several_plans_with_memory_of_their_own(planned):
    step, shape = steps()["chains"]
    compiled, x, _ = captured(step, shape, 4)
    (trace,) = planned
    schedule = Schedule(trace, fused=True)
    wanted = [value for _, value in trace.gradients]
    one, two = Plan(schedule, {}, wanted), Plan(schedule, {}, wanted)
    trace.forget()
    assert one.source == two.source and one.memory == two.memory > 0
    first, gradients = one.replay(x.array)
    kept = [gradient.copy() for gradient in gradients]
    two.replay(-x.array)
    assert [g.tobytes() for g in gradients] == [k.tobytes() for k in kept]
    assert first[0].tobytes() == compiled(x, 4).array.tobytes()
    (mine,), (other,) = ([plan.fixed[value] for value in wanted] for plan in (one, two))
    assert mine is gradients[0] and not np.may_share_memory(mine, other)


def test_a_plan_may_be_given_memory_from_elsewhere(planned):
    (scale,) = weights(LARGE)

    def step(x, n):
        with minidl.no_grad():
            return ((x * scale).relu() - 0.5).abs()

    _, x, _ = captured(step, LARGE, 1)
    (trace,) = planned
    (value,) = trace.held
    trace.held.clear()
    schedule = Schedule(trace, fused=True, given=[value])
    plans = {factor: Plan(schedule, {value: np.full(LARGE, factor, "f4")}) for factor in (1, 2)}
    for factor, plan in plans.items():
        (result,), _ = plan.replay(x.array)
        assert (result == abs(max(factor, 0) - 0.5)).all()


def test_kernels_that_ask_for_other_memory_than_before_are_not_served():
    draft = Allocations()
    draft.allocate((100,), np.float32, None)
    placement = draft.placement([(0, 1)])
    assert Allocations(placement).allocate((10, 10), np.float32, None).shape == (10, 10)
    for wrong in (10, 1000):
        with pytest.raises(RuntimeError, match="other memory than when"):
            Allocations(placement).allocate((wrong,), np.float32, None)
    allocations = Allocations(placement)
    allocations.allocate((100,), np.float32, None)
    with pytest.raises(RuntimeError, match="other memory than when"):
        allocations.allocate((100,), np.float32, None)
