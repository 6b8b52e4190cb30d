"""Checkpoints: what goes in comes out, damage is noticed, a failed write changes nothing."""

import errno
import json
import math
import os
import struct
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import minidl
from minidl import nn, optim, serialization
from minidl.serialization import CheckpointError, load, save


def same(a, b):
    """Whether two objects have the same types and values, NaN equal to NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, minidl.Tensor):
        return same(a.array, b.array)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(
            type(k) is type(j) and same(a[k], b[j]) for k, j in zip(a, b)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    return a == b


def round_trip(obj, folder):
    save(obj, folder / "checkpoint")
    return load(folder / "checkpoint")


# --------------------------------------------------------------------------- round trips

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["float16", "float32", "float64", "int8", "uint64", "int32", "bool"]).flatmap(
        lambda dtype: st.builds(
            lambda shape, tensor: (
                minidl.from_numpy(np.ones(shape, dtype)) if tensor else np.ones(shape, dtype)
            ),
            st.sampled_from([(), (0,), (2, 3)]),
            st.booleans(),
        )
    )
)
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(objects)
def test_any_object_comes_back(tmp_path_factory, obj):
    assert same(round_trip(obj, tmp_path_factory.mktemp("any")), obj)


def test_numbers_and_strings_are_exact(tmp_path):
    numbers = [math.inf, -math.inf, math.nan, -0.0, 5e-324, 0.1, 2**63, 1 - 2**63, -(10**5000)]
    for value in (*numbers, "\ud800", ""):
        assert same(round_trip({"x": value}, tmp_path), {"x": value})


def test_layouts_of_memory(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    for array in (x.T, x[:, ::2], x[::-1], np.broadcast_to(x[0], (5, 4)), x.astype(">f4")):
        (back,) = round_trip([array], tmp_path)
        assert (back == array).all() and back.dtype == np.float32 and back.flags.writeable


def test_what_becomes_something_simpler(tmp_path):
    param = nn.Parameter(minidl.ones(2))
    back = round_trip(
        {"p": param, "d": OrderedDict(a=1), "i": np.int32(7), "f": np.float64(0.1)}, tmp_path
    )
    assert type(back["p"]) is minidl.Tensor and not back["p"].requires_grad
    assert type(back["d"]) is dict and type(back["i"]) is int and back["f"] == 0.1


def test_loaded_tensors_have_memory_of_their_own(tmp_path):
    save({"x": minidl.ones(3)}, tmp_path / "a")
    first, second = load(tmp_path / "a"), load(tmp_path / "a")
    first["x"].add_(1)
    assert second["x"].tolist() == [1, 1, 1] == load(tmp_path / "a")["x"].tolist()


def test_training_state_comes_back(tmp_path):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(net.parameters())
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)
    net(minidl.randn(4, 2)).sum().backward()
    optimizer.step()
    state = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "random": minidl.get_rng_state(),
        "epoch": 3,
    }
    back = round_trip(state, tmp_path)
    assert same(back["random"], state["random"]) and back["epoch"] == 3
    assert list(back["optimizer"]["state"]) == [0, 1, 2, 3]
    assert back["optimizer"]["param_groups"][0]["betas"] == (0.95, 0.999)
    net.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])
    scheduler.load_state_dict(back["scheduler"])
    assert same(optimizer.state_dict(), state["optimizer"])


# --------------------------------------------------------------------------- the file


def test_the_file_is_plain_safetensors(tmp_path):
    save({"model": {"0.weight": minidl.ones(2), "b": [np.zeros(1)]}}, tmp_path / "a")
    assert sorted(load_file(tmp_path / "a")) == ["model.0.weight", "model.b.0"]
    save(minidl.ones(2), tmp_path / "a")
    assert list(load_file(tmp_path / "a")) == ["value"]


def test_names_that_collide(tmp_path):
    obj = {"a.b": minidl.zeros(1), "a": {"b": minidl.ones(1)}, "__metadata__": minidl.ones(2)}
    assert same(round_trip(obj, tmp_path), obj)
    assert sorted(load_file(tmp_path / "checkpoint")) == ["__metadata__#2", "a.b", "a.b#2"]


def test_foreign_safetensors_give_a_dict_of_tensors(tmp_path):
    save_file({"w": np.eye(2)}, tmp_path / "a", {"format": "pt"})
    back = load(str(tmp_path / "a"))
    assert list(back) == ["w"] and same(back["w"], minidl.from_numpy(np.eye(2)))


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    save([1], tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and load(tmp_path / "file") == [1]


# --------------------------------------------------------------------------- what cannot be saved


def test_unknown_types_are_named_by_their_place(tmp_path):
    cases = [
        ({"optimizer": [1, 2, 3, {4}]}, r"state\['optimizer'\]\[3\] is a set"),
        (({"a": object()},), r"state\[0\]\['a'\] is a object"),
        ({"x": {1.5: 0}}, r"state\['x'\] has the key 1.5, a float"),
        ({True: 0}, r"state has the key True, a bool"),
        ([np.array(["a"])], r"state\[0\] has dtype <U1"),
        ([np.array([1j])], r"state\[0\] has dtype complex128"),
        ([1j], r"state\[0\] is a complex"),
        ({5: print}, r"state\[5\] is a builtin_function_or_method"),
    ]
    for obj, message in cases:
        with pytest.raises(TypeError, match=message):
            save(obj, tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_what_contains_itself(tmp_path):
    obj = []
    obj.append(obj)
    with pytest.raises(ValueError, match="contains itself"):
        save(obj, tmp_path / "a")


def test_too_many_bare_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "_JSON_LIMIT", 1000)
    with pytest.raises(ValueError, match="into arrays"):
        save([0] * 1000, tmp_path / "a")


# --------------------------------------------------------------------------- damage


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "checkpoint"
    save({"lr": 0.5, "w": minidl.arange(6.0), "n": (1, 2)}, path)
    return path


def test_every_truncation_is_noticed(whole):
    content = whole.read_bytes()
    for length in range(len(content)):
        whole.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="checkpoint is no whole safetensors file"):
            load(whole)


def test_every_damaged_byte_is_noticed_or_harmless(whole):
    content = whole.read_bytes()
    expected = load(whole)
    for i in range(len(content)):
        whole.write_bytes(content[:i] + bytes([content[i] ^ 4]) + content[i + 1 :])
        try:
            assert same(load(whole), expected)  # say, other blanks at the header's end
        except CheckpointError as error:
            assert str(whole) in str(error)


def write(path, header, data=b""):
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


@pytest.mark.parametrize(
    "tree",
    [
        "{",
        "[" * 5000 + "]" * 5000,
        '{"set": [1]}',
        '{"dict": [1]}',
        '{"tensor": "nothing"}',
        '{"tensor": [1]}',
        '{"int": "zz"}',
        '{"int": 5}',
        '{"float": "x"}',
        '{"tuple": 5}',
        '{"items": [[1]]}',
        '{"items": [[[], 1]]}',
        '{"a": 1, "b": 2}',
        "{}",
    ],
)
def test_structures_that_make_no_sense(tmp_path, tree):
    write(tmp_path / "a", {"__metadata__": {"minidl": tree, "minidl.sha256": checksum(tree)}})
    with pytest.raises(CheckpointError, match=r"a has a structure that cannot be read"):
        load(tmp_path / "a")


def checksum(tree):
    return serialization._checksum(tree, {})


def test_a_missing_checksum(tmp_path):
    write(tmp_path / "a", {"__metadata__": {"minidl": "1"}})
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path / "a")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_a_dtype_that_numpy_lacks(tmp_path, dtype):
    size = 2 if dtype == "BF16" else 4
    header = {"a": {"dtype": dtype, "shape": [size], "data_offsets": [0, 4]}}
    write(tmp_path / "a", header, bytes(4))
    with pytest.raises(CheckpointError, match="a dtype that NumPy does not have"):
        load(tmp_path / "a")


def test_files_of_another_kind(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(100))
    (tmp_path / "pickle").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch /tmp/pwned'\ntR.")
    (tmp_path / "text").write_text("hello " * 100)
    for name in ("x.npy", "pickle", "text"):
        with pytest.raises(CheckpointError, match=name):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(OSError):
        load(tmp_path)


# --------------------------------------------------------------------------- failing writes


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(whole, monkeypatch, function):
    before = whole.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="cannot write the checkpoint, No space left") as caught:
        save({"new": 1}, whole)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(whole)
    assert whole.read_bytes() == before and os.listdir(whole.parent) == ["checkpoint"]


def test_an_interrupted_write_leaves_the_old_file(whole, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save({"new": 1}, whole)
    assert load(whole)["lr"] == 0.5 and os.listdir(whole.parent) == ["checkpoint"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write the checkpoint.*nowhere.*a"):
        save([1], tmp_path / "nowhere" / "a")


LIMITED = """
import resource, sys, numpy as np
from minidl.serialization import save
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save({"x": np.zeros(1_000_000)}, sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits, which Windows lacks")
def test_a_full_disk(whole):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(whole)], capture_output=True, text=True, check=True
    )
    assert (
        "cannot write the checkpoint, File too large" in done.stdout and str(whole) in done.stdout
    )
    assert load(whole)["lr"] == 0.5 and os.listdir(whole.parent) == ["checkpoint"]


WRITING = """
import itertools, sys, numpy as np
from minidl.serialization import save
for i in itertools.count():
    save({"i": i, "x": np.full(300_000, i)}, sys.argv[1])
    print(i, flush=True)
"""


def test_killed_while_writing(tmp_path):
    path = tmp_path / "checkpoint"
    for wait in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITING, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            done = [int(process.stdout.readline()) for _ in range(3 + wait)][-1]
            process.kill()
        back = load(path)
        assert back["i"] >= done and (back["x"] == back["i"]).all()
