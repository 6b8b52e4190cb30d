"""The generator: its bits, its distributions, its state, its streams."""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import random
from minidl.kernels import use_kernels
from minidl.kernels.random import cpu, reference
from minidl.random import Generator

U64 = st.integers(0, 2**64 - 1)

# Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, result (low word first).
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000")
    + ("6627e8d5 e169c58d bc57ac4c 9b00dbd8",),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff")
    + ("408f276d 41c83b0e a20bc7c6 6d5451fd",),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0")
    + ("d16cfe09 94fdcceb 5001e420 24126ea1",),
]


def _long(low, high):
    return int(high, 16) << 32 | int(low, 16)


# --------------------------------------------------------------------------- bits


def _words(philox, blocks, *numbers):
    """The words that ``philox`` makes of key, counter and domain, in one row."""
    words = np.empty((blocks, 4), np.uint32)
    philox(words, *numbers)
    return words.reshape(-1)


@pytest.mark.parametrize("philox", [reference.philox, cpu.philox])
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(philox, counter, key, expected):
    words = counter.split()
    found = _words(philox, 1, _long(*key.split()), _long(*words[:2]), _long(*words[2:]))
    assert [f"{word:08x}" for word in found] == expected.split()


@given(key=U64, counter=U64, domain=U64, blocks=st.integers(0, 9))
def test_kernels_give_the_same_bits(key, counter, domain, blocks):
    numbers = blocks, key, counter, domain
    assert np.array_equal(_words(cpu.philox, *numbers), _words(reference.philox, *numbers))


def test_many_blocks_in_threads():
    numbers = 20_000, 1, 2**64 - 3, 5  # the counter wraps around
    assert np.array_equal(_words(cpu.philox, *numbers), _words(reference.philox, *numbers))


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_stream_is_one_sequence_of_blocks(kernels):
    with use_kernels(kernels):
        generator = Generator(7)
        parts = [generator.bits(n) for n in (4, 8, 1, 3, 0, 2)]
    expected = _words(reference.philox, 6, 7, 0, 0)
    starts = (0, 4, 12, 16, 20, 20)
    for part, start in zip(parts, starts):
        assert np.array_equal(part, expected[start : start + len(part)])


# --------------------------------------------------------------------------- distributions


def _moments(values):
    return values.mean(), values.var()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform(dtype):
    values = Generator(1).uniform((200, 100), dtype=dtype)
    assert values.shape == (200, 100)
    assert values.dtype == dtype
    assert values.min() >= 0
    assert values.max() < 1
    mean, var = _moments(values.astype(np.float64))
    assert mean == pytest.approx(0.5, abs=0.01)
    assert var == pytest.approx(1 / 12, abs=0.002)
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi squared with 19 degrees: p = 1e-4


def test_uniform_keeps_all_digits():
    single = Generator(1).uniform(1000).astype(np.float64) * 2**24
    double = Generator(1).uniform(1000, dtype=np.float64) * 2.0**53
    for values in (single, double):
        assert np.array_equal(values, np.floor(values))
        assert (values % 2 == 1).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(low=st.floats(-100, 100), width=st.floats(1, 100), seed=U64)
def test_uniform_stays_below_high(dtype, low, width, seed):
    high = low + width
    values = Generator(seed).uniform(50, low, high, dtype=dtype)
    assert (values >= dtype(low)).all()
    assert (values < dtype(high)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal(dtype):
    values = Generator(2).normal(30_001, 3.0, 2.0, dtype)
    assert values.dtype == dtype
    z = (values.astype(np.float64) - 3) / 2
    for power, moment, sigma in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert (z**power).mean() == pytest.approx(moment, abs=5 * (sigma / len(z)) ** 0.5)
    assert np.corrcoef(z[: len(z) // 2], z[len(z) // 2 :][: len(z) // 2])[0, 1] < 0.05


def test_normal_is_finite_at_the_ends_of_the_bits(monkeypatch):
    for word in (0, 2**32 - 1):

        def bits(_generator, n, _device, word=word):
            return np.full(n, word, np.uint32)

        monkeypatch.setattr(Generator, "bits", bits)
        for dtype in (np.float32, np.float64):
            assert np.isfinite(Generator().normal(4, dtype=dtype)).all()


def test_integers():
    values = Generator(3).integers(-3, 4, (7000, 2))
    assert values.dtype == np.int64
    assert values.shape == (7000, 2)
    counts = np.bincount(values.ravel() + 3, minlength=7)
    assert len(counts) == 7
    assert ((counts - 2000) ** 2 / 2000).sum() < 28  # chi squared with 6 degrees: p = 1e-4


@given(low=st.integers(-(2**63), 2**63 - 1), data=st.data())
def test_integers_are_the_upper_half_of_a_product(low, data):
    high = data.draw(st.integers(low + 1, 2**63))
    seed = data.draw(U64)
    words = Generator(seed).bits(16).view(np.uint64)
    expected = [low + (int(word) * (high - low) >> 64) for word in words]
    assert Generator(seed).integers(low, high, 8).tolist() == expected


def test_permutation():
    found = Generator(4).permutation(1000)
    assert found.dtype == np.int64
    assert np.array_equal(np.sort(found), np.arange(1000))
    generator = Generator(5)
    firsts = np.bincount([generator.permutation(4)[0] for _ in range(4000)])
    assert ((firsts - 1000) ** 2 / 1000).sum() < 21  # chi squared with 3 degrees: p = 1e-4
    assert generator.permutation(0).shape == (0,)


# --------------------------------------------------------------------------- state


def test_state_resumes_the_stream():
    generator = Generator(6)
    generator.normal(5)
    state = generator.get_state()
    assert state.dtype == np.uint64
    expected = generator.uniform(5)
    assert np.array_equal(Generator().set_state(state).uniform(5), expected)
    generator.set_state(state.tolist())
    assert np.array_equal(generator.uniform(5), expected)


def test_copies_go_on_from_the_same_place():
    generator = Generator(-1)
    generator.bits(9)
    twins = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    expected = generator.bits(9)
    for twin in twins:
        assert np.array_equal(twin.bits(9), expected)
    assert repr(generator) == f"Generator(seed={2**64 - 1}, blocks_drawn=6)"


def test_seeds():
    generator = Generator(8)
    first = generator.bits(4)
    assert generator.manual_seed(8) is generator
    assert np.array_equal(generator.bits(4), first)
    seed = generator.seed()
    assert seed == generator.initial_seed() != 8
    assert Generator(device="cpu").initial_seed() == 0


def test_bad_arguments():
    generator = Generator()
    for seed in (1.5, "1", True, None):
        with pytest.raises(TypeError, match="seed is an integer"):
            generator.manual_seed(seed)
    with pytest.raises(ValueError, match="64 bits"):
        Generator(2**64)
    with pytest.raises(ValueError, match="abacus"):
        Generator(device="abacus")
    for state in ([1, 2, 3], [0.5, 1.0]):
        with pytest.raises(ValueError, match="two uint64 numbers"):
            generator.set_state(state)
    with pytest.raises(ValueError, match="low < high"):
        generator.integers(3, 3)
    with pytest.raises(ValueError, match="int64"):
        generator.integers(0, 2**64)
    with pytest.raises(ValueError, match="not be negative"):
        generator.permutation(-1)
    with pytest.raises(ValueError, match="negative sizes"):
        generator.uniform((2, -1))
    for draw in (generator.uniform, generator.normal):
        with pytest.raises(TypeError, match="not int64"):
            draw(3, dtype=np.int64)


# --------------------------------------------------------------------------- streams


def test_spawned_streams_depend_on_seed_and_ids_alone():
    parent = Generator(9)
    child = parent.spawn(1, 2).bits(4)
    parent.bits(100)
    assert np.array_equal(parent.spawn(1, 2).bits(4), child)
    assert np.array_equal(parent.spawn(1).spawn(2).bits(4), child)
    with use_kernels("numpy"):
        assert np.array_equal(parent.spawn(1, 2).bits(4), child)
    others = [parent.spawn(2, 1), parent.spawn(1), parent.spawn(), Generator(10).spawn(1, 2)]
    assert not any(np.array_equal(other.bits(4), child) for other in others)


def test_keys_are_not_made_of_bits_that_were_drawn():
    key = Generator(9).spawn(0).initial_seed()
    assert key != int(Generator(9).bits(4).view(np.uint64)[0])


def test_spawned_streams_are_uniform_across_ids():
    values = np.array([Generator(0).spawn(i).uniform() for i in range(2000)])
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 34  # chi squared with 9 degrees: p = 1e-4


def test_threads_share_a_generator():
    generator, drawn = Generator(11), []

    def draw():
        drawn.extend(generator.bits(4).tobytes() for _ in range(500))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 2000
    assert generator.get_state().tolist() == [11, 2000]


def test_using_is_for_one_thread():
    inner, seen = Generator(12), []
    with random.using(inner) as given_generator:
        assert given_generator is random.current_generator() is inner
        thread = threading.Thread(target=lambda: seen.append(random.current_generator()))
        thread.start()
        thread.join()
        minidl.manual_seed(13)
        assert minidl.initial_seed() == inner.initial_seed() == 13
        with pytest.raises(KeyError), random.using(Generator()):
            raise KeyError
        assert random.current_generator() is inner
    assert seen == [random.default_generator]
    assert random.current_generator() is random.default_generator


def test_default_generator():
    with random.using(Generator()):
        minidl.manual_seed(14)
        state = minidl.get_rng_state()
        first = minidl.randn(5)
        minidl.set_rng_state(state)
        assert np.array_equal(minidl.randn(5).numpy(), first.numpy())
        assert random.seed() == minidl.initial_seed()


# --------------------------------------------------------------------------- tensors


def test_random_tensors():
    def generator():
        return Generator(15)

    x = minidl.rand(2, 3, generator=generator(), requires_grad=True)
    assert x.requires_grad
    assert x.dtype == minidl.float32
    assert np.array_equal(x.detach().numpy(), generator().uniform((2, 3)))
    x = minidl.randn((4,), generator=generator(), dtype=minidl.float64)
    assert np.array_equal(x.numpy(), generator().normal(4, dtype=np.float64))
    assert minidl.randn().shape == ()
    order = minidl.randperm(5, generator=generator(), dtype=minidl.int32)
    assert order.dtype == minidl.int32
    assert order.tolist() == generator().permutation(5).tolist()
    like = minidl.zeros(2, 2, dtype=minidl.float64)
    assert minidl.rand_like(like).dtype == minidl.float64
    assert minidl.randn_like(like, dtype=minidl.float32).dtype == minidl.float32
    with pytest.raises(ValueError, match="abacus"):
        minidl.rand(2, device="abacus")
    with pytest.raises(RuntimeError, match="cannot require a gradient"):
        minidl.randperm(3, requires_grad=True)


def test_randint_takes_what_pytorch_takes():
    def drawn(*args, **kwargs):
        with random.using(Generator(16)):
            return minidl.randint(*args, **kwargs).tolist()

    below = Generator(16).integers(0, 9, (2, 3)).tolist()
    between = Generator(16).integers(5, 9, (2, 3)).tolist()
    assert drawn(9, (2, 3)) == drawn(9, size=(2, 3)) == drawn(high=9, size=[2, 3]) == below
    assert drawn(5, 9, (2, 3)) == drawn(5, 9, size=(2, 3)) == drawn(5, high=9, size=(2, 3))
    assert drawn(low=5, high=9, size=(2, 3)) == drawn(5, 9, (2, 3)) == between
    for args in ((), (3,), (1, 2, 3, (4,))):
        with pytest.raises(TypeError, match="randint wants"):
            minidl.randint(*args)
