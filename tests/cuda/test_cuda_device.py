"""``minidl.cuda``, streams and transfers: on a GPU."""

import numpy as np
import pytest

import minidl
from minidl import accelerator, cuda

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    """A GPU, without which none of this can be tested."""
    if not cuda.is_available():
        pytest.skip("there is no GPU")


def test_devices():
    assert 0 <= cuda.current_device() < cuda.device_count()
    with cuda.device(0):
        assert cuda.current_device() == accelerator.current_device_index() == 0
    major, _minor = cuda.get_device_capability()
    assert major >= 7 and cuda.get_device_name()
    assert accelerator.current_accelerator() == minidl.device("cuda")
    with pytest.raises(ValueError, match="there is no GPU 99"):
        cuda.set_device(99)
    with pytest.raises(minidl.CudaUnavailable, match="there is no cuda:99"):
        minidl.zeros(1, device="cuda:99")


def test_memory():
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = minidl.zeros(1 << 20, device="cuda")
    assert cuda.memory_allocated() - before == x.numel() * x.element_size()
    assert cuda.memory_reserved() >= cuda.memory_allocated()
    free, total = cuda.mem_get_info()
    assert 0 < free < total
    del x
    assert cuda.memory_allocated() == before


def test_out_of_memory_says_how_much_and_leaves_the_process_alive():
    x = minidl.ones(1, device="cuda").expand(1 << 30, 1 << 12)
    with pytest.raises(minidl.OutOfMemoryError, match=r"clone\(.*16384.00 GiB wanted, .* free"):
        x.clone()
    with pytest.raises(minidl.OutOfMemoryError, match=r"for a new array on cuda: 16384\.00 GiB"):
        minidl.empty(1 << 30, 1 << 12, device="cuda")
    assert minidl.ones(2, device="cuda").sum().item() == 2


def test_streams_and_events():
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    side = cuda.Stream()
    x = minidl.randn(512, 512, device="cuda")
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        assert cuda.current_stream() == side != cuda.default_stream()
        start.record()
        y = x @ x
        end.record()
    end.wait()  # the default stream waits for the side one
    total = y.sum().item()
    end.synchronize()
    assert end.query() and start.elapsed_time(end) > 0
    assert total == pytest.approx((x.cpu() @ x.cpu()).sum().item(), rel=1e-2, abs=1.0)
    side.synchronize()
    assert side.query()


def test_pinned_transfers_in_a_row_arrive_whole():
    """The pinned memory is forgotten at once and may not be reused before it was read."""
    arrived = []
    for i in range(50):
        batch = minidl.full((1 << 18,), i).pin_memory()
        assert batch.is_pinned()
        arrived.append(batch.to("cuda", non_blocking=True))
        del batch
    assert [(t.min().item(), t.max().item()) for t in arrived] == [(i, i) for i in range(50)]


def test_a_loader_feeds_the_gpu():
    pictures = minidl.arange(4000).reshape(1000, 4)
    loader = minidl.utils.data.DataLoader(
        minidl.utils.data.TensorDataset(pictures), 64, num_workers=1, pin_memory=True
    )
    parts = [batch.to("cuda", non_blocking=True) for (batch,) in loader]
    np.testing.assert_array_equal(minidl.cat(parts).cpu().numpy(), pictures.numpy())
