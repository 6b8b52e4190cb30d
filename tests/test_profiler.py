"""The profiler: what it sees, how it counts, what its table and its trace say."""

import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import kernels, nn
from minidl.autograd import Observer, observed_by, operators
from minidl.compiler import fusion
from minidl.kernels.launch import launch, noting, tape
from minidl.profiler import costs, machine, profile, record_function
from minidl.profiler import table as tables
from minidl.profiler.events import tree
from minidl.profiler.machine import Ceilings
from minidl.profiler.phases import with_phases
from minidl.profiler.watch import KERNEL, OPERATOR, PHASE, RANGE, kernel_name


@pytest.fixture(autouse=True)
def ceilings(monkeypatch):
    """A machine of 100 GFLOP/s and 10 GB/s, so that no table measures this one."""
    monkeypatch.setattr(tables, "ceilings", lambda device: Ceilings(f"a {device}", 1e11, 1e10))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(36, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 2)
        return self.fc(x.flatten(1))


class Training:
    def __init__(self, device="cpu"):
        minidl.manual_seed(0)
        rng = np.random.default_rng(0)
        self.net = Net().to(device)
        self.optimizer = minidl.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        self.x = minidl.tensor(rng.random((2, 3, 8, 8), np.float32), device=device)
        self.y = minidl.tensor(rng.integers(0, 5, 2), device=device)

    def step(self):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss


@pytest.fixture(scope="module")
def training():
    training = Training()
    training.step()
    return training


def profiled(function, **options):
    with profile(**options) as prof:
        function()
    return prof


def by_name(prof, **options):
    return {average.key: average for average in prof.key_averages(**options)}


# --------------------------------------------------------------------------- what is seen


def test_operators_gradients_kernels_and_phases_are_seen(training):
    found = by_name(profiled(lambda: [training.step() for _ in range(3)]))
    kinds = {
        OPERATOR: ["conv2d", "normalize", "relu", "max_pool2d", "linear", "cross_entropy"],
        KERNEL: ["conv.flat.correlate", "norm.cpu.normalize", "optim.cpu.sgd"],
        PHASE: ["forward", "backward", "optimizer"],
    }
    kinds[OPERATOR] += ["conv2d backward", "normalize backward", "linear backward", "SGD.step"]
    for kind, names in kinds.items():
        for name in names:
            assert found[name].kind == kind and found[name].count % 3 == 0, name
    assert found["linear"].count == found["backward"].count == 3


def test_it_changes_no_result():
    plain, watched = Training(), Training()
    expected = [plain.step().item() for _ in range(3)]
    with profile():
        found = [watched.step().item() for _ in range(3)]
    assert found == expected
    for ours, theirs in zip(watched.net.parameters(), plain.net.parameters()):
        assert np.array_equal(ours.detach(), theirs.detach())


def test_after_the_block_nothing_is_seen(training):
    prof = profiled(training.step)
    before = len(prof._watcher.notes)
    training.step()
    assert len(prof._watcher.notes) == before
    assert tape.note is None and not minidl.profiler.active()


def test_only_the_thread_that_entered_is_seen(training):
    def elsewhere():
        with record_function("elsewhere"):
            minidl.ones(3).exp()
        assert not minidl.profiler.active()

    def both():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        minidl.ones(3).log()

    found = by_name(profiled(both))
    assert "log" in found and not {"exp", "elsewhere"} & found.keys()


def test_two_threads_have_their_own_profiles():
    found = {}

    def run(name):
        with profile() as prof:
            for _ in range(5):
                getattr(minidl.ones(3), name)()
        found[name] = by_name(prof)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("exp", "log")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["exp"]["exp"].count == found["log"]["log"].count == 5
    assert "log" not in found["exp"] and "exp" not in found["log"]


def test_another_observer_still_does_the_work():
    class Other(Observer):
        def __init__(self):
            self.seen = []

        def call(self, name, function, args, options):
            self.seen.append(name)
            return super().call(name, function, args, options)

        def change(self, name, function, args):
            self.seen.append(name)
            super().change(name, function, args)

        def phase(self, name, function, args):
            self.seen.append(name)
            return super().phase(name, function, args)

        def read(self, tensor, how):
            self.seen.append(how)

    other, x = Other(), minidl.ones(3, requires_grad=True)
    with observed_by(other), profile() as prof:
        x.exp().sum().backward()
        x.detach().add_(1)
        x.sum().item()
        x.sum().backward()
    assert {"exp", "backward", "add_", "item()"} <= set(other.seen)
    assert {"exp", "backward", "add_"} <= by_name(prof).keys()


def test_launches_reach_a_plan_that_is_being_made():
    def double(x):
        x *= 2

    numbers = np.ones(3)
    with noting(None) as notes, profile() as prof:
        launch(double, numbers)
    assert notes.launches == [(double, (numbers,))] and numbers[0] == 2
    assert kernel_name(double) in by_name(prof)


def test_failures_leave_the_tree_whole():
    def fail():
        raise ZeroDivisionError

    def step():
        with pytest.raises(ValueError, match="matmul"):
            minidl.ones(2, 3) @ minidl.ones(2, 3)
        with pytest.raises(ZeroDivisionError), record_function("outer"):
            minidl.profiler.record("failing", launch, fail)
        minidl.ones(3).exp()

    with profile() as prof:
        step()
    roots = {event.name: event for event in prof._events}
    assert {"matmul", "outer", "exp"} <= roots.keys()
    assert [event.name for event in roots["outer"].children] == ["failing"]


def test_profiles_may_follow_and_one_may_be_used_again():
    prof = profiled(lambda: minidl.ones(3).exp())
    assert "exp" in by_name(prof)
    with prof:
        minidl.ones(3).log()
    found = by_name(prof)
    assert "log" in found and "exp" not in found


# --------------------------------------------------------------------------- ranges


def test_ranges_by_name_nest_and_decorate(training):
    @record_function("inner")
    def inner(depth):
        minidl.ones(3).exp()
        return depth and inner(depth - 1)

    def outer():
        with record_function("outer"):
            inner(2)

    prof = profiled(outer)
    found = by_name(prof)
    assert found["outer"].kind == RANGE and found["inner"].count == 3
    (root,) = prof._events
    inside = [event.name for event in root.children[0].children]
    assert inside == ["full", "exp", "inner"] or inside == ["ones", "exp", "inner"]


def test_a_range_may_reach_beyond_the_profile():
    outer, inner = record_function("outer"), record_function("inner")
    outer.__enter__()
    with profile() as prof:
        inner.__enter__()
        minidl.ones(3).exp()
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    assert "exp" in by_name(prof) and not {"outer", "inner"} & by_name(prof).keys()


def test_a_range_wants_a_name():
    with pytest.raises(TypeError, match="a name is a string, got int"):
        record_function(3)


def note(depth, kind, what, start, end):
    return depth, kind, what, start, end, (), (), False


def outline(events):
    return [(event.name, outline(event.children)) if event.children else event.name
            for event in events]  # fmt: skip


def test_phases_are_what_leads_to_a_backward_pass_and_steps():
    notes = [
        note(0, OPERATOR, "tensor", 0, 1),
        note(0, RANGE, "data", 2, 4),
        note(0, OPERATOR, "conv2d", 5, 6),
        note(0, RANGE, "head", 7, 9),
        note(1, OPERATOR, "linear", 7, 8),
        note(1, OPERATOR, "ones", 11, 12),
        note(0, PHASE, "backward", 10, 13),
        note(0, OPERATOR, "SGD.step", 14, 15),
        note(0, OPERATOR, "AdamW.step", 16, 17),
        note(0, RANGE, "data", 18, 19),
        note(0, OPERATOR, "conv2d", 20, 21),
        note(0, PHASE, "backward", 22, 23),
        note(0, OPERATOR, "argmax", 24, 25),
    ]
    assert outline(with_phases(tree(notes))) == [
        ("forward", ["tensor", "data", "conv2d", ("head", ["linear"])]),
        ("backward", ["ones"]),
        ("optimizer", ["SGD.step", "AdamW.step"]),
        "data",
        ("forward", ["conv2d"]),
        "backward",
        "argmax",
    ]


def test_times_of_the_tree():
    notes = [
        note(2, KERNEL, launch, 20, 50),
        note(1, OPERATOR, "relu", 10, 60),
        note(0, RANGE, "head", 0, 100),
    ]
    (head,) = tree(notes)
    (relu,) = head.children
    assert (head.time, head.self_time, relu.self_time) == (100, 50, 20)
    assert [event.name for event in head.walk()] == ["head", "relu", "launch.launch"]


def test_computations_past_the_engine():
    x, w, y = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), np.ones((2, 4), np.float32)

    def replay():
        with minidl.profiler.computation("linear", (x, w, None), y):
            kernels.linear(x, w, None, False)
        assert minidl.profiler.record("plus", np.add, y, y)[0, 0] == 2

    replay()  # without a profile it only computes
    found = by_name(profiled(replay))
    assert found["linear"].flops == 2 * 2 * 3 * 4 and found["plus"].bytes == 3 * 32
    assert found["matmul.small.forward"].count == 1


# --------------------------------------------------------------------------- costs


def flops_and_bytes(function, name):
    function()  # compiles
    average = by_name(profiled(function))[name]
    assert average.count == 1
    return average.flops, average.bytes


def test_convolutions_count_as_in_pytorch(torch):
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    for options in ({"stride": 2, "padding": 1}, {"padding": (0, 2), "stride": (1, 3)}):
        x, w = np.ones((3, 4, 11, 9), np.float32), np.ones((6, 4, 3, 3), np.float32)
        theirs = [torch.tensor(array, requires_grad=True) for array in (x, w)]
        with counter(display=False) as count:
            torch.nn.functional.conv2d(*theirs, **options).sum().backward()
        assert sum(convolution_flops(x, w, **options)) == count.get_total_flops(), options


def convolution_flops(x, w, **options):
    """The operations of a convolution, and those of its gradients."""
    x, w = (minidl.tensor(array, requires_grad=True) for array in (x, w))
    with profile() as prof:
        nn.functional.conv2d(x, w, **options).sum().backward()
    found = by_name(prof)
    return found["conv2d"].flops, found["conv2d backward"].flops


def test_groups_have_filters_for_their_own_channels_only():
    # PyTorch 2.13 takes the weight's gradient for as large as that of filters for all channels
    x, w = np.ones((3, 4, 11, 9), np.float32), np.ones((6, 2, 3, 3), np.float32)
    forward = 2 * (3 * 6 * 7 * 5) * (2 * 9)
    assert convolution_flops(x, w, groups=2, dilation=2) == (forward, 2 * forward)


def test_products_count_as_in_pytorch(torch):
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    x, w, b = (np.ones(shape, np.float32) for shape in ((2, 5, 3), (4, 3), (4,)))

    def compute(library, x, w, b):
        y = library.nn.functional.linear(x, w, b)
        (y @ y.transpose(1, 2)).sum().backward()

    ours = [minidl.tensor(array, requires_grad=True) for array in (x, w, b)]
    theirs = [torch.tensor(array, requires_grad=True) for array in (x, w, b)]
    with counter(display=False) as count:
        compute(torch, *theirs)
    with profile() as prof:
        compute(minidl, *ours)
    found = by_name(prof)
    names = "linear", "linear backward", "matmul"
    assert sum(found[name].flops for name in names) == count.get_total_flops()


def test_only_the_gradients_that_are_wanted_count():
    x, w = minidl.ones(2, 3, 8, 8), minidl.ones(4, 3, 3, 3, requires_grad=True)
    y = nn.functional.conv2d(x, w)
    with profile() as prof:
        y.sum().backward()
    names = by_name(prof)
    found = names.get("conv2d backward") or names["conv2d_weight_grad"]
    assert found.flops == 2 * y.numel() * 27


def test_elementwise_operators_read_and_write_their_arrays():
    x, row = minidl.ones(8, 16), minidl.ones(16)
    assert flops_and_bytes(lambda: x + row, "add") == (128, 4 * (128 + 16 + 128))
    assert flops_and_bytes(lambda: x.relu(), "relu") == (None, 4 * 256)
    assert flops_and_bytes(lambda: x.sum(1), "sum") == (128, 4 * (128 + 8))


def test_views_move_nothing():
    x = minidl.ones(8, 16)
    assert flops_and_bytes(lambda: x.reshape(16, 8), "reshape") == (None, 0)
    assert flops_and_bytes(lambda: x.T.reshape(128), "reshape") == (None, 4 * 256)


def test_optimizers_read_and_write_their_state():
    def bytes_of(optimizer, name, **options):
        p = minidl.ones(100, requires_grad=True)
        p.grad = minidl.ones(100)
        step = optimizer([p], **options).step
        return flops_and_bytes(step, name)[1]

    sgd, adamw = minidl.optim.SGD, minidl.optim.AdamW
    assert bytes_of(sgd, "SGD.step") == 3 * 400
    assert bytes_of(sgd, "SGD.step", momentum=0.9) == 5 * 400
    assert bytes_of(adamw, "AdamW.step") == 7 * 400
    assert bytes_of(adamw, "AdamW.step", amsgrad=True) == 9 * 400


def test_a_kernel_that_was_told_to_do_nothing_did_nothing():
    g = minidl.ones(1, 4, 6, 6)  # no zeros: in a plan the kernels for zeros are told to rest
    x, w = minidl.ones(1, 3, 8, 8), minidl.ones(4, 3, 3, 3, requires_grad=True)

    def gradient():
        return minidl.autograd.grad(minidl.nn.functional.conv2d(x, w), w, g)

    step = minidl.compile(gradient)
    for run in (gradient, step, step, step):
        with profile() as prof:
            run()
        found = by_name(prof)
        assert found["conv.flat.correlate_weight"].flops == 2 * 4 * 6 * 6 * 27
        assert found["conv.flat.correlate_weight"].bytes > 4 * (4 * 6 * 6 + 3 * 8 * 8)
        if run is gradient:
            assert "conv.lists.gradients" not in found  # and elsewhere they are not launched
    assert found["conv.lists.gradients"].bytes == 0


def test_the_costs_are_of_what_there_is():
    known = {name.strip("_") for name in operators}
    known |= {f"{name} backward" for name in known} | vars(fusion).keys()
    named = {*costs.FORMULAS, *costs.PER_INPUT, *costs.PER_RESULT}
    assert named <= known, named - known
    for name in [*costs.KERNELS, *costs.BY_ADDRESS]:
        module, _, function = f"minidl.kernels.{name}".rpartition(".")
        found = vars(sys.modules[module])
        assert function in found or f"_{function}" in found, name


def test_an_operator_of_another_may_have_a_known_name():
    for name in (*costs.FORMULAS, *costs.PER_INPUT, *costs.PER_RESULT, *costs.CHANGES):
        found = by_name(profiled(lambda name=name: minidl.profiler.record(name, str, "abc")))
        assert found[name].flops is None and found[name].bytes == 0


def test_every_operators_cost_can_be_counted(training):
    """No formula fails on what its operator is given."""
    prof = profiled(lambda: [training.step(), Training().step()])
    assert all(average.bytes >= 0 for average in prof.key_averages())
    x = minidl.ones(2, 3, 8, 8, requires_grad=True)
    with profile() as prof:
        y = nn.functional.avg_pool2d(x, 2)
        y = nn.functional.group_norm(y, 3).flatten(1)
        (y.softmax(1).sum() + y.log_softmax(1).sum() + y.logsumexp(1).sum()).backward()
        nn.functional.conv2d_relu(x, minidl.ones(2, 3, 3, 3)).sum().backward()
        x.detach().add_(1)
    found = by_name(prof)
    assert found["avg_pool2d"].flops == 384 + 96
    assert found["group_normalize"].flops == 8 * 96 and found["softmax"].flops == 3 * 96
    assert found["add_"].bytes == 2 * 4 * 384


# --------------------------------------------------------------------------- the table


def test_the_sum_of_a_table_is_the_whole(training):
    averages = profiled(lambda: [training.step() for _ in range(2)]).key_averages()
    computations = [a for a in averages if a.kind in (OPERATOR, KERNEL)]
    own = sum(a.self_cpu_time_total for a in computations)
    assert own + averages.summary.outside == pytest.approx(averages.summary.time)
    operators = [a for a in averages if a.kind == OPERATOR]
    assert averages.summary.flops == sum(a.flops or 0 for a in operators)


def columns(line):
    return [cell for cell in line.split("  ") if cell]


def test_the_table_shows_rates_beside_the_ceilings():
    notes = [
        (1, KERNEL, launch, 100_000, 200_000, ((np.dtype("f4"), (10, 10)),), (), False),
        (0, OPERATOR, "conv2d", 0, 400_000, conv_given(), conv_made(), False),
        (0, OPERATOR, "unheard of", 500_000, 600_000, (), (), False),
    ]
    text = str(averages_of(notes, 1_000_000))
    lines = {columns(line)[0].strip(): columns(line) for line in text.splitlines() if line}
    assert "1000.0 µs, 2 operators, 1 kernels; a cpu" in text
    assert "100 GFLOP/s (float32 product of matrices), 10.0 GB/s (copy)" in text
    # 2 * 4 * 10 * 10 results of 9 taps and 4 channels, twice each, in 400 µs
    flops, moved = 2 * 2 * 4 * 100 * 36, 4 * (2 * 4 * 144 + 4 * 36 + 800)
    row = [cell.strip() for cell in lines["conv2d"]]
    assert row[1:5] == ["1", "300.0", "30.0%", "400.0"]
    assert row[5:7] == [f"{flops / 4e5:.2f}", f"{flops / 4e5 / 100:.0%}"]
    assert row[7:9] == [f"{moved / 4e5:.2f}", f"{moved / 4e5 / 10:.0%}"]
    assert [cell.strip() for cell in lines["unheard of"]][1:] == ["1", "100.0", "10.0%", "100.0"]
    assert lines["Python between operators"][-1].strip() == "50.0%"
    assert [cell.strip() for cell in lines["total"]][1:4] == ["1000.0", "100.0%", "1000.0"]


def conv_given():
    f4 = np.dtype("f4")
    return (f4, (2, 4, 12, 12)), (f4, (4, 4, 3, 3)), None, (1, 1), (0, 0, 0, 0), (1, 1), 1


def conv_made():
    return np.dtype("f4"), (2, 4, 10, 10)


def averages_of(notes, time):
    prof = profiled(lambda: None)
    prof._watcher.notes[:] = notes
    prof._begin, prof._end = 0, time
    return prof.key_averages()


def test_rows_are_sorted_and_limited(training):
    averages = profiled(training.step).key_averages()
    rows = [a for a in averages if a.kind in (OPERATOR, KERNEL)]
    for key in tables.SORT_KEYS:
        most = max(getattr(a, key) or 0 for a in rows)
        first = [a.key for a in rows if getattr(a, key) == most]
        lines = averages.table(sort_by=key, row_limit=1).splitlines()
        assert columns(lines[5])[0] in first, key
        assert lines[6].startswith(f"({len(rows) - 1} more)")
    assert "more)" not in averages.table(row_limit=-1)


def test_shapes_tell_layers_apart():
    def layers():
        for size in (3, 5):
            minidl.ones(size, size).exp()

    prof = profiled(layers)
    assert by_name(prof)["exp"].count == 2
    apart = [a for a in prof.key_averages(group_by_input_shape=True) if a.key == "exp"]
    assert [a.input_shapes for a in apart] == [["float32[3, 3]"], ["float32[5, 5]"]]
    lines = prof.key_averages(group_by_input_shape=True).table().splitlines()
    assert any(line.startswith("exp") and line.endswith("float32[5, 5]") for line in lines)


def test_a_table_of_nothing():
    text = profiled(lambda: None).key_averages().table()
    assert "0 operators, 0 kernels" in text and "Python between operators" in text


# --------------------------------------------------------------------------- the trace


def test_the_trace_nests(training, tmp_path):
    def steps():
        for _ in range(3):
            with record_function("step"):
                training.step()

    prof = profiled(steps, record_shapes=True)
    prof.export_chrome_trace(tmp_path / "trace.json")
    content = json.loads((tmp_path / "trace.json").read_text())
    entries = content["traceEvents"]
    names = {e["args"]["name"] for e in entries if e["ph"] == "M"}
    assert names == {"minidl", threading.current_thread().name}
    events = [e for e in entries if e["ph"] != "M"]
    assert {e["ph"] for e in events} == {"X"} and {e["pid"] for e in events} == {os.getpid()}
    assert {e["tid"] for e in events} == {threading.get_native_id()}
    assert_nested(events)
    assert {e["cat"] for e in events} == {OPERATOR, KERNEL, RANGE, PHASE}
    conv = next(e for e in events if e["name"] == "conv2d")
    assert conv["args"]["flops"] == 2 * 2 * 4 * 36 * 27
    assert conv["args"]["shapes"] == ["float32[2, 3, 8, 8]", "float32[4, 3, 3, 3]", "float32[4]"]
    assert parents(events, "conv2d") == {("step", "forward")}
    assert parents(events, "conv.flat.correlate_weight")  # which lies in the backward pass
    assert {p[:2] for p in parents(events, "conv.flat.correlate_weight")} == {("step", "backward")}
    assert {p[:2] for p in parents(events, "SGD.step")} == {("step", "optimizer")}


def assert_nested(events):
    """Starts never go back, nothing lasts less than 0, and an end is never beyond the parent's."""
    last, open_ends = 0.0, []
    for event in events:
        start, end = event["ts"], event["ts"] + event["dur"]
        assert last <= start <= end + 1e-9
        while open_ends and open_ends[-1] <= start + 1e-9:
            open_ends.pop()
        assert not open_ends or end <= open_ends[-1] + 1e-6, event
        open_ends.append(end)
        last = start


def parents(events, name):
    """For each event of this name the names of the events around it, from outside."""
    found, around = set(), []
    for event in events:
        start, end = event["ts"], event["ts"] + event["dur"]
        around = [e for e in around if e["ts"] + e["dur"] > start]
        if event["name"] == name:
            found.add(tuple(e["name"] for e in around))
        around.append({**event, "dur": end - start})
    return found


def test_a_trace_is_written_whole_or_not_at_all(training, tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    path.write_text("what was there")
    prof = profiled(training.step)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write the trace, No space left.*trace\.json"):
        prof.export_chrome_trace(path)
    assert path.read_text() == "what was there" and os.listdir(tmp_path) == ["trace.json"]
    monkeypatch.undo()
    prof.export_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    assert events and not any("shapes" in event["args"] for event in events)


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[1] / "docs" / "profiler.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    threads = minidl.kernels.get_num_threads()
    try:
        exec(example.replace("range(10)", "range(1)"), {})
    finally:
        minidl.set_num_threads(threads)
    printed = capsys.readouterr().out
    shown = page.split("```\n")[2]
    assert "conv.flat.correlate" in printed and (tmp_path / "trace.json").exists()
    heads = [line for line in shown.splitlines() if line.startswith(("name ", "range "))]
    assert len(heads) == 2 and all(head.split()[0] in printed for head in heads)


# --------------------------------------------------------------------------- errors


def test_errors_say_what_to_do(tmp_path, training):
    with profile() as prof:
        with pytest.raises(RuntimeError, match="being profiled already"), profile():
            pass
        for use in (prof.key_averages, lambda: prof.export_chrome_trace(tmp_path / "x")):
            with pytest.raises(RuntimeError, match="until the end of its with block"):
                use()
        minidl.ones(3).exp()
    assert "exp" in by_name(prof)
    with pytest.raises(RuntimeError, match="nothing has been profiled"):
        profile().key_averages()
    averages = prof.key_averages()
    with pytest.raises(ValueError, match=r"sort_by='cuda_time' is none of self_cpu_time_total, "):
        averages.table(sort_by="cuda_time")
    for limit in (-2, "all", 1.5):
        with pytest.raises(ValueError, match="row_limit is a number of rows or -1"):
            averages.table(row_limit=limit)
    with pytest.raises(OSError, match="cannot write the trace, No such file"):
        prof.export_chrome_trace(tmp_path / "nowhere" / "trace.json")


def test_an_error_in_the_block_passes_and_ends_the_profile():
    with pytest.raises(ZeroDivisionError), profile() as prof:
        minidl.ones(3).exp()
        raise ZeroDivisionError
    assert "exp" in by_name(prof) and not minidl.profiler.active()


# --------------------------------------------------------------------------- the machine


def test_ceilings_are_measured_once(monkeypatch):
    monkeypatch.setattr(machine, "_SIZE", 64)
    monkeypatch.setattr(machine, "_BYTES", 1 << 16)
    machine._of_cpu.cache_clear()
    found = machine.ceilings()
    assert found.flops > 0 and found.bandwidth > 0 and found.processor == machine.processor()
    assert machine.ceilings("cpu") is found
    machine._of_cpu.cache_clear()
    with pytest.raises(ValueError, match="the emulator's speed says nothing"):
        machine.ceilings("emulator")
