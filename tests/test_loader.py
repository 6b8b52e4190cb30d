"""The loader within one process: order, randomness, whole batches, its state."""

import gc
import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.kernels import jit
from minidl.random import Generator, current_generator, using
from minidl.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)


class Noisy(Dataset):
    """Sample i is (i, a random number)."""

    def __init__(self, size=23):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index, current_generator().uniform()


class NoisyBatches(Noisy):
    """The same kind of data set with whole batches: the number depends on (seed, position)."""

    batched = True

    def __getitem__(self, index):
        raise AssertionError("sample by sample")

    def fetch_batch(self, indices, seed, first):
        if (indices < 0).any():
            raise KeyError("negative")
        noise = [Generator(seed).spawn(first + i).uniform() for i in range(len(indices))]
        return indices, np.array(noise)


WAYS = {
    "samples": (Noisy, {}),
    "samples by workers": (Noisy, {"num_workers": 2}),
    "blocks": (NoisyBatches, {}),
    "blocks in the background": (NoisyBatches, {"num_workers": 1}),
}
way = pytest.mark.parametrize("way", WAYS)


def loader_of(way, size=23, **options):
    dataset, workers = WAYS[way]
    return DataLoader(dataset(size), **workers, **options)


def listed(batches):
    return [[column.tolist() for column in batch] for batch in batches]


def gone(prefix="minidl-loader", seconds=5.0):
    """Whether all loader threads end soon."""
    end = time.monotonic() + seconds
    while any(t.name.startswith(prefix) for t in threading.enumerate()):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# --------------------------------------------------------------------------- order and coverage


@given(
    st.sampled_from([Noisy, NoisyBatches]),
    st.integers(1, 40),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
)
def test_every_sample_comes_once(kind, size, batch_size, drop_last, shuffle):
    loader = DataLoader(kind(size), batch_size, shuffle, drop_last=drop_last)
    batches = listed(loader)
    assert len(batches) == len(loader)
    sizes = [len(indices) for indices, _ in batches]
    assert all(n == batch_size for n in sizes[:-1])
    assert sum(sizes) == (size - size % batch_size if drop_last else size)
    seen = [i for indices, _ in batches for i in indices]
    assert len(set(seen)) == len(seen)
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_tensors_come_out_in_lists():
    x = minidl.arange(12).reshape(6, 2)
    for num_workers in (0, 1):
        batches = list(DataLoader(TensorDataset(x, x), 4, num_workers=num_workers))
        assert [type(batch) for batch in batches] == [list, list]
        assert batches[1][0].tolist() == [[8, 9], [10, 11]]
        assert batches[0][1].dtype == minidl.int64


@way
def test_epochs_differ_and_seeds_repeat(way):
    runs = []
    for seed in (1, 1, 2):
        loader = loader_of(way, batch_size=4, shuffle=True, generator=Generator(seed))
        runs.append([listed(loader), listed(loader)])
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][0] != runs[0][1]


def test_the_default_generator_decides_where_none_is_given():
    with using(Generator(7)):
        first = listed(DataLoader(Noisy(), 5, shuffle=True))
        state = current_generator().get_state()
    with using(Generator(7)):
        assert listed(DataLoader(Noisy(), 5, shuffle=True)) == first
        # one draw an epoch: what runs beside the loader gets the same numbers in any mode
        assert current_generator().get_state().tolist() == state.tolist() == [7, 1]


@way
def test_random_numbers_do_not_depend_on_how_an_epoch_is_cut(way):
    small = listed(loader_of(way, batch_size=3, generator=Generator(0)))
    large = listed(loader_of(way, batch_size=23, generator=Generator(0)))
    assert [i for _, noise in small for i in noise] == large[0][1]
    assert len(set(large[0][1])) == 23


def test_samples_and_collation_have_random_numbers_of_their_own():
    class Seeds(Noisy):
        def __getitem__(self, index):
            return current_generator().initial_seed()

    def collate(seeds):
        return [*seeds, current_generator().initial_seed()]

    loader = DataLoader(Seeds(), 5, collate_fn=collate)
    seeds = [seed for _epoch in range(2) for batch in loader for seed in batch]
    assert len(set(seeds)) == len(seeds) == 2 * (23 + 5)


def test_without_batches():
    data = [np.arange(2.0), {"a": (1, np.int64(2))}, "text"]
    first, second, third = DataLoader(data, batch_size=None)
    assert first.tolist() == [0.0, 1.0]
    assert second["a"][0] == 1
    assert second["a"][1].dtype == minidl.int64
    assert third == "text"
    assert list(DataLoader("abc", None, collate_fn=str.upper)) == ["A", "B", "C"]
    assert len(DataLoader("abc", None)) == 3


def test_samplers_take_the_place_of_shuffle():
    assert listed(DataLoader(Noisy(), 2, sampler=[5, 3, 4]))[0][0] == [5, 3]
    batches = [[0], [2, 1], [3, 4, 5]]
    for kind in (Noisy, NoisyBatches):
        loader = DataLoader(kind(), batch_sampler=batches)
        assert [indices for indices, _ in listed(loader)] == batches
        assert (len(loader), loader.batch_size) == (3, None)
    with pytest.raises(ValueError, match="batch 1 is empty"):
        listed(DataLoader(Noisy(), batch_sampler=[[0], []]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"timeout": 1}, "need num_workers > 0"),
        ({"prefetch_factor": 2}, "need num_workers > 0"),
        ({"prefetch_factor": 0, "num_workers": 1}, "prefetch_factor option should be positive"),
        ({"sampler": [1], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
        ({"batch_sampler": [[1]], "shuffle": True}, "batch_sampler option is mutually exclusive"),
        ({"batch_sampler": [[1]], "drop_last": True}, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "exclusive with drop_last"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_loader_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Noisy(), **options)


def test_loader_refuses_what_is_no_data_set():
    with pytest.raises(TypeError, match="which generator is not"):
        DataLoader(x for x in range(3))
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader([], shuffle=True)
    assert list(DataLoader([])) == []


# --------------------------------------------------------------------------- whole batches


class Recorder(TensorDataset):
    """Records the calls for batches."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.calls, self.threads, self.serial = [], set(), set()

    def fetch_batch(self, indices, seed, first):
        self.calls.append((len(indices), first))
        self.threads.add(threading.current_thread())
        self.serial.add(jit._state.serial)
        return super().fetch_batch(indices, seed, first)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_blocks_hold_several_batches_and_are_not_copied(num_workers):
    data = Recorder(minidl.arange(2000))
    batches = [x for (x,) in DataLoader(data, 100, num_workers=num_workers)]
    assert sum(size for size, _ in data.calls) == 2000
    assert [first for _, first in data.calls] == np.cumsum(
        [0] + [size for size, _ in data.calls[:-1]]
    ).tolist()
    assert data.calls[0][0] == 100
    assert data.calls[-2][0] == 600
    assert np.concatenate([x.numpy() for x in batches]).tolist() == list(range(2000))
    owners = {id(x.array.base) for x in batches}
    assert len(owners) == len(data.calls)
    assert gone()
    assert (threading.main_thread() in data.threads) == (num_workers == 0)
    assert len(data.threads) == 1
    assert data.serial == {num_workers > 0}


def test_blocks_of_large_samples_are_small():
    data = Recorder(minidl.zeros(40, 1 << 20))  # 4 MiB each: 8 make the limit
    for _ in DataLoader(data, 2):
        pass
    assert data.calls == [(2, 0), *[(8, 2 + 8 * i) for i in range(4)], (6, 34)]


class AnyRandom(RandomSampler):
    """A sampler that has to be iterated over: its way through its indices is its own."""

    def __iter__(self):
        return iter(list(super().__iter__()))


class Backwards(RandomSampler):
    def __iter__(self):
        return reversed(list(super().__iter__()))


class AnyBatches(BatchSampler):
    def __iter__(self):
        return (batch[::-1] for batch in super().__iter__())


@given(
    st.integers(1, 30),
    st.integers(1, 40),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.integers(0, 40),
)
def test_an_order_drawn_at_once_is_the_one_of_iteration(
    size, count, batch_size, replacement, drop_last, cut
):
    runs = []
    for kind in (RandomSampler, AnyRandom):
        sampler = kind(range(size), replacement, count)
        data = NoisyBatches(size)
        loader = DataLoader(
            data, batch_size, sampler=sampler, drop_last=drop_last, generator=Generator(3)
        )
        listed(loader)
        iterator = iter(loader)
        head = listed(itertools.islice(iterator, cut))
        runs.append([head, loader.state_dict(), listed(iterator), listed(loader)])
    assert runs[0] == runs[1]


def test_samplers_that_iterate_in_their_own_way_are_iterated_over():
    def first_column(**options):
        loader = DataLoader(NoisyBatches(), generator=Generator(1), **options)
        return [indices for indices, _ in listed(loader)]

    shuffled = first_column(batch_size=5, shuffle=True)
    flat = [i for batch in shuffled for i in batch]
    backwards = first_column(batch_size=5, sampler=Backwards(range(23)))
    assert [i for batch in backwards for i in batch] == flat[::-1]
    mirrored = first_column(batch_sampler=AnyBatches(RandomSampler(range(23)), 5, False))
    assert mirrored == [batch[::-1] for batch in shuffled]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_errors_of_batches_reach_the_consumer(num_workers):
    loader = DataLoader(NoisyBatches(), batch_sampler=[[0], [-1]], num_workers=num_workers)
    batches = iter(loader)
    next(batches)
    with pytest.raises(KeyError, match="negative") as caught:
        next(batches)
    assert caught.traceback[-1].name == "fetch_batch"
    assert gone()


def test_wrong_rows_and_wrong_indices_are_found():
    class Short(Recorder):
        def fetch_batch(self, indices, seed, first):
            return super().fetch_batch(indices[1:], seed, first)

    with pytest.raises(RuntimeError, match="asked for 3 samples and returned 2 rows"):
        list(DataLoader(Short(minidl.arange(9)), 3))
    with pytest.raises(TypeError, match="float"):
        list(DataLoader(TensorDataset(minidl.arange(9)), sampler=[1.5]))


def test_the_thread_stays_within_bounds_and_ends_with_the_iterator():
    data = Recorder(minidl.arange(100_000))
    batches = iter(DataLoader(data, 500, num_workers=1, prefetch_factor=3))
    next(batches)
    time.sleep(0.1)
    assert len(data.calls) <= 4
    del batches
    gc.collect()
    assert gone()
    assert len(data.calls) <= 4


def test_a_background_block_that_is_late():
    release = threading.Event()

    class Slow(Recorder):
        def fetch_batch(self, indices, seed, first):
            release.wait(20)
            return super().fetch_batch(indices, seed, first)

    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        next(iter(DataLoader(Slow(minidl.arange(9)), num_workers=1, timeout=0.05)))
    release.set()
    assert gone()


# --------------------------------------------------------------------------- state


def interrupted(make, batches):
    """The epoch with its middle cut out: state taken after ``batches``, loaded elsewhere."""
    loader = make()
    iterator = iter(loader)
    head = [next(iterator) for _ in range(batches)]
    state = loader.state_dict()
    iterator.close()
    other = make()
    listed(other)  # its generators are somewhere else by now
    other.load_state_dict(state)
    assert other.state_dict() == state
    return listed(head), listed(other), listed(other)


@way
@pytest.mark.parametrize("cut", [1, 4, 6])
def test_resume_in_the_middle_of_an_epoch(way, cut):
    def make():
        return loader_of(way, batch_size=4, shuffle=True, generator=Generator(5))

    unbroken = make()
    first, second = listed(unbroken), listed(unbroken)
    head, tail, following = interrupted(make, cut)
    assert head + tail == first
    assert following == second


@pytest.mark.parametrize(
    "sampler",
    [
        lambda g: RandomSampler(range(23), True, 23, g),
        lambda g: WeightedRandomSampler([1.0] * 23, 23, generator=g),
    ],
)
def test_resume_rewinds_samplers_with_generators_of_their_own(sampler):
    def make():
        return DataLoader(Noisy(), 4, sampler=sampler(Generator(9)), generator=Generator(5))

    unbroken = make()
    first, second = listed(unbroken), listed(unbroken)
    head, tail, following = interrupted(make, 3)
    assert (head + tail, following) == (first, second)

    def make_batches():
        batches = BatchSampler(sampler(Generator(9)), 4, False)
        return DataLoader(Noisy(), batch_sampler=batches, generator=Generator(5))

    head, tail, following = interrupted(make_batches, 3)
    assert (head + tail, following) == (first, second)


def test_resume_without_a_generator_leaves_the_default_one_alone():
    with using(Generator(3)):
        unbroken = listed(DataLoader(Noisy(), 4, shuffle=True))
    with using(Generator(3)):
        loader = DataLoader(Noisy(), 4, shuffle=True)
        iterator = iter(loader)
        head = listed([next(iterator), next(iterator)])
        state = loader.state_dict()
    with using(Generator(99)) as default:
        loader = DataLoader(Noisy(), 4, shuffle=True)
        loader.load_state_dict(state)
        assert head + listed(loader) == unbroken
        assert default.get_state().tolist() == [99, 0]


def test_state_between_epochs():
    loader = DataLoader(Noisy(), 4, shuffle=True, generator=Generator(1))
    listed(loader)
    state = loader.state_dict()
    assert state == {"seed": None, "batches": 0, "generators": [[1, 1]]}
    second = listed(loader)
    loader.load_state_dict(state)
    assert listed(loader) == second


def test_state_counts_what_the_consumer_has_received():
    loader = DataLoader(TensorDataset(minidl.arange(100)), 5, num_workers=1)
    iterator = iter(loader)
    assert loader.state_dict()["batches"] == 0
    for received in range(1, 21):
        next(iterator)
        assert loader.state_dict()["batches"] == received
    loader.load_state_dict(loader.state_dict())
    assert list(loader) == []  # all was delivered, though the iterator was not asked again
    assert len(list(loader)) == 20


def test_states_of_other_loaders_are_refused():
    loader = DataLoader(Noisy(), generator=Generator(1))
    with pytest.raises(ValueError, match="got 'epoch'"):
        loader.load_state_dict({"epoch": 1})
    with pytest.raises(ValueError, match=r"with 0 generators .* this one has 1"):
        loader.load_state_dict(DataLoader(Noisy()).state_dict())


def test_a_subset_is_fetched_in_batches_too():
    data = Subset(NoisyBatches(), [4, 2, 0])
    assert [indices for indices, _ in listed(DataLoader(data, 2))] == [[4, 2], [0]]
