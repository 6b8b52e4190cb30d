"""Schedules, against PyTorch's and by hand."""

import math

import pytest

import minidl
from minidl import nn, optim
from minidl.optim import lr_scheduler

STEPS = 50


def made_optimizer(library, name="SGD"):
    params = [library.nn.Parameter(library.ones(1)) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.5}]
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(library.optim, name)(groups, lr=0.1, **options)


CYCLES = [
    {"max_lr": 0.3, "total_steps": STEPS + 1},
    {"max_lr": [0.3, 0.1], "epochs": 3, "steps_per_epoch": 20, "three_phase": True},
    {"max_lr": 0.3, "total_steps": 55, "anneal_strategy": "linear", "pct_start": 0.45},
    {"max_lr": 0.3, "total_steps": 55, "base_momentum": 0.7, "max_momentum": [0.8, 0.9]},
    {"max_lr": 0.3, "total_steps": 55, "cycle_momentum": False, "div_factor": 5.0},
    {"max_lr": 0.3, "total_steps": 60, "pct_start": 0.0, "final_div_factor": 10.0},
]
SCHEDULES = [
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.97}),
    ("MultiStepLR", {"milestones": [30, 5, 5], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 50}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.9**epoch, lambda epoch: epoch]}),
    *(("OneCycleLR", options) for options in CYCLES),
]


def rates(optimizer, scheduler, steps=STEPS):
    """Learning rates and momenta of each step."""
    history = []
    for step in range(steps + 1):
        if step:
            optimizer.step()
            scheduler.step()
        lrs = [group["lr"] for group in optimizer.param_groups]
        assert scheduler.get_last_lr() == lrs
        momenta = [g.get("momentum", g.get("betas", [0])[0]) for g in optimizer.param_groups]
        history.append(lrs + momenta)
    return history


def same(ours, theirs):
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-15), f"step {step}"


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_equals_torch(torch, kind, name, options):
    histories = []
    for library in (minidl, torch):
        optimizer = made_optimizer(library, kind)
        scheduler = getattr(library.optim.lr_scheduler, name)(optimizer, **options)
        histories.append(rates(optimizer, scheduler))
    same(*histories)


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_state_goes_on_where_it_was(name, options):
    unbroken = made_optimizer(minidl)
    whole = rates(unbroken, getattr(lr_scheduler, name)(unbroken, **options))
    first = made_optimizer(minidl)
    scheduler = getattr(lr_scheduler, name)(first, **options)
    rates(first, scheduler, 20)
    second = made_optimizer(minidl)
    resumed = getattr(lr_scheduler, name)(second, **options)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    same(rates(second, resumed, 30), whole[20:])


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_state_is_plain_data(name, options, tmp_path):
    scheduler = getattr(lr_scheduler, name)(made_optimizer(minidl), **options)
    minidl.save(scheduler.state_dict(), tmp_path / "state")
    assert minidl.load(tmp_path / "state") == scheduler.state_dict()


def test_formulas():
    def after(steps, name, **options):
        optimizer = made_optimizer(minidl)
        return rates(optimizer, getattr(lr_scheduler, name)(optimizer, **options), steps)[-1][0]

    assert after(20, "StepLR", step_size=10, gamma=0.5) == pytest.approx(0.025)
    assert after(9, "MultiStepLR", milestones=[3, 9], gamma=0.5) == pytest.approx(0.025)
    assert after(3, "ExponentialLR", gamma=0.5) == pytest.approx(0.0125)
    assert after(5, "CosineAnnealingLR", T_max=10) == pytest.approx(0.05)
    assert after(20, "CosineAnnealingLR", T_max=10) == pytest.approx(0.1)
    assert after(4, "LambdaLR", lr_lambda=lambda epoch: epoch) == pytest.approx(0.4)
    assert after(2, "OneCycleLR", max_lr=1.0, total_steps=10) == pytest.approx(1.0)
    assert after(9, "OneCycleLR", max_lr=1.0, total_steps=10) == pytest.approx(1 / 25 / 1e4)


def test_schedules_can_be_combined(torch):
    histories = []
    for library in (minidl, torch):
        optimizer = made_optimizer(library)
        schedulers = library.optim.lr_scheduler
        decay = schedulers.ExponentialLR(optimizer, 0.9)
        steps = schedulers.MultiStepLR(optimizer, [3, 6])
        history = []
        for _ in range(10):
            optimizer.step()
            decay.step()
            steps.step()
            history.append([group["lr"] for group in optimizer.param_groups])
        histories.append(history)
    same(*histories)


def test_going_on_from_an_epoch(torch):
    histories = []
    for library in (minidl, torch):
        optimizer = made_optimizer(library)
        for group in optimizer.param_groups:
            group["initial_lr"] = 0.4
        scheduler = library.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 0.5**e, last_epoch=4)
        histories.append(rates(optimizer, scheduler, 3))
    same(*histories)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.ExponentialLR(made_optimizer(minidl), 0.5, last_epoch=4)


# --------------------------------------------------------------------------- plateau

METRICS = [5, 4, 4, 4, 4, 3.9999, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2, math.nan, 1, 1, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 1, "cooldown": 3, "factor": 0.5},
        {"mode": "max", "patience": 3, "threshold": 0.01},
        {"patience": 2, "threshold_mode": "abs", "threshold": 1.5},
        {"mode": "max", "patience": 2, "threshold_mode": "abs", "threshold": 0.5},
        {"patience": 0, "min_lr": [0.05, 0.2]},
        {"patience": 0, "eps": 0.3},
    ],
)
def test_plateau_equals_torch(torch, options):
    histories = []
    for library in (minidl, torch):
        optimizer = made_optimizer(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        history = [scheduler.get_last_lr()]
        for metric in METRICS:
            scheduler.step(library.tensor(float(metric)))
            history.append(scheduler.get_last_lr())
        histories.append(history)
    same(*histories)
    assert histories[0][0] != histories[0][-1]


def test_plateau_by_hand_and_its_state(tmp_path):
    optimizer = made_optimizer(minidl)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    minidl.save(scheduler.state_dict(), tmp_path / "state")  # best is infinite
    for metric in (1.0, 1.0):
        scheduler.step(metric)
    assert scheduler.get_last_lr() == [0.1, 0.5]
    twin = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    twin.load_state_dict(scheduler.state_dict())
    twin.step(1.0)
    assert twin.get_last_lr() == pytest.approx([0.01, 0.05])
    assert minidl.load(tmp_path / "state")["best"] == math.inf


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("StepLR", {"step_size": 0}, "step_size"),
        ("CosineAnnealingLR", {"T_max": 0}, "T_max"),
        ("LambdaLR", {"lr_lambda": [abs]}, "lr_lambda: 1 values for 2"),
        ("OneCycleLR", {"max_lr": 1.0}, "give total_steps, or epochs"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}, "positive integer, got 0"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 2.0}, "pct_start"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "x"}, "anneal"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor"),
        ("ReduceLROnPlateau", {"mode": "x"}, "mode"),
        ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold_mode"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(lr_scheduler, name)(made_optimizer(minidl), **options)


def test_other_errors():
    with pytest.raises(TypeError, match="wants an Optimizer, got str"):
        lr_scheduler.StepLR("x", 1)
    optimizer = made_optimizer(minidl)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=3)
    with pytest.raises(ValueError, match="step 4 of a cycle of 3"):
        rates(optimizer, scheduler, 4)
    with pytest.raises(ValueError, match=r"no state called \['nonsense'\]"):
        scheduler.load_state_dict({"nonsense": 1})
    with pytest.raises(NotImplementedError, match="LRScheduler does not say"):
        lr_scheduler.LRScheduler(optimizer)


def test_one_cycle_needs_a_momentum():
    class Plain(optim.Optimizer):
        """No momentum, no betas."""

    optimizer = Plain([nn.Parameter(minidl.ones(1))], {"lr": 0.1, "maximize": False})
    with pytest.raises(ValueError, match="Plain has neither a momentum nor betas"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9)
    lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9, cycle_momentum=False)
