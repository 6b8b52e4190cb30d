"""The benchmark suite at tiny sizes: no figure decides a test, but what is made of them does."""

import json

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import checks, data, networks, summary, table
from benchmarks.contenders import LIBRARIES
from benchmarks.measure import Effort, measure
from benchmarks.worker import Failed, Workers, digest
from benchmarks.workload import Target, Workload
from benchmarks.workloads import ALL
from minidl.vision import models

QUICK = Effort(rounds=1, seconds=0.0)


def row(figures, unit="ms", count=1, peer="PyTorch", targets=(), **more):
    """A row of a page, as `measure` makes it."""
    made = {"name": "work", "family": "a family", "peer": peer, "unit": unit, "count": count}
    made |= {"flops": 0.0, "bytes": 0.0, "skipped": {}, "failed": {}, "checks": [], "notes": []}
    targets = [vars(target) for target in targets]
    return made | {"figures": figures, "targets": targets} | more


def page(*rows):
    """A page of these rows."""
    rates = summary.ceilings(rows)
    made = {"machine": "a machine", "versions": {"x": "1"}, "ceilings": rates}
    return made | {"rows": list(rows), "left_out": [], "load": 0.1}


def tiny_product(**options):
    """A product of matrices that takes no time, by minidl and NumPy."""
    settings = {"name": "tiny product", "family": "ceilings", "kind": "product", "peer": "NumPy"}
    settings |= {"contenders": ("minidl", "NumPy"), "options": {"size": 8}}
    return Workload(**settings | {"flops": 1024.0, "compared": True} | options)


def tiny_step(**options):
    """A training step of the article's network, small enough for a test."""
    settings = {"name": "tiny step", "family": "article's network", "kind": "training_step"}
    settings |= {"contenders": ("minidl", "PyTorch"), "steps": 4}
    return Workload(**settings | {"options": {"network": "article", "batch": 2}} | options)


@pytest.fixture(scope="module")
def workers():
    """The processes of all tests in this file."""
    with Workers() as started:
        yield started


# --------------------------------------------------------------------------- arithmetic


def test_ratios_are_of_the_same_round():
    work = row({"minidl": [1e-3, 2e-3, 4e-3], "PyTorch": [3e-3, 4e-3, 4e-3]})
    assert summary.ratios(work, "minidl", "PyTorch") == [3.0, 2.0, 1.0]
    assert summary.ratios(work, "minidl", "JAX") == []
    assert summary.figure(work, "minidl") == 2.0
    assert "2.00 (1.00..3.00)" in table.text(page(work))


@pytest.mark.parametrize(
    ("unit", "count", "value", "expected"),
    [
        ("ms", 1, 0.25, 250.0),
        ("s", 1, 0.25, 0.25),
        ("µs", 1000, 0.25, 250.0),
        ("MB", 1, 3e6, 3.0),
        ("pictures/s", 500, 0.25, 2000.0),
    ],
)
def test_units(unit, count, value, expected):
    found = summary.figure(row({"minidl": [value]}, unit, count), "minidl")
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("target", "own", "expected"),
    [
        (Target(times=2.0, aim=8.0), 2e-3, True),
        (Target(times=2.0), 2.1e-3, False),
        (Target(most=3.0), 3e-3, True),
        (Target(most=3.0), 3.1e-3, False),
        (Target(above=2.0), 6e-3, True),
        (Target(above=2.0), 6.1e-3, False),
    ],
)
def test_targets(target, own, expected):
    work = row({"minidl": [own], "PyTorch": [4e-3]}, targets=[target])
    assert summary.reached(work, vars(target)) is expected
    assert (": reached" if expected else ": missed") in table.text(page(work))


def test_a_target_without_figures_is_neither_reached_nor_missed():
    work = row({"minidl": [1e-3]}, targets=[Target(times=2.0)])
    assert summary.reached(work, work["targets"][0]) is None


def test_the_ceiling_is_the_best_of_all():
    product = row({"minidl": [4.0], "NumPy": [3.0, 2.0]}, family="ceilings", flops=8.0)
    copy = row({"NumPy": [1.0]}, family="ceilings", bytes=2.0)
    rates = summary.ceilings([product, copy, row({"minidl": [0.1]}, flops=9.0)])
    assert rates == {"flops": 4.0, "bytes": 2.0}
    assert summary.ceiling_seconds(row({}, flops=8.0, bytes=2.0), rates) == 2.0
    assert summary.ceiling_seconds(row({}), rates) is None


def test_the_table_is_markdown():
    product = row({"minidl": [1.0], "NumPy": [2.0]}, peer="NumPy", name="a product")
    lines = table.text(page(product, row({"minidl compiled": [1.0]}))).splitlines()
    cells = [line.count("|") for line in lines if line.startswith("|")]
    assert len(cells) == 4 and len(set(cells)) == 1
    assert any("work, compiled" in line for line in lines)


def test_a_busy_machine_is_told():
    quiet = page(row({"minidl": [1.0]}))
    assert "unreliable" not in table.text(quiet)
    assert "(load 2.5): these figures are unreliable" in table.text(quiet | {"load": 2.5})


# --------------------------------------------------------------------------- the same work


def test_losses_that_rounding_explains_agree():
    peer = [2.0, 1.9, 1.8, 1.7]
    nudged = [2.0, 1.9 + 1e-6, 1.8, 1.7]
    own = [2.0, 1.9 + 2e-5, 1.8 - 1e-6, 1.7 + 1e-3]
    (check,) = checks.compare_losses({"PyTorch": peer, "minidl": own}, "PyTorch", nudged)
    assert check["contender"] == "minidl" and check["agrees"] and check["steps"] == 4


@pytest.mark.parametrize(("step", "error"), [(0, 1e-4), (1, 1e-4), (3, 1e-2), (3, float("nan"))])
def test_losses_that_differ_do_not_agree(step, error):
    peer = [2.0, 1.9, 1.8, 1.7]
    own = list(peer)
    own[step] += error
    (check,) = checks.compare_losses({"PyTorch": peer, "minidl": own}, "PyTorch", peer)
    assert not check["agrees"]


def test_results_agree_by_shape_and_value():
    result = data.normal(3, 4)
    other = result.copy()
    other[1, 2] += 0.1
    digests = {"peer": digest((result, result)), "same": digest((result, result * 1.00001))}
    digests |= {"other": digest((result, other)), "turned": digest((result, result.T))}
    digests |= {"zeros": digest((result, np.zeros_like(result)))}
    found = {c["contender"]: c["agrees"] for c in checks.compare_results(digests, "peer")}
    assert found == {"same": True, "other": False, "turned": False, "zeros": False}


def test_the_contenders_train_the_same_network(torch, workers):
    everyone = "minidl", "minidl compiled", "PyTorch", "JAX"
    found = measure(tiny_step(contenders=everyone), workers, QUICK)
    assert not found["failed"]
    checked = {check["contender"]: check["agrees"] for check in found["checks"]}
    assert checked["minidl"] and all(checked.values())
    assert {*checked, *found["skipped"], "PyTorch"} == {*everyone}


@pytest.mark.parametrize(
    "workload", [w for w in ALL if w.compared and w.family != "ceilings"], ids=lambda w: w.name
)
def test_the_contenders_compute_the_same(torch, workers, workload):
    small = {"batch": 2, "size": min(workload.options.get("size", 8), 8)}
    options = {k: small.get(k, v) for k, v in workload.options.items()}
    if "shape" in options:
        options["shape"] = (2, *options["shape"][1:])
    fields = {k: getattr(workload, k) for k in ("name", "family", "kind", "contenders", "peer")}
    found = measure(Workload(**fields, options=options, compared=True), workers, QUICK)
    assert not found["failed"]
    assert found["checks"] and all(check["agrees"] for check in found["checks"])


@pytest.mark.parametrize("workload", [w for w in ALL if w.kind in ("update", "loader", "copy")])
def test_work_without_a_result_runs(torch, workers, workload):
    options = {"optimizer": workload.options.get("optimizer"), "shapes": [(3, 2), (3,)]}
    if workload.kind != "update":
        options = workload.options | {"count": 8}
    fields = {k: getattr(workload, k) for k in ("name", "family", "kind", "contenders", "peer")}
    found = measure(Workload(**fields, options=options), workers, QUICK)
    assert not found["failed"] and found["figures"]["PyTorch"][0] > 0


def test_the_work_is_counted_as_pytorch_counts_it(torch):
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.contenders.pytorch import PyTorch

    for name in networks.LAYERS:
        with FlopCounterMode(display=False) as counter:
            PyTorch().training_step(name, 2)()
        assert counter.get_total_flops() == networks.training_flops(name, 2), name


def test_shapes_are_those_of_the_network():
    net = models.resnet18(10)
    expected = sorted(tuple(p.shape) for p in net.parameters() if p.ndim > 1)
    assert sorted(s for s in networks.shapes("resnet18") if len(s) > 1) == expected


# --------------------------------------------------------------------------- contenders


def test_a_missing_library_is_skipped_by_name(workers, monkeypatch):
    monkeypatch.setitem(LIBRARIES, "Missing", "no_such_library")
    found = measure(tiny_product(contenders=("minidl", "Missing")), workers, QUICK)
    assert found["figures"]["minidl"][0] > 0
    assert "no_such_library" in found["skipped"]["Missing"]
    assert "Skipped: Missing: not installed" in table.text(page(found))


def test_an_error_is_told_by_name_and_the_others_go_on(workers):
    options = {"part": "no such part", "batch": 1, "inputs": 1, "outputs": 1, "kernel": 1}
    options |= {"size": 1, "stride": 1, "padding": 0, "groups": 1}
    found = measure(tiny_product(kind="convolution", options=options), workers, QUICK)
    assert "KeyError: 'no such part'" in found["failed"]["minidl"]
    assert "AttributeError" in found["failed"]["NumPy"]
    assert "FAILED" in table.text(page(found))


def test_a_process_that_dies_is_replaced(workers):
    workers.ask("NumPy", "prepare", "product", {"size": 4}, 0, 0.0)
    workers._processes["plain_numpy"].process.kill()
    with pytest.raises(Failed, match="ended with -9"):
        workers.ask("NumPy", "round", 0.0)
    workers.ask("NumPy", "prepare", "product", {"size": 4}, 0, 0.0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("importing", {}),
        ("first_steps", {"network": "article", "batch": 2, "steps": 1}),
        ("peak_memory", {"network": "article", "batch": 2}),
    ],
)
def test_figures_of_a_process_of_its_own(workers, kind, options):
    work = tiny_step(kind=kind, options=options, alone=True, contenders=("minidl",))
    found = measure(work, workers, QUICK)
    assert found["figures"].get("minidl", [1])[0] > 0 and not found["failed"]
    assert kind == "peak_memory" or not found["skipped"]


# --------------------------------------------------------------------------- the command


def test_the_command_prints_and_writes_everything(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "ALL", [tiny_product(), tiny_product(name="left out", family="")])
    files = tmp_path / "page.json", tmp_path / "page.png"
    options = ["--rounds", "2", "--seconds", "0", "--only", "tiny"]
    options += ["--json", str(files[0]), "--plot", str(files[1])]
    assert command.main(options) == 0
    out, err = capsys.readouterr()
    assert "| tiny product" in out and "left out" not in out and "GFLOP/s" in out
    assert "tiny product" in err  # the progress bar
    (found,) = json.loads(files[0].read_text())["rows"]
    assert len(found["figures"]["minidl"]) == len(found["figures"]["NumPy"]) == 2
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_losses_that_disagree_make_the_command_fail(torch, monkeypatch, capsys):
    ask = Workers.ask

    def other_network(workers, contender, task, *args):
        if contender == "minidl" and task == "prepare":
            args = (args[0], args[1] | {"network": "fast"}, *args[2:])
        return ask(workers, contender, task, *args)

    monkeypatch.setattr(Workers, "ask", other_network)
    monkeypatch.setattr(command, "ALL", [tiny_step()])
    assert command.main(["--rounds", "1", "--seconds", "0"]) == 1
    out, err = capsys.readouterr()
    assert "WRONG: tiny step: minidl's losses of 4 steps disagree" in err
    assert "DISAGREES" in out


def test_what_the_budget_leaves_out_is_named(capsys):
    assert command.main(["--budget", "-1"]) == 0
    names = ", ".join(workload.name for workload in ALL)
    assert f"Not measured, time was up: {names}." in capsys.readouterr().out


def test_one_of_ours_that_fails_makes_the_command_fail(capsys):
    assert command.status([row({}, failed={"JAX": "it broke"})]) == 0
    assert command.status([row({}, failed={"minidl": "it broke"})]) == 1
    assert "minidl failed: it broke" in capsys.readouterr().err


def test_the_list_names_all(capsys):
    assert command.main(["--list"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert names == [workload.name for workload in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--data", "/nonexistent"], "no folder cifar-10-batches-py"),
    ],
)
def test_bad_options_are_named(options, message, capsys):
    with pytest.raises(SystemExit):
        command.main(options)
    assert message in capsys.readouterr().err
