"""Worker processes: what they deliver, how they fail, and that they always end."""

import faulthandler
import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import minidl
from minidl.kernels import jit
from minidl.random import Generator, current_generator
from minidl.utils.data import DataLoader, Dataset, TensorDataset, get_worker_info, workers
from minidl.utils.data.transport import Failure, pack

pytestmark = pytest.mark.timeout(60)


class Calls(Dataset):
    """Sample i is what ``function(i)`` returns."""

    def __init__(self, function, size=12):
        self.function, self.size = function, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.function(index)


def in_time(condition, seconds=8.0):
    """Whether ``condition()`` becomes true within ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(pid):
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has just ended, or there is no such folder on this system
        return not os.path.exists("/proc/self/stat")


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    gc.collect()
    assert in_time(lambda: not multiprocessing.active_children())


# --------------------------------------------------------------------------- what they deliver


def noisy(index):
    return index, current_generator().normal(3), np.zeros((index % 2, 3))[:, :0].sum()


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_number_of_workers_changes_nothing(num_workers):
    def epochs(workers):
        loader = DataLoader(
            Calls(noisy, 50), 4, True, num_workers=workers, generator=Generator(1), drop_last=True
        )
        return [[[x.numpy() for x in batch] for batch in loader] for _ in range(2)]

    for ours, theirs in zip(epochs(num_workers), epochs(0), strict=True):
        for batch, expected in zip(ours, theirs, strict=True):
            for x, y in zip(batch, expected, strict=True):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x, y)


def test_batches_arrive_in_order_whatever_they_take():
    def slow(index):
        time.sleep(0.03 if index % 3 == 0 else 0)
        return index

    batches = DataLoader(Calls(slow), num_workers=3, prefetch_factor=2)
    assert [x.item() for x in batches] == list(range(12))


def test_batches_can_be_written_to_and_may_be_empty_or_not_contiguous():
    data = Calls(lambda i: (np.arange(6.0).reshape(2, 3).T, np.zeros(0), f"name {i}"), 2)
    ((x, empty, names),) = DataLoader(data, 2, num_workers=1)
    x += 1
    assert x[1].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert empty.shape == (2, 0)
    assert names == ("name 0", "name 1")


def test_large_index_lists_and_large_batches_do_not_block_each_other():
    # Both ways far more than a pipe holds, while nobody reads the results.
    requests = [[bytes([number]) * 1_000_000] for number in range(8)]
    data = Calls(lambda index: np.full(1_000_000, index[0]))
    batches = iter(DataLoader(data, batch_sampler=requests, num_workers=1, prefetch_factor=4))
    assert next(batches).numpy().max() == 0
    time.sleep(0.1)
    assert [batch.numpy().max() for batch in batches] == list(range(1, 8))


def test_workers_know_themselves():
    def ask(index):
        info = get_worker_info()
        return (info.id, info.num_workers, len(info.dataset), info.seed, jit._state.serial)

    assert get_worker_info() is None
    rows = [x[0].tolist() for x in DataLoader(Calls(ask), num_workers=2, collate_fn=np.array)]
    assert [row[0] for row in rows] == [0, 1] * 6
    assert {tuple(row[1:3]) for row in rows} == {(2, 12)}
    assert rows[1][3] == rows[0][3] + 1
    assert all(row[4] for row in rows)  # kernels must not use threads after a fork


def test_python_and_numpy_generators_are_seeded_by_worker():
    def draw(index):
        return random.random(), np.random.rand()

    def run():
        return [
            [x.item() for x in batch]
            for batch in DataLoader(Calls(draw), num_workers=2, generator=Generator(4))
        ]

    drawn = run()
    assert drawn == run()
    assert len({value for row in drawn for value in row}) == 24


def test_worker_init_fn_runs_first():
    prepared = []
    loader = DataLoader(Calls(lambda i: prepared[0]), num_workers=2, worker_init_fn=prepared.append)
    assert [x.item() for x in loader] == [0, 1] * 6
    assert prepared == []


def test_exactly_so_much_is_fetched_ahead(tmp_path):
    def touch(index):
        (tmp_path / str(index)).touch()
        return np.zeros(100_000)  # which a pipe does not hold: the worker must not wait for it

    batches = iter(DataLoader(Calls(touch, 100), num_workers=2, prefetch_factor=3))
    next(batches)
    assert in_time(lambda: len(list(tmp_path.iterdir())) == 6)
    next(batches)
    assert in_time(lambda: len(list(tmp_path.iterdir())) == 7)
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == 7


def spawned_sample(index):
    return index, current_generator().uniform()


def test_where_processes_cannot_fork(monkeypatch):
    def run(num_workers):
        data = Calls(spawned_sample, 4)
        loader = DataLoader(data, 2, num_workers=num_workers, generator=Generator(0))
        return [[x.tolist() for x in batch] for batch in loader]

    monkeypatch.setattr(workers, "_start_method", lambda: "spawn")
    assert run(1) == run(0)


def test_start_method(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers._start_method() == "spawn"


# --------------------------------------------------------------------------- how they fail


class Refusal(ValueError):
    """An error with an argument."""

    def __init__(self, code):
        super().__init__(f"refused with code {code}")
        self.code = code

    def __reduce__(self):
        return Refusal, (self.code,)


class Unpicklable(Exception):
    """An error that cannot be made again from its args."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")


def failing(error, at=4):
    def sample(index):
        if index == at:
            raise error
        return index

    return Calls(sample)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_an_error_keeps_type_and_text_and_comes_in_its_place(num_workers):
    batches = iter(DataLoader(failing(Refusal(7)), num_workers=num_workers))
    assert [next(batches).item() for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(Refusal, match="refused with code 7") as caught:
        next(batches)
    assert caught.value.code == 7
    assert f"in DataLoader worker {4 % num_workers}" in str(caught.value.__cause__)
    assert "in sample" in str(caught.value.__cause__)
    assert next(batches, "ended") == "ended"
    assert not multiprocessing.active_children()


def test_errors_and_batches_that_cannot_be_pickled():
    with pytest.raises(RuntimeError, match="Unpicklable: 3: because"):
        list(DataLoader(failing(Unpicklable(3, "because")), num_workers=1))
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        list(DataLoader(Calls(lambda i: i), collate_fn=lambda x: lambda: x, num_workers=1))


def test_an_error_of_worker_init_fn():
    def init(number):
        raise Refusal(number)

    with pytest.raises(Refusal, match="code 0"):
        list(DataLoader(Calls(noisy), num_workers=2, worker_init_fn=init))


def crash():
    faulthandler.disable()  # pytest's would print the stack of the whole test run
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL; .* out of memory"),
        (crash, "killed by SIGSEGV"),
        (lambda: os._exit(3), "exited unexpectedly with code 3"),
    ],
)
def test_the_death_of_a_worker(end, message):
    def sample(index):
        if index == 5:
            end()
        return index

    with pytest.raises(RuntimeError, match=rf"DataLoader worker 1 \(pid \d+\) (was )?{message}"):
        list(DataLoader(Calls(sample), num_workers=2))


def test_a_worker_killed_while_nobody_looks():
    batches = iter(DataLoader(Calls(lambda i: i, 100), num_workers=2))
    next(batches)
    victim = min(multiprocessing.active_children(), key=lambda process: process.name)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    with pytest.raises(RuntimeError, match=r"worker 0 .* SIGKILL"):
        list(batches)


def test_the_death_of_a_worker_whose_child_lives_on(tmp_path):
    def sample(index):
        child = os.fork()
        if child == 0:
            time.sleep(60)
        (tmp_path / "child").write_text(str(child))
        os._exit(3)

    with pytest.raises(RuntimeError, match="exited unexpectedly with code 3"):
        list(DataLoader(Calls(sample, 1), num_workers=1))
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_worker_that_hangs():
    def sample(index):
        if index == 3:
            time.sleep(60)
        return index

    batches = iter(DataLoader(Calls(sample), num_workers=2, timeout=0.3))
    begin = time.monotonic()
    assert [next(batches).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match=r"timed out after 0\.3 seconds: worker 1 .* batch 3"):
        next(batches)
    assert time.monotonic() - begin < 20
    assert not multiprocessing.active_children()


# --------------------------------------------------------------------------- that they end


def test_workers_end_when_the_iterator_is_dropped():
    def sample(index):
        time.sleep(30 if index else 0)
        return index

    batches = iter(DataLoader(Calls(sample, 100), num_workers=2))
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    begin = time.monotonic()
    del batches
    assert not multiprocessing.active_children()
    assert time.monotonic() - begin < 10


def test_two_loaders_at_a_time():
    outer = DataLoader(Calls(lambda i: i, 3), num_workers=2)
    inner = DataLoader(Calls(lambda i: -i, 3), num_workers=2)
    seen = []
    for x in outer:
        seen.append(x.item())
        assert [y.item() for y in inner] == [0, -1, -2]
        assert len(multiprocessing.active_children()) == 2
    assert seen == [0, 1, 2]


def test_two_loaders_side_by_side():
    short, long = (DataLoader(Calls(lambda i: i, size), num_workers=2) for size in (3, 6))
    assert [(x.item(), y.item()) for x, y in zip(short, long)] == [(0, 0), (1, 1), (2, 2)]
    gc.collect()
    assert not multiprocessing.active_children()


def test_a_forked_copy_of_the_workers_leaves_them_alone():
    batches = iter(DataLoader(Calls(lambda i: i, 6), num_workers=1))
    next(batches)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=batches.close)
    workers._start_quietly(child)
    child.join()
    assert child.exitcode == 0
    assert [x.item() for x in batches] == [1, 2, 3, 4, 5]


SCRIPT = """
    import multiprocessing, os, signal, sys, time
    import minidl
    from minidl.utils.data import DataLoader

    # a shell has its background jobs, of which the suite may be one, ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)

    class Slow:
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            time.sleep(SLEEP)
            return index

    for batch in DataLoader(Slow(), num_workers=2):
        if batch.item() == 3:
            pids = [child.pid for child in multiprocessing.active_children()]
            if WITNESS and os.fork() == 0:
                time.sleep(60)
            print(*pids, flush=True)
"""


def running(sleep, witness=False):
    """A program in the middle of an epoch, in a process group of its own, and its workers.

    A witness is another process that the program forks: it has copies of all pipes.
    """
    code = f"SLEEP, WITNESS = {sleep}, {witness}\n" + textwrap.dedent(SCRIPT)
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    return program, pids


@pytest.mark.parametrize(("sleep", "witness"), [(0.01, False), (0.2, True)])
def test_workers_end_when_their_parent_is_killed(sleep, witness):
    program, pids = running(sleep, witness)
    program.kill()
    assert in_time(lambda: not any(map(alive, pids)), 10 if witness else 2.5)
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()


def test_ctrl_c_ends_everything():
    program, pids = running(0.02)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, errors = program.communicate(timeout=10)
    assert program.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt" in errors
    assert not any(map(alive, pids))


# --------------------------------------------------------------------------- messages


def test_arrays_travel_beside_the_pickle():
    big = np.zeros(100_000)
    body, *buffers = pack([minidl.tensor(big), big[::2]])
    assert len(buffers) == 1
    assert len(buffers[0]) == big.nbytes
    assert len(body) < big.nbytes  # the array with gaps is in it


def test_tensor_datasets_are_not_sent_to_processes():
    for _ in DataLoader(TensorDataset(minidl.arange(10)), 2, num_workers=2):
        assert not multiprocessing.active_children()


def test_failure_shows_the_traceback():
    try:
        raise Refusal(1)
    except Refusal as error:
        failure = Failure(error, "here")
    with pytest.raises(Refusal) as caught:
        failure.reraise()
    assert str(caught.value.__cause__).startswith("in here\n\nTraceback")
