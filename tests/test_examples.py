"""The programs in examples/, run as their users run them."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cifar_cnn
import numpy as np
import pipeline
import pytest
from tiny_data import tiny_cifar10

import minidl
import minidl.onnx
from minidl import emulator
from minidl.vision import datasets

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "cifar_cnn.py"
# Checkpoint after every step, so that a kill at any moment falls between two of them.
EAGER = (
    "import sys; sys.path.insert(0, {folder!r}); import cifar_cnn; import minidl.recipes.run; "
    "minidl.recipes.run.CHECKPOINT_SECONDS = 0.0; cifar_cnn.figures = None; "
    "sys.exit(cifar_cnn.main())"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a tiny CIFAR-10."""
    return tiny_cifar10(tmp_path_factory.mktemp("data"), per_file=60)


def run(*options, code=None):
    """The example as a subprocess."""
    program = [str(EXAMPLE)] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_articles_program_compiled_learns_the_same(data, tmp_path):
    """Also with the very same accuracy: a step that is compiled computes the same bits."""
    (tmp_path / "data").symlink_to(data, target_is_directory=True)
    seeded = "import minidl, runpy; minidl.manual_seed(0); runpy.run_path({!r})"
    printed = []
    for name in ("article.py", "article_compiled.py"):
        code = seeded.format(str(ROOT / "examples" / name))
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        printed.append(float(re.findall(r": ([\d.]+) %", done.stdout)[-1]))
    assert int(printed[1]) == printed[0]  # the article prints it without decimals


def test_main_job_writes_its_report(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--data", data, "--epochs", "1", "--limit-train", "200", "--limit-test", "50"]
    assert cifar_cnn.main([*map(str, options), "--json", "out/result.json"]) == 0
    result = json.loads(Path("out/result.json").read_text())
    assert result["data"] == "CIFAR-10"
    assert result["test_pictures"] == 50
    assert 0 <= result["test_accuracy"] <= 1
    assert result["images_per_second"] == pytest.approx(200 / result["train_seconds"])
    assert len(result["class_accuracy"]) == 10
    assert "test accuracy" in capsys.readouterr().out
    for name in ("curves.png", "confusion.png", "filters.png"):
        assert (Path("runs/cifar_cnn-article") / name).read_bytes().startswith(b"\x89PNG")


def test_without_data_and_network_it_says_so_and_trains_on_synthetic_pictures(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    monkeypatch.chdir(tmp_path)
    options = ["--limit-train", "64", "--limit-test", "32", "--epochs", "1", "--recipe", "fast"]
    assert cifar_cnn.main([*options, "--json", "result.json"]) == 0
    assert json.loads(Path("result.json").read_text())["data"] == "synthetic pictures"
    assert "NOT an accuracy on CIFAR-10" in capsys.readouterr().err


@pytest.mark.skipif(not emulator.is_available(), reason="the emulator needs g++ or clang++")
def test_the_emulator_trains_as_the_cpu_does(data, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_cnn, "figures", None)
    results = []
    for device in ("cpu", "emulator"):
        folder = tmp_path / device
        options = ["--data", data, "--epochs", "1", "--limit-train", "8", "--limit-test", "4"]
        options += ["--device", device, "--checkpoint", folder, "--json", folder / "result.json"]
        assert cifar_cnn.main(list(map(str, options))) == 0
        results.append(json.loads((folder / "result.json").read_text()))
        assert results[-1]["device"] == device
        weights = minidl.load(folder / "last.safetensors")["model"]
        results[-1]["weights"] = np.concatenate([w.numpy().ravel() for w in weights.values()])
    np.testing.assert_allclose(results[1]["weights"], results[0]["weights"], rtol=1e-4, atol=1e-6)
    assert results[1]["history"][0]["loss"] == pytest.approx(results[0]["history"][0]["loss"])


@pytest.mark.skipif(minidl.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_device_is_the_cpu_and_cuda_says_why_not(capsys):
    assert cifar_cnn.arguments([]).device == minidl.device("cpu")
    with pytest.raises(SystemExit):
        cifar_cnn.arguments(["--device", "cuda"])
    assert "cuda" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume needs --checkpoint"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--epochs", "0"], "positive whole number"),
        (["--data", "/nonexistent"], "no CIFAR-10"),
    ],
)
def test_bad_options_are_named(options, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cifar_cnn.main(options)
    assert message in str(stop.value) + capsys.readouterr().err


def test_killed_runs_resume_to_the_same_bits(data, tmp_path):
    options = ["--data", data, "--epochs", "4", "--batch-size", "10", "--limit-test", "20"]
    code = EAGER.format(folder=str(EXAMPLE.parent))
    unbroken = run(*options, "--checkpoint", tmp_path / "unbroken", code=code)
    _, err = unbroken.communicate(timeout=240)  # it may have to compile the kernels
    assert unbroken.returncode == 0, err
    broken = tmp_path / "broken"
    file = broken / "last.safetensors"
    moments = random.Random(7)
    for _ in range(4):
        process = run(*options, "--checkpoint", broken, "--resume", code=code)
        before = file.stat().st_mtime_ns if file.exists() else 0
        while process.poll() is None and (not file.exists() or file.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.communicate()
    last = run(*options, "--checkpoint", broken, "--resume", code=code)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert "resumed from" in out
    expected = minidl.load(tmp_path / "unbroken" / "last.safetensors")
    found = minidl.load(file)
    assert found["history"] == expected["history"]
    for name, tensor in expected["model"].items():
        assert tensor.array.tobytes() == found["model"][name].array.tobytes(), name


def test_interrupt_stops_between_steps_and_can_be_resumed(data, tmp_path):
    options = ["--data", data, "--epochs", "300", "--checkpoint", tmp_path, "--limit-test", "10"]
    process = run(*options, code=EAGER.format(folder=str(EXAMPLE.parent)))
    while process.poll() is None and not (tmp_path / "last.safetensors").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with --resume" in err
    assert "Traceback" not in err
    state = minidl.load(tmp_path / "last.safetensors")
    assert state["settings"]["epochs"] == 300
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.safetensors"]


def test_binary_classifier_learns():
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "binary_classifier.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    accuracy = [line.rpartition(" ")[2] for line in done.stdout.splitlines()]
    assert int(accuracy[-1].rstrip("%")) >= 95


def test_a_full_disk_stops_the_run_and_keeps_the_last_checkpoint(data, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_cnn, "figures", None)
    options = ["--data", data, "--limit-train", "40", "--limit-test", "10", "--epochs", "1"]
    options = [*map(str, options), "--checkpoint", str(tmp_path)]
    assert cifar_cnn.main(options) == 0
    before = (tmp_path / "last.safetensors").read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit, match="No space left on device"):
        cifar_cnn.main(options)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_damaged_files_are_named(data, tmp_path):
    (tmp_path / "last.safetensors").write_bytes(b"not a checkpoint")
    options = ["--data", str(data), "--checkpoint", str(tmp_path), "--resume"]
    with pytest.raises(SystemExit, match=r"cannot resume.*last\.safetensors"):
        cifar_cnn.main(options)
    shutil.copytree(data, tmp_path / "data")
    cut = tmp_path / "data" / "cifar-10-batches-bin" / "data_batch_3.bin"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(SystemExit, match=r"cannot be used.*data_batch_3\.bin"):
        cifar_cnn.main(["--data", str(tmp_path / "data")])


def test_the_pipeline_ends_with_an_answer_of_its_server(data, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "pipeline.py"), "--data", str(data)]
    command += ["--epochs", "1", "--limit-train", "200", "--limit-test", "40"]
    command += ["--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    for step in ("preprocess", "train and optimise", "compress", "infer", "deploy"):
        assert f"--- {step}" in done.stdout
    assert "channels removed" in done.stdout and "integers, static" in done.stdout
    assert " says: " in done.stdout
    found = minidl.onnx.load(tmp_path / "out" / "model.onnx")
    assert found(minidl.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_pipeline_says_what_is_missing(tmp_path):
    assert pipeline.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
