"""Devices, dtypes and promotion."""

import itertools

import numpy as np
import pytest

import minidl
from minidl import backend

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
SCALARS = [True, 2, 2.5]


@pytest.fixture
def float64_default():
    minidl.set_default_dtype(minidl.float64)
    yield
    minidl.set_default_dtype(minidl.float32)


def operands():
    """Arrays with and without dimensions of every dtype, and Python numbers."""
    arrays = [np.ones(shape, dtype) for dtype in DTYPES for shape in [(2,), ()]]
    return [*arrays, *SCALARS]


def described(operand):
    return f"{operand.dtype}{operand.shape}" if hasattr(operand, "dtype") else repr(operand)


def test_promotion_is_pytorchs():
    torch = pytest.importorskip("torch")
    for pair in itertools.product(operands(), repeat=2):
        theirs = [torch.from_numpy(o) if isinstance(o, np.ndarray) else o for o in pair]
        expected = str(torch.result_type(*theirs)).removeprefix("torch.")
        assert str(backend.result_type(*pair)) == expected, " + ".join(map(described, pair))


def test_promotion_in_short():
    batch, number = np.ones(2, np.float32), np.array(1.0)
    assert backend.result_type(batch, np.ones(2, np.int64)) == np.float32
    assert backend.result_type(batch, number) == np.float32
    assert backend.result_type(np.ones(2, np.int64), number) == np.float64
    assert backend.result_type(np.ones(2, np.int8), 1000) == np.int8
    assert backend.result_type(np.ones(2, np.int8), 0.5) == np.float32
    assert backend.result_type(True, 2) == np.int64
    assert backend.result_type(np.float32(1), np.ones(2, np.int64)) == np.float32


@pytest.mark.parametrize("operand", [None, "a", [1], 1j, np.complex64(1)])
def test_promotion_refuses_what_is_no_number(operand):
    with pytest.raises(TypeError, match="wants a tensor or a number"):
        backend.result_type(np.ones(2), operand)


def test_default_dtype(float64_default):
    assert minidl.get_default_dtype() == np.float64
    assert minidl.tensor(1.5).dtype == minidl.zeros(2).dtype == np.float64
    assert (minidl.tensor([1, 2]) / 2).dtype == np.float64
    assert minidl.exp(minidl.tensor([1])).dtype == np.float64
    assert repr(minidl.tensor(1.5)) == "tensor(1.5000)"


def test_default_dtype_must_be_floating():
    with pytest.raises(TypeError, match="floating-point dtype, got int64"):
        minidl.set_default_dtype(minidl.int64)


def test_devices():
    cpu = minidl.device("cpu")
    assert minidl.device(cpu) is cpu
    assert cpu == minidl.zeros(1).device
    assert (str(cpu), repr(cpu)) == ("cpu", "device(type='cpu')")
    second = minidl.Device("cuda", 1)
    assert (str(second), repr(second)) == ("cuda:1", "device(type='cuda', index=1)")
    with pytest.raises(ValueError, match="no device 'tpu'; there are 'cpu'"):
        minidl.device("tpu")


def test_array_module():
    assert backend.xp(np.ones(2), 3) is np
    assert backend.is_array(np.ones(()))
    assert not backend.is_array(np.float32(1))


def test_asarray_keeps_arrays_and_converts_numbers():
    wide = np.ones(2)
    assert backend.asarray(wide) is wide
    assert backend.asarray([1.0]).dtype == np.float32
    assert backend.asarray([1.0], np.float16).dtype == np.float16
    assert backend.asarray(np.float64(1)).dtype == np.float64
    swapped = backend.asarray(np.arange(3, dtype=">i4"))
    assert swapped.dtype.isnative
    assert swapped.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "data, kind, message",
    [
        ([[1, 2], [3]], ValueError, "inhomogeneous"),
        (["a"], TypeError, "holds numbers or booleans"),
        ([None], TypeError, "holds numbers or booleans"),
        (1j, TypeError, "holds numbers or booleans"),
        (np.array(["a"]), TypeError, "holds numbers or booleans"),
    ],
)
def test_asarray_refuses(data, kind, message):
    with pytest.raises(kind, match=message):
        backend.asarray(data)
