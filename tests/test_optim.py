"""Optimizers: against PyTorch's, against their own definitions, and their state."""

import copy
import itertools

import numpy as np
import pytest

import minidl
from minidl import kernels, nn, optim
from minidl.kernels.optim import cpu

STEPS = 20
SHAPES = [(3, 4), (5,), ()]


def combinations(**choices):
    """Every combination of the options."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


SGD = [
    ("SGD", {"lr": 0.05, **options})
    for options in combinations(
        momentum=[0, 0.9],
        dampening=[0, 0.3],
        weight_decay=[0, 0.1],
        nesterov=[False, True],
        maximize=[False, True],
    )
    if not options["nesterov"] or (options["momentum"] and not options["dampening"])
]
ADAM = [
    (name, {"lr": 0.02, **options})
    for name in ("Adam", "AdamW")
    for options in combinations(
        betas=[(0.9, 0.999), (0.5, 0.8)],
        eps=[1e-8, 1e-2],
        weight_decay=[0, 0.1],
        amsgrad=[False, True],
        maximize=[False, True],
    )
]


def gradients(dtype, shapes=SHAPES, seed=0):
    """The gradients of each of the steps; every third parameter misses some."""
    rng = np.random.default_rng(seed)
    for step in range(STEPS):
        # smaller and smaller, so that AMSGrad's maximum is not the current square
        scale = 2.0 / (1 + step)
        yield [
            None if i % 3 == 2 and step % 4 == 1 else (scale * rng.standard_normal(s)).astype(dtype)
            for i, s in enumerate(shapes)
        ]


def trajectory(library, name, options, dtype=np.float32, shapes=SHAPES):
    """The parameters after each step and, last, the optimizer's state."""
    rng = np.random.default_rng(7)
    starts = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    params = [library.nn.Parameter(library.from_numpy(start)) for start in starts]
    optimizer = getattr(library.optim, name)(params, **options)
    points = []
    for step in gradients(dtype, shapes):
        for param, gradient in zip(params, step):
            param.grad = None if gradient is None else library.from_numpy(np.asarray(gradient))
        optimizer.step()
        points.append([p.detach().numpy().copy() for p in params])
    states = [optimizer.state[param] for param in params]
    return [*points, [state[key].detach().numpy() for state in states for key in sorted(state)]]


def compare(ours, theirs, rtol):
    for step, (point, expected) in enumerate(zip(ours, theirs)):
        for a, b in zip(point, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 10, err_msg=f"step {step}")


@pytest.mark.parametrize(("name", "options"), SGD + ADAM)
def test_equals_torch(torch, name, options):
    for dtype, rtol in ((np.float32, 3e-6), (np.float64, 1e-13)):
        compare(
            trajectory(minidl, name, options, dtype),
            trajectory(torch, name, options, dtype),
            rtol,
        )


@pytest.mark.parametrize(("name", "options"), SGD + ADAM)
def test_kernel_sets_agree(name, options):
    for dtype, rtol in ((np.float32, 3e-6), (np.float64, 1e-13)):
        fast = trajectory(minidl, name, options, dtype)
        with kernels.use_kernels("numpy"):
            compare(fast, trajectory(minidl, name, options, dtype), rtol)


def test_threads_do_not_change_the_result():
    shapes = [(400, 300), (7,)]  # large enough for threads, and in several blocks
    for name, options in (SGD[-1], ADAM[-1]):
        threaded = trajectory(minidl, name, options, shapes=shapes)
        with kernels.single_threaded():
            single = trajectory(minidl, name, options, shapes=shapes)
        for a, b in zip(threaded, single):
            assert (a[0] == b[0]).all()


def test_tables_of_addresses_die_with_the_arrays():
    for i in range(200):  # new arrays in the places of dead ones
        param = one_parameter([1.0] * 5, [float(i)] * 5)
        optimizer = optim.SGD([param], lr=0.5, momentum=0.9)
        optimizer.step()
        assert param.tolist() == [1 - 0.5 * i] * 5
    key = id(param.array)
    assert key in cpu._tables
    del param, optimizer
    assert key not in cpu._tables


def test_a_parameter_that_gets_other_memory_is_found_there():
    param = one_parameter([1.0, 2.0], [1.0, 1.0])
    optimizer = optim.SGD([param], lr=0.5, momentum=0.5)
    optimizer.step()
    before, param.data = param.array, minidl.tensor([5.0, 6.0])
    optimizer.step()  # v = 0.5 + 1
    assert param.tolist() == [4.25, 5.25] and before.tolist() == [0.5, 1.5]


def test_parameters_that_share_memory_do_not_race():
    memory = np.ones(100_000, np.float32)
    params = [nn.Parameter(memory[:60_000]), nn.Parameter(memory[40_000:])]
    for param in params:
        param.grad = minidl.ones(60_000)
    optim.SGD(params, lr=0.25).step()
    assert cpu._tables[id(params[0].array)].work == 0  # a race seldom shows
    assert (memory[:40_000] == 0.75).all() and (memory[40_000:60_000] == 0.5).all()


def test_gradients_of_any_layout():
    param = one_parameter(np.zeros((2, 3)), np.arange(6.0).reshape(3, 2))
    param.grad = param.grad.T
    optim.SGD([param], lr=1.0).step()
    assert param.tolist() == [[0.0, -2.0, -4.0], [-1.0, -3.0, -5.0]]


def test_arrays_that_do_not_fit_are_an_error_of_ours():
    params = [np.zeros(3, np.float32)]
    for gradient in (np.zeros(4, np.float32), np.zeros(3)):
        with pytest.raises(ValueError, match=r"the grad, float.* does not fit the parameter"):
            kernels.sgd(params, [gradient], None, 0.1, 0.0, 0.0, 0.0, False)
    with pytest.raises(ValueError, match=r"the velocity, float32\[2\] on cpu, does not fit"):
        kernels.sgd(params, params, [np.zeros(2, np.float32)], 0.1, 0.9, 0.0, 0.0, False)


def one_parameter(values, gradient):
    param = nn.Parameter(minidl.tensor(values))
    param.grad = minidl.tensor(gradient)
    return param


def test_sgd_by_hand():
    param = one_parameter([1.0], [2.0])
    optimizer = optim.SGD([param], lr=0.1, momentum=0.5, dampening=0.5, weight_decay=1.0)
    optimizer.step()  # v = g = 2 + 1 = 3
    assert param.tolist() == pytest.approx([0.7])
    optimizer.step()  # g = 2 + 0.7, v = 1.5 + 1.35
    assert param.tolist() == pytest.approx([0.7 - 0.285])
    assert optimizer.state[param]["momentum_buffer"].tolist() == pytest.approx([2.85])


def test_adam_by_hand():
    param = one_parameter([1.0, 1.0], [2.0, -0.5])
    optim.Adam([param], lr=0.1).step()  # the first step is lr in the gradient's direction
    assert param.tolist() == pytest.approx([0.9, 1.1])
    param = one_parameter([1.0], [0.0])
    optim.AdamW([param], lr=0.1, weight_decay=0.5).step()
    assert param.tolist() == pytest.approx([0.95])


# --------------------------------------------------------------------------- in place


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_updates_are_in_place_and_counted(name):
    param = one_parameter([1.0, 2.0], [1.0, 1.0])
    array, gradient = param.array, param.grad.array.copy()
    loss = (param * param).sum()
    getattr(optim, name)([param], lr=0.1).step()
    assert param.array is array and param.is_leaf and param.requires_grad
    assert (param.grad.array == gradient).all()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_any_memory_layout(name):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    gradient = np.cos(values)
    results = []
    for layout in (np.array, lambda x: x.copy().T.copy().T, lambda x: np.repeat(x, 2, 1)[:, ::2]):
        param = nn.Parameter(minidl.from_numpy(layout(values)))
        param.grad = minidl.from_numpy(layout(gradient))
        optimizer = getattr(optim, name)([param], lr=0.1, weight_decay=0.1)
        optimizer.step()
        optimizer.step()
        results.append(param.detach().array)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_half_precision_empty_and_nan(name):
    for values, dtype in (([1.0, 2.0], "float16"), ([], "float32"), ([np.nan, 1.0], "float32")):
        param = nn.Parameter(minidl.tensor(values, dtype=np.dtype(dtype)))
        param.grad = minidl.ones_like(param)
        getattr(optim, name)([param], lr=0.25).step()
        assert param.dtype == np.dtype(dtype)
        expected = np.isnan(values)
        assert (np.isnan(param.detach().array) == expected).all()


@pytest.mark.parametrize("kernel_set", ["numba", "numpy"])
@pytest.mark.parametrize(("name", "options"), [SGD[-1], ADAM[0], ADAM[-1]])
def test_half_precision_computes_in_float32(name, options, kernel_set):
    """One step is float32's, rounded, even where eps is 0 in float16."""
    start, gradient = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float16)
    half, single = (one_parameter(start.astype(d), gradient.astype(d)) for d in ("f2", "f4"))
    for param in (half, single):
        with kernels.use_kernels(kernel_set):
            getattr(optim, name)([param], **options).step()
    np.testing.assert_array_equal(half.detach().array, single.detach().array.astype(np.float16))


def test_parameters_of_several_dtypes():
    params = [nn.Parameter(minidl.ones(2, dtype=d)) for d in ("float64", "float32", "float64")]
    for param in params:
        param.grad = minidl.ones_like(param)
    optim.Adam(params, lr=0.25).step()
    assert [param.tolist() for param in params] == [[pytest.approx(0.75)] * 2] * 3


def test_amsgrad_keeps_a_nan():
    for kernel_set in ("numba", "numpy"):
        with kernels.use_kernels(kernel_set):
            param = one_parameter([1.0], [np.nan])
            optimizer = optim.Adam([param], amsgrad=True)
            optimizer.step()
            assert np.isnan(optimizer.state[param]["max_exp_avg_sq"].item())


@pytest.mark.parametrize("kernel_set", ["numba", "numpy"])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_gradient_that_does_not_fit_is_refused(name, kernel_set):
    param = nn.Parameter(minidl.ones(2, 3))
    optimizer = getattr(optim, name)([param], lr=0.1)
    with kernels.use_kernels(kernel_set):
        for gradient in (minidl.ones(3), minidl.ones(2, 3, dtype=minidl.float64)):
            param.grad = gradient
            with pytest.raises(ValueError, match=r"the grad, float.* does not fit the parameter"):
                optimizer.step()
    assert (param == 1).all()


# --------------------------------------------------------------------------- steps and groups


def test_closure_runs_with_gradients():
    param = nn.Parameter(minidl.tensor([2.0]))
    optimizer = optim.SGD([param], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert param.item() == 0.0 and optimizer.step() is None


def test_zero_grad():
    param = one_parameter([1.0], [3.0])
    optimizer = optim.SGD([param, nn.Parameter(minidl.ones(1))])
    optimizer.zero_grad(set_to_none=False)
    assert param.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert param.grad is None


def test_groups_have_their_own_options():
    a, b, c = (one_parameter([1.0], [1.0]) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": (p for p in [c]), "lr": 0.2})
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == pytest.approx([0.9, 0.5, 0.8])
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert a.item() == pytest.approx(-0.1)


def test_a_network_learns():
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    x = minidl.randn(64, 2)
    y = x[:, :1] * x[:, 1:]
    for optimizer in (
        optim.Adam(net.parameters(), lr=0.05),
        optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    ):
        for _ in range(60):
            loss = ((net(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.02


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "empty parameter list"),
        (minidl.ones(2), TypeError, "a single Tensor"),
        ({"params": []}, TypeError, "a single dict"),
        ([1.0], TypeError, "parameter 0 is a float"),
        ([nn.Parameter(minidl.ones(1)) * 2], ValueError, "not a leaf"),
        ([{"lr": 0.1}], TypeError, 'the key "params"'),
        ([{"params": {nn.Parameter(minidl.ones(1))}}], TypeError, "no set"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        optim.SGD(params, lr=0.1)


def test_a_parameter_twice():
    param = nn.Parameter(minidl.ones(3))
    with pytest.raises(ValueError, match=r"parameter 1, of shape \(3,\), appears twice"):
        optim.SGD([param, param], lr=0.1)
    with pytest.raises(ValueError, match="appears twice"):
        optim.SGD([{"params": [param]}, {"params": [param]}], lr=0.1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "lr must not be negative, got -1"),
        ("SGD", {"lr": float("nan")}, "lr"),
        ("SGD", {"momentum": -0.1}, "momentum"),
        ("SGD", {"nesterov": True}, "Nesterov"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov"),
        ("Adam", {"betas": (0.9, 1.0)}, "betas"),
        ("Adam", {"betas": (0.9,)}, "betas"),
        ("AdamW", {"eps": -1e-8}, "eps"),
        ("AdamW", {"weight_decay": -1}, "weight_decay"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([nn.Parameter(minidl.ones(1))], **options)


def test_base_class_says_what_is_missing():
    optimizer = optim.Optimizer([one_parameter([1.0], [1.0])], {"maximize": False})
    with pytest.raises(NotImplementedError, match="Optimizer does not say how"):
        optimizer.step()


def test_repr():
    text = repr(optim.SGD([nn.Parameter(minidl.ones(1))], lr=0.1, momentum=0.9))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n")
    assert text.endswith("weight_decay: 0\n)")


# --------------------------------------------------------------------------- state


def trained(name, options, steps=3):
    params = [one_parameter([1.0, -1.0], [0.5, 0.2]), one_parameter([[2.0]], [[1.0]])]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.3}]
    optimizer = getattr(optim, name)(groups, **options)
    for _ in range(steps):
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"momentum": 0.9}), ("SGD", {}), ("Adam", {"amsgrad": True}), ("AdamW", {})],
)
def test_state_goes_on_where_it_was(name, options):
    params, optimizer = trained(name, options)
    saved = copy.deepcopy(optimizer.state_dict())
    fresh, other = trained(name, {**options, "lr": 0.7}, steps=0)
    other.load_state_dict(saved)
    for param, twin in zip(params, fresh):
        twin.data = param.detach().clone()
    for _ in range(3):
        optimizer.step()
        other.step()
    for param, twin in zip(params, fresh):
        assert param.tolist() == twin.tolist()
    assert saved["param_groups"][1]["params"] == [1]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_state_has_torchs_layout(torch, name):
    options = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}
    ours = trained(name, options)[1].state_dict()
    params = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1, 1))]
    theirs = getattr(torch.optim, name)([{"params": [p]} for p in params], **options)
    for param in params:
        param.grad = torch.ones_like(param)
    theirs.step()
    expected = theirs.state_dict()
    assert ours.keys() == expected.keys() and ours["state"].keys() == expected["state"].keys()
    for i, values in ours["state"].items():
        assert list(values) == list(expected["state"][i])
        for key, value in values.items():
            assert value.shape == tuple(expected["state"][i][key].shape)
    for group, group_torch in zip(ours["param_groups"], expected["param_groups"]):
        assert group.keys() <= group_torch.keys() and group["params"] == group_torch["params"]


def test_loading_copies_and_converts():
    params, optimizer = trained("Adam", {})
    saved = optimizer.state_dict()
    doubles = [nn.Parameter(p.detach().double()) for p in params]
    other = optim.Adam([{"params": [p]} for p in doubles])
    other.load_state_dict(saved)
    state = other.state[doubles[0]]
    assert state["exp_avg"].dtype == minidl.float64 and state["step"].dtype == minidl.float32
    before = saved["state"][0]["step"].item()
    other.state[doubles[0]]["step"].array += 1
    assert saved["state"][0]["step"].item() == before


def test_loading_a_velocity_that_has_not_begun():
    params, optimizer = trained("SGD", {"momentum": 0.9}, steps=0)
    saved = optimizer.state_dict()
    saved["state"] = {0: {"momentum_buffer": None}}  # as older versions of PyTorch have it
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[params[0]]["momentum_buffer"].tolist() == [0.5, pytest.approx(0.2)]


def test_loading_refuses_what_does_not_fit():
    _, optimizer = trained("SGD", {"momentum": 0.9})
    good = copy.deepcopy(optimizer.state_dict())
    before = optimizer.state_dict()

    def refused(change, message):
        bad = copy.deepcopy(good)
        change(bad)
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(bad)

    refused(lambda s: s.pop("state"), 'the keys "state" and "param_groups"')
    refused(
        lambda s: s["param_groups"].pop(), r"have \[1, 1\] parameters, those of the state \[1\]"
    )
    refused(lambda s: s["param_groups"][0].update(lr=-1), "lr must not be negative")
    refused(lambda s: s["state"].update({7: {}}), "state of parameter 7")
    refused(
        lambda s: s["state"][0].update(momentum_buffer=minidl.ones(5)),
        r"state\[0\]\['momentum_buffer'\] has shape \(5,\), the parameter \(2,\)",
    )
    assert optimizer.state_dict() == before


def test_second_derivatives_do_not_disturb():
    param = nn.Parameter(minidl.tensor([3.0]))
    (param * param * param).sum().backward(create_graph=True)
    optim.SGD([param], lr=1.0).step()
    assert param.item() == -24.0


@pytest.mark.parametrize("kernel_set", ["numba", "numpy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_states_without_gradients_come_to_zero_and_not_to_subnormal_numbers(kernel_set, dtype):
    """With which a processor takes a hundred times as long; NaN stays."""
    tiny = np.finfo(dtype).tiny
    states = np.array([1.5 * tiny, -1.5 * tiny, 3 * tiny, np.nan], dtype)
    zeros = np.zeros(4, dtype)
    with kernels.use_kernels(kernel_set):
        velocity = states.copy()
        kernels.sgd([zeros.copy()], [zeros], [velocity], 0.1, 0.5, 0.0, 0.0, False)
        mean, square = states.copy(), abs(states)
        moments = [mean], [square], None, [9]
        kernels.adam([zeros.copy()], [zeros], *moments, 0.1, 0.5, 0.5, 1e-8, 0.0, False)
    for found, expected in ((velocity, states), (mean, states), (square, abs(states))):
        np.testing.assert_array_equal(found, [0, 0, expected[2] / 2, np.nan])
