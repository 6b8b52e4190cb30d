"""What can go wrong with devices, and pinned memory: with a CuPy that only pretends."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import backend
from minidl.autograd import op
from minidl.backend import transfer
from minidl.utils.data import DataLoader, TensorDataset

GIB = 1 << 30


class CUDARuntimeError(RuntimeError):
    pass


class PinnedMemoryPointer(bytearray):
    """What CuPy's is: a buffer."""


class Event:
    done = False


class Stream:
    """Copies when it is told to, and not before."""

    def __init__(self):
        self.copies = []

    def record(self):
        return Event()


class DeviceArray(np.ndarray):
    """Stands for `cupy.ndarray`."""

    def set(self, array, stream):
        stream.copies.append((self, array))


DeviceArray.__module__ = "cupy._core"


class OutOfMemory(MemoryError):
    """CuPy's error, which knows how much was wanted."""

    _size = 3 * GIB


def fake_cupy(gpus=1, driver=13000, built=12090):
    """A module ``cupy`` for a machine with so many GPUs; ``gpus`` may be an error."""

    def count():
        if isinstance(gpus, Exception):
            raise gpus
        return gpus

    stream = Stream()
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=count,
        getDevice=lambda: 0,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: built,
        memGetInfo=lambda: (GIB, 80 * GIB),
    )
    cuda = SimpleNamespace(
        runtime=runtime,
        alloc_pinned_memory=PinnedMemoryPointer,
        get_current_stream=lambda: stream,
    )
    return SimpleNamespace(
        cuda=cuda,
        empty=lambda shape, dtype: np.empty(shape, dtype).view(DeviceArray),
        asarray=lambda array: array.copy().view(DeviceArray),
        get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: GIB // 2),
    )


@pytest.fixture
def install(monkeypatch):
    """Puts a pretended CuPy (None for none at all) in the place of a real one."""

    def install(cupy):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        backend.load_cupy.cache_clear()
        return cupy

    yield install
    backend.load_cupy.cache_clear()
    transfer._under_way.clear()
    transfer._warn_once.cache_clear()


# --------------------------------------------------------------------------- no GPU

TROUBLES = {
    "no CuPy": (None, r"needs CuPy.*pip install 'minidl\[cuda12\]' or 'minidl\[cuda13\]'"),
    "no driver": (fake_cupy(CUDARuntimeError("insufficient"), driver=0), "no NVIDIA driver"),
    "old driver": (
        fake_cupy(CUDARuntimeError("insufficient"), driver=12080, built=13010),
        r"built for CUDA 13 and the driver supports CUDA 12: pip uninstall cupy-cuda13x, "
        r"then pip install 'minidl\[cuda12\]'",
    ),
    "broken": (fake_cupy(CUDARuntimeError("no such thing")), "is not usable: no such thing"),
    "no GPU": (fake_cupy(gpus=0), "the driver finds no GPU"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_without_a_gpu_cuda_says_why(install, trouble):
    cupy, message = TROUBLES[trouble]
    install(cupy)
    for attempt in (
        lambda: minidl.zeros(2, device="cuda"),
        lambda: minidl.zeros(2).cuda(),
        lambda: minidl.nn.Linear(1, 1).to("cuda:0"),
        minidl.cuda.current_device,
    ):
        with pytest.raises(minidl.CudaUnavailable, match=message):
            attempt()
    assert not minidl.cuda.is_available() and minidl.cuda.device_count() == 0
    assert minidl.accelerator.current_accelerator() is None


def test_with_one_there_is(install):
    install(fake_cupy(gpus=2))
    assert minidl.cuda.is_available() and minidl.accelerator.device_count() == 2
    assert minidl.accelerator.current_accelerator() == minidl.device("cuda")
    with pytest.raises(minidl.CudaUnavailable, match="no cuda:2: the GPUs of this machine are 2"):
        minidl.zeros(1, device="cuda:2")


def test_importing_minidl_does_not_import_cuda():
    code = (
        "import sys, minidl; "
        "print({m for m in sys.modules if m.startswith(('cupy', 'numba.cuda'))})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --------------------------------------------------------------------------- out of memory


def exhausted(*args):
    raise OutOfMemory


def test_out_of_memory_says_how_much(install):
    install(fake_cupy())
    hungry = op(exhausted)
    message = (
        r"out of memory, for exhausted\(float32\[2\]\): 3.00 GiB wanted, 1.50 GiB free of the "
        "GPU's 80.00 GiB; a smaller batch size"
    )
    with pytest.raises(minidl.OutOfMemoryError, match=message) as caught:
        hungry(minidl.zeros(2))
    assert isinstance(caught.value, MemoryError) and isinstance(caught.value, RuntimeError)


def test_out_of_memory_for_new_tensors(install):
    install(fake_cupy()).empty = exhausted
    with pytest.raises(minidl.OutOfMemoryError, match=r"for a new array on cuda: 3\.00 GiB"):
        minidl.empty(2, device="cuda")


def test_out_of_memory_on_the_host_keeps_numpys_words():
    huge = minidl.zeros(1).expand(1 << 40, 1 << 16)
    with pytest.raises(minidl.OutOfMemoryError, match=r"for clone\(float32.*Unable to allocate"):
        huge.clone()


# --------------------------------------------------------------------------- pinned memory


def test_pinned_memory_is_a_copy_that_knows_itself(install):
    install(fake_cupy())
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    pinned = x.pin_memory()
    assert pinned.is_pinned() and not x.is_pinned()
    assert pinned[1:, 0].is_pinned() and pinned.pin_memory() is pinned
    assert pinned.tolist() == x.tolist() and not pinned.clone().is_pinned()
    assert minidl.zeros(0).pin_memory().is_pinned()
    with pytest.raises(RuntimeError, match="only memory of the host can be pinned"):
        x.to("emulator").pin_memory()


def test_a_copy_out_of_pinned_memory_is_not_waited_for(install):
    stream = install(fake_cupy()).cuda.get_current_stream()
    array = minidl.ones(3).pin_memory().array
    copy = backend.to_gpu(array, non_blocking=True)
    ((target, source),) = stream.copies
    assert target is copy and source is array
    first, kept = transfer._under_way[0]
    assert kept is array  # until the copy is done, whoever forgets it
    for done in (False, True):
        first.done = done
        backend.to_gpu(minidl.ones(3).pin_memory().array, non_blocking=True)
        assert len(transfer._under_way) == 2
        assert (transfer._under_way[0][1] is array) != done


@pytest.mark.parametrize(
    "make, non_blocking",
    [
        (lambda: minidl.ones(4), True),
        (lambda: minidl.ones(4).pin_memory(), False),
        (lambda: minidl.ones(4).pin_memory()[::2], True),
    ],
)
def test_other_copies_are(install, make, non_blocking):
    stream = install(fake_cupy()).cuda.get_current_stream()
    backend.to_gpu(make().array, non_blocking)
    assert not stream.copies and not transfer._under_way


def test_without_a_gpu_pinning_warns_once_and_does_nothing(install, recwarn):
    install(None)
    x = minidl.ones(2)
    with pytest.warns(UserWarning, match="pin_memory has no effect: .*needs CuPy"):
        assert x.pin_memory() is x
    assert x.pin_memory() is x and not x.is_pinned()


class Plain(TensorDataset):
    """Has no whole batches to offer."""

    batched = False


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("make", [TensorDataset, Plain])
def test_the_loader_pins(install, make, num_workers):
    install(fake_cupy())
    data = make(minidl.arange(6), minidl.ones(6, 2))
    batches = list(DataLoader(data, 4, num_workers=num_workers, pin_memory=True))
    assert all(part.is_pinned() for batch in batches for part in batch)
    assert [batch[0].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]


def test_whole_batches_are_pinned_in_the_background(install, monkeypatch):
    threads = set()

    def allocated(size):
        threads.add(threading.current_thread())
        return PinnedMemoryPointer(size)

    install(fake_cupy()).cuda.alloc_pinned_memory = allocated
    list(DataLoader(TensorDataset(minidl.ones(6, 2)), 4, num_workers=1, pin_memory=True))
    assert threads and threading.main_thread() not in threads


def test_the_loader_pins_what_is_inside(install):
    install(fake_cupy())

    def collate(samples):
        return {"x": (minidl.ones(2), ["text", minidl.zeros(1, device="emulator")]), "n": 3}

    (batch,) = DataLoader(range(2), 2, collate_fn=collate, pin_memory=True)
    inside, (text, there) = batch["x"]
    assert inside.is_pinned() and (text, batch["n"]) == ("text", 3)
    assert there.device == backend.EMULATOR


# --------------------------------------------------------------------------- names


def test_names_of_devices():
    assert minidl.device("cuda", 1) == minidl.device("cuda:1") == minidl.device(1)
    assert minidl.device("cuda").index is None
    for name in ("cuda:", "cuda:x", "cuda1", "gpu", ""):
        with pytest.raises(ValueError, match="there is no device"):
            minidl.device(name)


def test_the_default_device_is_a_threads_own():
    seen = []
    with minidl.device("emulator"):
        with minidl.device("cpu"):
            assert minidl.zeros(1).device == backend.CPU
        thread = threading.Thread(target=lambda: seen.append(minidl.get_default_device()))
        thread.start()
        thread.join()
        assert minidl.zeros(1).device == backend.EMULATOR
    assert seen == [backend.CPU] == [minidl.get_default_device()]
