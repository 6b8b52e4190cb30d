"""Numbers that the step itself changes by a call, such as a schedule's, are read again."""

import pytest

import minidl
from minidl import nn, optim
from minidl.compiler import CaptureError

X = minidl.tensor([1.0, 2.0])

READS = {
    "an element": lambda x, lrs: x * lrs[0],
    "the last element": lambda x, lrs: x * lrs[-1],
    "a sum": lambda x, lrs: x * sum(lrs),
    "a loop": lambda x, lrs: x * len(lrs) * max(2 * lr for lr in lrs),
    "unpacking": lambda x, lrs: (lambda first: x * first)(*lrs),
    "an element that is returned": lambda x, lrs: (x, lrs[0]),
    "the list that is returned": lambda x, lrs: (x, lrs),
}


def outcomes(read, compiled):
    optimizer = optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def step(x):
        schedule.step()
        return read(x, schedule.get_last_lr())

    step = minidl.compile(step, audit=0) if compiled else step
    return [str(step(X)) for _ in range(8)], step


@pytest.mark.parametrize("name", READS)
def test_the_rates_of_a_schedule_that_steps_inside(name):
    found, step = outcomes(READS[name], compiled=True)
    assert found == outcomes(READS[name], compiled=False)[0]
    assert step.captures == 1


@pytest.mark.parametrize(
    "read",
    [lambda x, lrs: x * (2 if lrs[0] > 0.05 else 3), lambda x, lrs: x * (2 if 0.05 in lrs else 3)],
    ids=["comparison", "membership"],
)
def test_a_decision_on_what_the_step_changes_is_refused(read):
    with pytest.raises(CaptureError, match="a number that the step itself changes"):
        outcomes(read, compiled=True)


@pytest.mark.parametrize("function", [min, max, lambda *pair: sum(pair), lambda *pair: min(pair)])
def test_the_least_of_numbers_that_change(function):
    state = {"n": 0}

    def step(x):
        state["n"] += 1
        return x * function(0.5, (1 + state["n"]) / 10)

    compiled, expected = minidl.compile(step), []
    found = [compiled(X).tolist() for _ in range(14)]
    state["n"] = 0
    expected = [step(X).tolist() for _ in range(14)]
    assert found == expected
    assert compiled.captures in (1, 2)


def test_tuples_of_what_changes_are_joined():
    state = {"n": 0}

    def step(x):
        state["n"] += 1
        return (x * 2, state["n"]) + (state["n"] * 0.5,)

    compiled = minidl.compile(step)
    for i in range(1, 12):
        _, n, half = compiled(X)
        assert (n, half) == (i, i * 0.5)
    assert compiled.captures == 1
