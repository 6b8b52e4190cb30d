"""Audits: a plan whose guards miss something is found, and what guards are made of is needed."""

import re
import threading
import time

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.compiler import CaptureError
from minidl.compiler.profile_function import set_profile
from minidl.nn import functional as F


class World:
    """Outside state of many kinds, all of which a step reads."""

    scale = 2.0

    def __init__(self):
        minidl.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.0), nn.Linear(4, 2))
        self.optimizer = minidl.optim.SGD(self.model.parameters(), lr=0.1)
        self.config = {"nested": {"factor": 1.0}, "names": ["a", "b"]}
        self.flag = True
        self.function = F.relu
        self.values = [1.0, 2.0]
        self.word = "sum"
        self.sizes = (2, 3)
        self.absent = {}

    def step(self, x):
        self.optimizer.zero_grad()
        h = self.function(self.model(x)) * self.scale * self.config["nested"]["factor"]
        if self.flag and "a" in self.config["names"]:
            h = h * self.values[-1]
        if self.absent.get("key") or len(self.values) > 2:
            h = h + 1
        if hasattr(self, "extra") or self.sizes[0] > 2:
            h = h - 1
        loss = h.sum() if self.word == "sum" else h.mean()
        loss.backward()
        self.optimizer.step()
        return loss


def _replace_layer(world):
    minidl.manual_seed(9)
    world.model[2] = nn.Linear(4, 2)
    world.optimizer.param_groups[0]["params"][:] = list(world.model.parameters())


CHANGES = {
    "class attribute": lambda w: setattr(World, "scale", 3.0),
    "element of a nested dict": lambda w: w.config["nested"].__setitem__("factor", 5.0),
    "nested dict": lambda w: w.config.__setitem__("nested", {"factor": 5.0}),
    "dict": lambda w: setattr(w, "config", {"nested": {"factor": 5.0}, "names": ["a"]}),
    "element of a list in a dict": lambda w: w.config["names"].remove("a"),
    "flag": lambda w: setattr(w, "flag", False),
    "function": lambda w: setattr(w, "function", minidl.tanh),
    "element of a list": lambda w: w.values.__setitem__(-1, 7.0),
    "length of a list": lambda w: w.values.append(2.0),
    "list": lambda w: setattr(w, "values", [3.0, 4.0]),
    "string": lambda w: setattr(w, "word", "mean"),
    "tuple": lambda w: setattr(w, "sizes", (3, 3)),
    "key that was absent": lambda w: w.absent.__setitem__("key", 1),
    "attribute that was absent": lambda w: setattr(w, "extra", 1),
    "requires_grad": lambda w: w.model[0].weight.requires_grad_(False),
    "training flag and rate": lambda w: setattr(w.model[1], "p", 0.9),
    "bias": lambda w: setattr(w.model[2], "bias", None),
    "maximize": lambda w: w.optimizer.param_groups[0].__setitem__("maximize", True),
    "members of a group": lambda w: w.optimizer.param_groups[0]["params"].pop(),
    "layer": _replace_layer,
    "forward hook": lambda w: w.model[0].register_forward_hook(lambda m, i, out: out * 2),
    "gradient hook": lambda w: w.model[0].weight.register_hook(lambda g: g * 2),
    "method": lambda w: setattr(w.model[0], "forward", lambda x: F.linear(x, w.model[0].weight)),
}


@pytest.fixture
def world():
    yield World()
    World.scale = 2.0


def _x(i):
    return minidl.tensor(np.linspace(-1, 1 + i, 6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_followed(world, change):
    twin, step = World(), minidl.compile(world.step)
    for i in range(10):
        if i == 5:
            for side in (world, twin):
                CHANGES[change](side)
        minidl.manual_seed(i)
        found = step(_x(i)).item()
        minidl.manual_seed(i)
        assert found == twin.step(_x(i)).item(), i


@pytest.mark.parametrize("interval", [None, 1, 3])
@pytest.mark.parametrize("change", [c for c in CHANGES if c != "maximize"])  # read by replays
def test_without_its_guards_a_stale_plan_is_found_by_an_audit(world, change, interval):
    """What guards would have seen is hidden from them; audits see it within their interval."""
    step = minidl.compile(world.step, audit=interval)
    for i in range(4):
        step(_x(i))
    (recordings,) = step._plans.values()
    for recording in recordings:
        recording.holds = lambda: True
    CHANGES[change](world)
    calls = 0
    with pytest.raises(CaptureError, match="an audit of the compiled step") as error:
        for calls in range(1, 9):
            minidl.manual_seed(calls)
            step(_x(calls))
    assert calls <= {None: 4, 1: 1, 3: 3}[interval]
    assert re.search(r"test_audit.py:\d+: |other tensors were given", str(error.value))
    if "hook" in change or change == "method":  # what the change put there is the step's now
        return
    for i in range(4):  # the stale plan is gone
        assert np.isfinite(step(_x(i)).item())


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        minidl.manual_seed(0)
        self.layer, self.scale, self.activation = nn.Linear(3, 2), 1.0, F.relu

    def forward(self, x):
        return self.activation(self.layer(x)) * self.scale


MODULE_CHANGES = {
    "number": lambda m: setattr(m, "scale", 3.0),
    "function": lambda m: setattr(m, "activation", minidl.tanh),
    "layer": lambda m: setattr(m, "layer", nn.Linear(3, 2)),
    "bias": lambda m: setattr(m.layer, "bias", None),
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("interval", [None, 1, 3])
@pytest.mark.parametrize("change", MODULE_CHANGES)
def test_without_its_guards_a_compiled_module_is_found_by_an_audit(change, interval, gradients):
    module = Scaled()
    compiled = minidl.compile(module, audit=interval)

    def call(i):
        with minidl.set_grad_enabled(gradients):
            result = compiled(_x(i))
        if gradients:
            result.sum().backward()

    for i in range(4):
        call(i)
    calls = compiled._calls
    plans = calls.kinds.values() if gradients else [calls.inference]
    for recording in [r for p in plans for r in (p.recordings if gradients else _plans(p))]:
        recording.holds = lambda: True
    MODULE_CHANGES[change](module)
    count = 0
    with pytest.raises(CaptureError, match="an audit of") as error:
        for count in range(1, 9):
            call(count)
    assert count <= {None: 4, 1: 1, 3: 3}[interval]
    assert re.search(r"test_audit.py:\d+: ", str(error.value))
    for i in range(4):  # the stale plan is gone
        call(i)


def _plans(step):
    return [recording for recordings in step._plans.values() for recording in recordings]


def test_audits_of_a_compiled_module_change_no_bit():
    losses = []
    for audit in (None, 1, 2, "eager"):
        module = Scaled()
        model = module if audit == "eager" else minidl.compile(module, audit=audit)
        optimizer = minidl.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        for i in range(12):
            optimizer.zero_grad()
            loss = (model(_x(i)) ** 2).sum()
            loss.backward()
            optimizer.step()
        losses.append([loss.item(), *(p.detach().numpy().tobytes() for p in module.parameters())])
        if audit == 2:
            report = model.report()
            assert "captures: 1" in report and "audits: 3" in report and "backward: " in report
    assert all(each == losses[-1] for each in losses)


def test_audits_come_after_1_2_4_8_replays_and_then_as_time_allows():
    step = minidl.compile(lambda x: x * 2 + 1)
    recorded = []
    for i in range(80):
        step(minidl.ones(3))
        if step.captures:
            (recording,) = next(iter(step._plans.values()))
            recording.audits.since -= 1e6  # as if replays took an age: audits are cheap then
            recorded.append((i, recording.audits.count))
    first = [next(i for i, count in recorded if count == n) for n in (1, 2)]
    assert first[1] > first[0]
    assert step.captures == 1
    forced = minidl.compile(lambda x: x * 2, audit=1)
    for _ in range(6):
        forced(minidl.ones(3))
    (recording,) = next(iter(forced._plans.values()))
    assert recording.audits.count == 4 and recording.audits.replays == 0
    never = minidl.compile(lambda x: x * 2, audit=0)
    for _ in range(40):
        never(minidl.ones(3))
    (recording,) = next(iter(never._plans.values()))
    assert recording.audits.count == 0 and recording.audits.replays == 38


def test_what_is_told_of_captures():
    box = {"factor": 1.0}
    step = minidl.compile(lambda x: x * box["factor"])
    for factor in (1.0, 1.0, 1.0, 2.0, 2.0, 2.0):
        box["factor"] = factor
        step(minidl.ones(2))
    report = step.report()
    assert "captures: 2" in report and "changed from 1.0 to 2.0" in report
    assert re.search(r"guards: \d+ in \d+\.\d+ us", report)


def test_what_never_settles_runs_on_with_a_warning():
    state = {"word": ""}
    step = minidl.compile(lambda x: x * len(state["word"]))
    with pytest.warns(RuntimeWarning, match="runs without being compiled"):
        for i in range(60):
            state["word"] = "x" * i
            assert step(minidl.ones(1)).item() == i
    assert sum(map(len, step._pending.values())) <= 64


def _train(compiled, seed, steps=12):
    with minidl.random.using(minidl.random.Generator(seed)):
        return _trained(compiled, seed, steps)


def _trained(compiled, seed, steps):
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = minidl.compile(step) if compiled else step
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(steps):
        x = minidl.tensor(rng.standard_normal((6, 5)).astype(np.float32))
        losses.append(step(x, minidl.tensor(rng.integers(0, 3, 6))).item())
    return losses, [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("rounds", [3])
def test_trainings_in_several_threads_are_what_they_are_alone(rounds):
    alone = [_train(False, seed) for seed in range(8)]
    for _ in range(rounds):
        results = {}

        def run(kind, seed, results=results):
            results[kind, seed] = _train(kind, seed)

        threads = [
            threading.Thread(target=run, args=(kind, seed))
            for seed in range(8)
            for kind in (True, False)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for (kind, seed), found in results.items():
            assert found == alone[seed], (kind, seed)
        assert len(results) == 16


def test_threads_set_their_profile_functions_at_once():
    """CPython 3.11 raises a RuntimeError where two threads do so without `set_profile`."""
    errors = []

    class Slow:
        """A profile function whose end gives other threads the time to set theirs."""

        def __call__(self, *event):
            pass

        def __del__(self):
            time.sleep(1e-4)

    def run():
        try:
            for _ in range(50):
                set_profile(Slow())
        except RuntimeError as error:
            errors.append(error)
        finally:
            set_profile(None)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_one_step_called_from_several_threads():
    weight = minidl.ones(3)
    step = minidl.compile(lambda x: (x * weight).sum())
    wrong = []

    def calls(seed):
        for i in range(30):
            x = minidl.full((3,), float(seed * 100 + i))
            if step(x).item() != 3.0 * (seed * 100 + i):
                wrong.append((seed, i))

    threads = [threading.Thread(target=calls, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
