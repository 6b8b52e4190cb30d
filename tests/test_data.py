"""Data sets, samplers and collation."""

import collections
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.random import Generator, using
from minidl.utils.data import (
    BatchSampler,
    ConcatDataset,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)
from minidl.utils.data.dataset import fetches_batches

# --------------------------------------------------------------------------- data sets


def rows(n, start=0):
    return TensorDataset(minidl.arange(start, start + n), minidl.ones(n, 2))


def test_tensor_dataset():
    data = rows(5)
    x, y = data[3]
    assert (len(data), x.item(), y.tolist()) == (5, 3, [1.0, 1.0])
    assert data[-1][0].item() == 4


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ([], ValueError, "one tensor or more"),
        ([minidl.tensor(1.0)], ValueError, "dimension of samples"),
        ([minidl.zeros(2), minidl.zeros(3)], ValueError, r"\(2,\), \(3,\)"),
        ([np.zeros(2)], TypeError, "from_numpy"),
    ],
)
def test_tensor_dataset_refuses(tensors, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*tensors)


def test_a_dataset_without_getitem_says_so():
    with pytest.raises(NotImplementedError, match="Dataset does not define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="Sampler does not define __iter__"):
        iter(Sampler())


def test_concat_locates_samples():
    data = rows(3) + rows(2, start=10) + rows(4, start=20)
    assert [data[i][0].item() for i in range(9)] == [0, 1, 2, 10, 11, 20, 21, 22, 23]
    assert [data[i][0].item() for i in (-1, -9)] == [23, 0]
    assert data.cumulative_sizes == [5, 9]
    for index in (9, -10):
        with pytest.raises(IndexError, match="among 9"):
            data[index]
    with pytest.raises(ValueError, match="one data set"):
        ConcatDataset([])


class Keyed(Dataset):
    """Batches that show what they were asked for: row i is (index, seed, position)."""

    batched = True

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index

    def fetch_batch(self, indices, seed, first):
        return indices, np.full(len(indices), seed), first + np.arange(len(indices))


def test_batches_of_subsets_and_concatenations_keep_index_seed_and_position():
    data = ConcatDataset([Keyed(), Subset(Keyed(), [6, 2, 4]), Keyed()])
    assert fetches_batches(data)
    chosen = np.array([8, 9, 0, 16, 3, 7, -17])
    index, seed, position = data.fetch_batch(chosen, 5, 100)
    assert index.tolist() == [2, 4, 0, 6, 3, 6, 0] == [data[i] for i in chosen.tolist()]
    assert seed.tolist() == [5] * 7
    assert position.tolist() == list(range(100, 107))


def test_whole_batches_are_refused_where_they_would_differ():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return [2 * x for x in super().__getitem__(index)]

    class AsBefore(TensorDataset):
        pass

    x = minidl.ones(4)
    assert fetches_batches(TensorDataset(x))
    assert fetches_batches(AsBefore(x))
    assert not fetches_batches(Doubled(x))
    assert not fetches_batches(Subset(Doubled(x), [1]))
    assert not fetches_batches(ConcatDataset([TensorDataset(x), Doubled(x)]))
    assert not fetches_batches(TensorDataset(minidl.ones(4, requires_grad=True)))
    assert not fetches_batches([1, 2])
    assert not fetches_batches(object())


# --------------------------------------------------------------------------- random_split


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_random_split_covers_everything_once(lengths, seed):
    data = list(range(sum(lengths)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # [0, 1] are fractions too, 0 an empty part
        parts = random_split(data, lengths, Generator(seed))
    assert [len(part) for part in parts] == lengths
    assert sorted(itertools.chain.from_iterable(map(list, parts))) == data


@pytest.mark.parametrize(
    ("total", "fractions", "sizes"),
    [
        (10, [0.3, 0.3, 0.4], [3, 3, 4]),
        (11, [0.3, 0.3, 0.4], [4, 3, 4]),
        (5, [0.5, 0.5], [3, 2]),
        (7, [1], [7]),
        (6, [0.1] * 10, [1] * 6 + [0] * 4),
    ],
)
def test_random_split_fractions(total, fractions, sizes):
    if 0 in sizes:
        with pytest.warns(UserWarning, match="part 6 is empty"):
            parts = random_split(range(total), fractions)
    else:
        parts = random_split(range(total), fractions)
    assert [len(part) for part in parts] == sizes


def test_random_split_draws_from_its_generator():
    splits = [random_split(range(50), [25, 25], Generator(s))[0].indices for s in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]
    with using(Generator(1)):
        assert random_split(range(50), [25, 25])[0].indices == splits[0]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 3], "sum to 6"),
        ([12, -2], "negative"),
        ([1.5, -0.5], "lie in"),
        ([2.5, 7.5], "integers or sum to 1"),
    ],
)
def test_random_split_refuses(lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(range(10), lengths)


# --------------------------------------------------------------------------- samplers


def test_sequential_sampler():
    sampler = SequentialSampler("abcd")
    assert (list(sampler), len(sampler)) == ([0, 1, 2, 3], 4)


@given(st.integers(1, 20), st.integers(1, 50), st.integers(0, 99))
def test_random_sampler_without_replacement_takes_every_index_in_turn(size, count, seed):
    sampler = RandomSampler(range(size), num_samples=count, generator=Generator(seed))
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == count
    for start in range(0, count, size):
        turn = drawn[start : start + size]
        assert len(set(turn)) == len(turn)
    assert set(drawn) <= set(range(size))


def test_random_sampler_with_replacement_is_uniform():
    drawn = list(RandomSampler(range(4), True, 4000, Generator(0)))
    assert len(drawn) == 4000
    assert np.bincount(drawn).tolist() == pytest.approx([1000] * 4, abs=120)  # 4 deviations


def test_samplers_draw_from_the_default_generator_and_differ_between_epochs():
    sampler = RandomSampler(range(50))
    with using(Generator(3)):
        first, second = list(sampler), list(sampler)
    with using(Generator(3)):
        assert list(sampler) == first != second
    assert sorted(first) == sorted(second) == list(range(50))


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([3, 30, 300], Generator(0))
    assert sorted(sampler) == [3, 30, 300]
    assert len(sampler) == 3
    assert len({tuple(sampler) for _ in range(40)}) == 6


def test_weighted_sampler_with_replacement_follows_the_weights():
    sampler = WeightedRandomSampler([0, 1, 0, 3, 4, 0], 8000, generator=Generator(0))
    counts = np.bincount(list(sampler), minlength=6)
    assert counts.tolist() == pytest.approx([0, 1000, 0, 3000, 4000, 0], abs=180)  # 4 deviations
    assert counts[[0, 2, 5]].tolist() == [0, 0, 0]


def test_weighted_sampler_without_replacement_follows_the_weights():
    # Of weights 1, 2, 3 the chance to draw first is 1/6, 2/6, 3/6; then the rest likewise.
    sampler = WeightedRandomSampler([1, 2, 0, 3], 2, False, Generator(0))
    counts = collections.Counter(tuple(sampler) for _ in range(3000))
    chances = {(0, 1): 2 / 30, (0, 3): 3 / 30, (1, 0): 2 / 24}
    chances |= {(1, 3): 6 / 24, (3, 0): 3 / 18, (3, 1): 6 / 18}
    assert set(counts) == set(chances)
    for pair, chance in chances.items():
        assert counts[pair] / 3000 == pytest.approx(chance, abs=0.035)  # 4 deviations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -1], 1), "not negative"),
        (([1, np.nan], 1), "finite"),
        (([[1]], 1), "flat"),
        (([0, 0], 1), "0 weights are positive"),
        (([1, 0, 1], 3, False), "without replacement: 2 weights"),
        (([1], 0), "num_samples=0"),
    ],
)
def test_weighted_sampler_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(*arguments)


@given(st.integers(0, 30), st.integers(1, 9), st.booleans())
def test_batch_sampler(size, batch_size, drop_last):
    sampler = BatchSampler(range(size), batch_size, drop_last)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(len(batch) == batch_size for batch in batches[:-1] or [[0] * batch_size])
    kept = size - size % batch_size if drop_last else size
    assert list(itertools.chain.from_iterable(batches)) == list(range(kept))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_batch_sampler_refuses(size):
    with pytest.raises(ValueError, match="batch_size should be a positive integer"):
        BatchSampler(range(5), size, False)


def test_random_sampler_refuses():
    with pytest.raises(ValueError, match="num_samples=0"):
        RandomSampler([])
    with pytest.raises(ValueError, match="data set is empty"):
        RandomSampler([], num_samples=3)
    with pytest.raises(TypeError, match="replacement"):
        RandomSampler([1], replacement=1)


# --------------------------------------------------------------------------- collation

Point = collections.namedtuple("Point", "x y")
NESTED = [
    {
        "array": np.full((2, 3), i, np.float32),
        "tuple": (i, i + 0.5, i > 0),
        "list": [f"name {i}", b"raw", np.int16(i)],
        "point": Point(np.float64(i), {"deep": np.array(i)}),
    }
    for i in range(3)
]


def test_collate_follows_the_structure():
    batch = default_collate(NESTED)
    assert batch["array"].shape == (3, 2, 3)
    assert [x.dtype for x in batch["tuple"]] == [minidl.int64, minidl.float64, minidl.bool_]
    assert batch["list"][:2] == [("name 0", "name 1", "name 2"), (b"raw",) * 3]
    assert batch["list"][2].dtype == minidl.int16
    assert isinstance(batch["point"], Point)
    assert batch["point"].y["deep"].tolist() == [0, 1, 2]


def flat(structure):
    """What a structure of batches holds, with its shape, in a form that can be compared."""
    if hasattr(structure, "numpy"):
        array = structure.numpy()
        return str(array.dtype), array.tolist()
    if isinstance(structure, dict):
        return {key: flat(value) for key, value in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure).__name__, [flat(item) for item in structure]
    return structure


@pytest.mark.parametrize(
    "batch",
    [NESTED, [1, 2.5], [2.5, 1], [True, False], [np.float16(1), np.float16(2)], [(), ()]],
    ids=["nested", "int first", "float first", "bool", "float16", "empty"],
)
@pytest.mark.filterwarnings("ignore")
def test_collate_and_convert_agree_with_pytorch(batch):
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data.default_collate(batch)
    assert flat(default_collate(batch)) == flat(theirs)
    theirs = torch.utils.data.default_convert(batch)
    assert flat(default_convert(batch)) == flat(theirs)


def test_collate_stacks_tensors_and_keeps_their_gradients():
    x = minidl.ones(2, requires_grad=True)
    batch = default_collate([x, 2 * x])
    batch.sum().backward()
    assert batch.tolist() == [[1, 1], [2, 2]]
    assert x.grad.tolist() == [3, 3]
    assert default_collate([minidl.zeros(2), minidl.zeros(2)]).shape == (2, 2)


def test_collate_keeps_the_type_of_a_mapping():
    sample = collections.defaultdict(list, a=1)
    batch = default_collate([sample, sample])
    assert isinstance(batch, collections.defaultdict)
    assert batch["new"] == []
    assert sample["a"] == 1


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"\(2,\) at entry 0 and \(3,\) at entry 1"),
        ([(1, 2), (1,)], RuntimeError, "equal length"),
        ([np.array(["a"])], TypeError, "array of <U1"),
        ([object()], TypeError, "found builtins.object; pass a collate_fn"),
        ([None], TypeError, "NoneType"),
    ],
)
def test_collate_refuses(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_collate_explains_pictures():
    image = pytest.importorskip("PIL.Image").new("RGB", (2, 2))
    with pytest.raises(TypeError, match=r"add ToTensor\(\)"):
        default_collate([(image, 1)])
    assert default_convert(image) is image
