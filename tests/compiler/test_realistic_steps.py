"""Training steps as people write them: compiled ones do what eager ones do, to the bit.

Each example is played twice, from the same seeds: results, arguments, random numbers and all
that the step may change are compared after every call. See `steps.example`.
"""

import functools
import pickle
import re

import numpy as np
import pytest
from steps import EXAMPLES, Compiling, difference, run

from minidl.compiler import CaptureError

# what an example may be refused with, instead of being computed: at most five
REFUSED = {}

# those that are different in each call, and may run as they are for ever: they count, carry a new
# tensor into the next call, or get another number
NEVER_REPLAYED = {
    "accumulation-by-a-counter-inside",
    "accumulation-by-the-batch-index",
    "average-meters-inside",
    "average-of-weights-in-a-dict-with-a-growing-decay",
    "adam-of-the-users-with-a-step-counter",
    "beta-vae-with-annealing",
    "callbacks-with-state",
    "cosine-by-math-with-the-step-as-an-argument",
    "dqn-whose-target-is-copied-every-few-calls-inside",
    "iteration-index-in-a-condition",
    "learning-rate-as-a-float-argument",
    "lightning-like-module",
    "lookahead-every-third-call",
    "mixup-with-a-float-per-call",
    "module-that-counts-its-calls",
    "momentum-contrast-with-a-queue",
    "noam-rate-by-a-counter-inside",
    "rnn-that-keeps-its-state",
    "running-average-in-python-floats-inside",
    "schedule-is-asked-inside",
    "script-running-loss-is-a-global",
    "sgd-by-hand-through-data",
    "trainer-appends-losses-inside",
    "trainer-counts-global-step-inside",
    "weight-decay-by-hand",
}


def as_it_is(step):
    """What takes the place of `minidl.compile` in an eager run."""
    return step


@functools.cache
def eager(name):
    """All that an eager run of an example shows, in order.

    As bytes, for many objects that are alive make a garbage collector slow.
    """
    return [pickle.dumps(moment) for moment in run(name, as_it_is)]


def first_difference(found, name):
    """Where a run first differs from the eager one, played to its end; None if it does not."""
    first = None
    for (where, facts), (_, wanted) in zip(found, map(pickle.loads, eager(name)), strict=True):
        change = None if first else difference(facts, wanted)
        if change is not None:
            first = f"{where}: {change}"
    return first


@functools.cache
def compiled(name):
    """How a compiled run of an example ended: a difference, an error, and its captures."""
    compiling = Compiling()
    try:
        return first_difference(run(name, compiling), name), None, compiling.captures()
    except Exception as error:
        return None, error, 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_eager_runs_are_equal_and_do_something(name):
    first = [pickle.loads(moment) for moment in eager(name)]
    assert first_difference(run(name, as_it_is), name) is None
    arrays = [fact for _, facts in first for _, fact in facts if isinstance(fact, np.ndarray)]
    assert all(np.isfinite(array).all() for array in arrays)
    results = [facts for where, facts in first if where.endswith((": result", ": state"))]
    assert difference(results[-2] + results[-1], results[0] + results[1]) is not None


@pytest.mark.parametrize("name", EXAMPLES)
def test_compiled_equals_eager(name):
    change, error, _ = compiled(name)
    if name in REFUSED and isinstance(error, CaptureError):
        assert re.search(REFUSED[name], str(error))
    elif error is not None:
        raise error
    else:
        assert change is None


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n not in NEVER_REPLAYED | {*REFUSED}])
def test_step_is_replayed(name):
    """Some of the calls are repetitions, or a compiler that never captures would pass."""
    _, error, captures = compiled(name)
    if error is not None:
        raise error
    moments = [pickle.loads(moment)[0] for moment in eager(name)]
    calls = sum(where.endswith(": result") for where in moments)
    assert 1 <= captures < calls


def test_exceptions_are_few_and_known():
    assert len(EXAMPLES) >= 100
    assert len(REFUSED) <= 5
    assert {*REFUSED} | NEVER_REPLAYED <= {*EXAMPLES}
