"""Random numbers: a generator that is nothing but a key and a counter.

The bits are those of Philox 4x32-10 (see `minidl.kernels.random`), so a seed gives the same
bits with every kernel set and number of threads, two integers are all that a checkpoint
has to keep, and independent streams cost nothing::

    generator = Generator(0)
    generator.uniform((2, 3))              # the next six numbers
    generator.spawn(epoch, i).normal(4)    # numbers that depend on (seed, epoch, i) alone

Every draw starts at a fresh block of four words; what is left of the last block is dropped.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import backend, kernels
from minidl.autograd.mode import change, reading
from minidl.backend import Device, float32, float64, int64, made_on, xp

_WORD = (1 << 64) - 1
_PIECE = 1 << 20  # pairs of normal numbers at a time: a large tensor takes no more than its memory
_DRAW, _SPAWN = 0, 1  # the counter's high half: keys are never made of bits that were drawn

Shape = int | tuple[int, ...]


class Generator:
    """A stream of random numbers, as arrays; safe to share between threads.

    The numbers are made on the device that they are wanted on, from the same bits on each.

    Parameters
    ----------
    seed : int
        The key, a 64-bit number; negative ones are taken modulo 2^64.
    device : Device or str
        Where numbers come to lie that are not told another ``device``.
    """

    def __init__(self, seed: int = 0, device: Device | str = "cpu"):
        self.device = backend.device(device)
        self._lock = threading.Lock()
        self._key, self._counter = _checked_seed(seed), 0

    # ----------------------------------------------------------------- its state

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` from its beginning; returns the generator."""
        key = _checked_seed(seed)
        with self._lock:
            self._key, self._counter = key, 0
        return self

    def seed(self) -> int:
        """Start the stream of a seed from the operating system's randomness, and return it."""
        self.manual_seed(secrets.randbits(63))
        return self._key

    def initial_seed(self) -> int:
        """The seed of this stream."""
        return self._key

    def get_state(self) -> np.ndarray:
        """The key and the number of blocks drawn: two uint64 numbers."""
        with self._lock:
            return np.array([self._key, self._counter], np.uint64)

    def set_state(self, state: Any) -> Generator:
        """Go on from a state that `get_state` returned; returns the generator."""
        state = np.asarray(state)
        if state.shape != (2,) or state.dtype.kind not in "iu":
            raise ValueError(
                f"a generator's state is two uint64 numbers, got {state.dtype}{list(state.shape)}"
            )
        key, counter = state.astype(np.uint64).tolist()
        with self._lock:
            self._key, self._counter = key, counter
        return self

    def spawn(self, *ids: int) -> Generator:
        """A generator whose stream depends on this one's seed and ``ids`` alone.

        It does not depend on what was drawn before, and this generator does not advance.
        Each id (a 64-bit integer) in turn is scrambled with the key into the next key.
        """
        key = self._key
        for i in ids:
            block = np.empty((1, 4), np.uint32)
            kernels.philox(block, key, _checked_seed(i), _SPAWN)
            key = int(block[0, 1]) << 32 | int(block[0, 0])
        return Generator(key, self.device)

    def __reduce__(self) -> tuple:
        return _restored, (self.get_state(),)

    def __repr__(self) -> str:
        return f"Generator(seed={self._key}, blocks_drawn={self._counter})"

    # ----------------------------------------------------------------- numbers

    def bits(self, n: int, device: Device | str | None = None) -> Any:
        """``n`` random uint32 numbers."""
        place = self.device if device is None else backend.device(device)
        words = made_on(place, lambda xp: xp.empty((-(-n // 4), 4), np.uint32))
        kernels.philox(words, *self.reserve(len(words)), _DRAW)
        return words.reshape(-1)[:n]

    def reserve(self, blocks: int) -> tuple[int, int]:
        """The key, and the counter of the next of ``blocks`` blocks, which count as drawn."""
        with self._lock:
            key, counter = self._key, self._counter
            self._counter = (counter + blocks) & _WORD
        return key, counter

    def _bits64(self, n: int, device: Device | str | None) -> Any:
        return self.bits(2 * n, device).view(np.uint64)

    def uniform(
        self,
        shape: Shape = (),
        low: float = 0.0,
        high: float = 1.0,
        dtype: Any = float32,
        device: Device | str | None = None,
    ) -> Any:
        """Numbers in [low, high): multiples of 2^-24 for float32, of 2^-53 for float64.

        Those of float16 are multiples of 2^-11. TypeError for other dtypes.
        """
        shape, dtype = _shape(shape), _checked_dtype(dtype)
        if dtype == float64:
            values = (self._bits64(math.prod(shape), device) >> np.uint64(11)) * 2.0**-53
        else:
            digits = np.finfo(dtype).nmant + 1
            bits = self.bits(math.prod(shape), device)
            bits >>= np.uint32(32 - digits)
            values = bits.astype(float32)
            values *= float32.type(2.0**-digits)
        if (low, high) != (0.0, 1.0):
            values *= high - low
            values += low
            values = values.astype(dtype, copy=False)
            largest = np.nextafter(dtype.type(high), dtype.type(low))
            xp(values).minimum(values, largest, out=values)
        return values.astype(dtype, copy=False).reshape(shape)

    def normal(
        self,
        shape: Shape = (),
        mean: float = 0.0,
        std: float = 1.0,
        dtype: Any = float32,
        device: Device | str | None = None,
    ) -> Any:
        """Numbers of a normal distribution, by Box and Muller's method.

        Of two uniform numbers u, v it makes two normal ones, ``r cos(2 pi v)`` and
        ``r sin(2 pi v)`` with ``r = sqrt(-2 log u)``. float32 has a resolution of 2^-32 in u,
        so its tails end at 6.7 standard deviations; those of float64 at 8.6.

        Source: G. Box, M. Muller, "A note on the generation of random normal deviates", 1958
        """
        shape, dtype = _shape(shape), _checked_dtype(dtype)
        count = math.prod(shape)
        pairs = -(-count // 2)
        if dtype == float64:
            bits, uniform = self._bits64(2 * pairs, device), _uniform64
        else:
            bits, uniform = self.bits(2 * pairs, device), _uniform32
        module = xp(bits)
        values = module.empty(2 * pairs, dtype)
        for start in range(0, pairs, _PIECE):
            piece = slice(start, min(start + _PIECE, pairs))
            behind = slice(pairs + piece.start, pairs + piece.stop)
            u, v = uniform(bits[piece]), uniform(bits[behind])
            radius = module.sqrt(-2 * module.log(u))
            angle = v * v.dtype.type(2 * math.pi)
            for place, turned in ((piece, module.cos(angle)), (behind, module.sin(angle))):
                part = radius * turned
                values[place] = part if (mean, std) == (0.0, 1.0) else mean + std * part
        return values[:count].reshape(shape)

    def integers(
        self, low: int, high: int, shape: Shape = (), device: Device | str | None = None
    ) -> Any:
        """int64 numbers in [low, high), ``low + floor(w (high - low) / 2^64)`` of 64-bit w.

        No number is more likely than another by more than a factor of
        ``1 + (high - low) / 2^64``: no test can see it for ranges below 2^32.
        """
        shape, span = _shape(shape), int(high) - int(low)
        if span <= 0:
            raise ValueError(f"integers wants low < high, got {low=}, {high=}")
        if low < -(1 << 63) or high > 1 << 63:
            raise ValueError(f"integers are int64, got {low=}, {high=}")
        offsets = _high_product(self._bits64(math.prod(shape), device), span)
        return (offsets + np.uint64(low & _WORD)).view(int64).reshape(shape)

    def permutation(self, n: int, device: Device | str | None = None) -> Any:
        """The int64 numbers 0 to n - 1 in random order: the order of n random 64-bit keys."""
        if n < 0:
            raise ValueError(f"permutation of {n} numbers: n must not be negative")
        return self._bits64(n, device).argsort(kind="stable").astype(int64, copy=False)


def _uniform32(bits: Any) -> Any:
    """Numbers in (0, 1], float32, of uint32 ones."""
    return bits.astype(float32) * float32.type(2.0**-32) + float32.type(2.0**-33)


def _uniform64(bits: Any) -> Any:
    """Numbers in (0, 1), float64, of uint64 ones."""
    return (bits >> np.uint64(11)) * 2.0**-53 + 2.0**-54


def _high_product(words: Any, factor: int) -> Any:
    """The upper 64 bits of the 128-bit products of uint64 ``words`` with ``factor``."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    high, low = words >> half, words & mask
    factor_high, factor_low = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF)
    middle = high * factor_low + (low * factor_low >> half)
    carry = (middle & mask) + low * factor_high
    return high * factor_high + (middle >> half) + (carry >> half)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"a seed is an integer, got {seed!r}")
    seed = seed.__index__()
    if not -(1 << 63) <= seed <= _WORD:
        raise ValueError(f"a seed has 64 bits, from -2^63 to 2^64 - 1, got {seed}")
    return seed & _WORD


def _checked_dtype(dtype: Any) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise TypeError(f"random numbers can be float16, float32 or float64, not {dtype}")
    return dtype


def _shape(shape: Shape) -> tuple[int, ...]:
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape has no negative sizes, got {shape}")
    return shape


def _restored(state: np.ndarray) -> Generator:
    return Generator().set_state(state)


# --------------------------------------------------------------------------- the default one

default_generator = Generator()
"""Where random numbers come from unless a generator is given."""


class _Current(threading.local):
    generator = default_generator


_current = _Current()


def current_generator() -> Generator:
    """This thread's default generator: `default_generator`, or the one of `using`."""
    return _current.generator


@contextlib.contextmanager
def using(generator: Generator) -> Iterator[Generator]:
    """Within the block, ``generator`` is this thread's default."""
    previous, _current.generator = _current.generator, generator
    try:
        yield generator
    finally:
        _current.generator = previous


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of ``seed``; returns the generator."""
    generator = current_generator()
    change("manual_seed", generator.manual_seed, seed)
    return generator


def seed() -> int:
    """Seed the default generator from the operating system's randomness; returns the seed."""
    reading(None, "seed()")
    return current_generator().seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    reading(None, "initial_seed()")
    return current_generator().initial_seed()


def get_rng_state() -> np.ndarray:
    """The default generator's state: its key and its counter, two uint64 numbers."""
    reading(None, "get_rng_state()")
    return current_generator().get_state()


def set_rng_state(state: Any) -> None:
    """Have the default generator go on from ``state``, which `get_rng_state` returned."""
    change("set_rng_state", current_generator().set_state, state)
