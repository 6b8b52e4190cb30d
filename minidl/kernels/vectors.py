"""Vectors of floating-point numbers inside jitted functions.

Numba leaves it to LLVM to find vectors in loops, and LLVM keeps none in registers across an
inner loop. These intrinsics say it outright: `load` and `store` a vector at an index of a flat
array, `splat` one number over a vector, `fma`; `transpose` a square of numbers; and `sandwich`
makes functions that multiply a small matrix of vectors by a constant one from both sides. A
vector is as wide as the machine's registers, so `lanes(array)` numbers of the array's dtype,
and indices are not checked.

Tiles of them are in `minidl.kernels.tiles`. Numba's cache does not look into this file: clear it
after a change here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32

IN_ORDER = ("nsz",)
"""Numba lets LLVM reorder operations that have no flags, which it does once so and once so."""


class Vector(types.Type):
    """A vector of ``dtype``, `BYTES` long."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


# --------------------------------------------------------------------------- generated code


class Memory:
    """Loads and stores of the vectors of one flat array, while code is generated."""

    def __init__(self, context, builder, array_type, array):
        self.builder = builder
        self.vector = context.get_value_type(Vector(array_type.dtype))
        self.align = array_type.dtype.bitwidth // 8
        self.data = context.make_array(array_type)(context, builder, array).data

    def _address(self, index):
        address = self.builder.gep(self.data, [index])
        return self.builder.bitcast(address, self.vector.as_pointer())

    def load(self, index):
        return self.builder.load(self._address(index), align=self.align)

    def store(self, index, vector):
        self.builder.store(vector, self._address(index), align=self.align)

    def splat(self, index):
        """A vector that holds the number at ``index`` everywhere."""
        number = self.builder.load(self.builder.gep(self.data, [index]))
        return everywhere(self.builder, number, self.vector)


def everywhere(builder, number, vector):
    """``number`` in all places of a vector, whose LLVM type is ``vector``."""
    undefined, integer = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, integer(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(integer, vector.count), None)
    )


def multiply_add(builder, a, b, c):
    """``a * b + c``, in one instruction where the machine has it."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


# --------------------------------------------------------------------------- one vector


@intrinsic
def lanes(_typing, array):
    """How many numbers of the array's dtype a vector holds."""

    def generate(context, _builder, signature, _args):
        return context.get_constant(signature.return_type, Vector(array.dtype).lanes)

    return types.intp(array), generate


@intrinsic
def zeros(_typing, array):
    """A vector of zeros of the array's dtype."""

    def generate(context, _builder, signature, _args):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Vector(array.dtype)(array), generate


@intrinsic
def load(_typing, array, index):
    """The vector that starts at ``array[index]``."""

    def generate(context, builder, _signature, args):
        return Memory(context, builder, array, args[0]).load(args[1])

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def store(_typing, array, index, vector):
    """Put ``vector`` at ``array[index]`` and on."""

    def generate(context, builder, _signature, args):
        Memory(context, builder, array, args[0]).store(*args[1:])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def splat(_typing, number):
    """A vector that holds ``number`` everywhere."""

    def generate(context, builder, signature, args):
        return everywhere(builder, args[0], context.get_value_type(signature.return_type))

    return Vector(number)(number), generate


@intrinsic
def fma(_typing, a, b, c):
    """``a * b + c``, in one instruction where the machine has it."""

    def generate(_context, builder, _signature, args):
        return multiply_add(builder, *args)

    return a(a, b, c), generate


# --------------------------------------------------------------------------- matrices


@intrinsic
def transpose(_typing, source, at, pitch, target, to, target_pitch):
    """Write the transposed matrix of ``lanes`` rows that are ``pitch`` apart, a vector each."""

    def generate(context, builder, signature, args):
        source, target = (Memory(context, builder, signature.args[i], args[i]) for i in (0, 3))
        lanes = source.vector.count

        def row(start, distance, i):
            return builder.add(start, builder.mul(distance, distance.type(i)))

        rows = [source.load(row(args[1], args[2], i)) for i in range(lanes)]
        block = 1
        while block < lanes:  # exchange the blocks beside the diagonal, twice as large each time
            for i in (i for i in range(lanes) if not i & block):
                rows[i], rows[i + block] = _exchanged(builder, rows[i], rows[i + block], block)
            block *= 2
        for i, vector in enumerate(rows):
            target.store(row(args[4], args[5], i), vector)
        return context.get_dummy_value()

    numbers = types.intp
    return types.void(source, numbers, numbers, target, numbers, numbers), generate


def _exchanged(builder, a, b, block):
    lanes = range(a.type.count)
    first = [k if not k & block else k - block + len(lanes) for k in lanes]
    second = [k + block if not k & block else k + len(lanes) for k in lanes]
    index = ir.VectorType(ir.IntType(32), len(lanes))
    return tuple(builder.shuffle_vector(a, b, ir.Constant(index, m)) for m in (first, second))


def sandwich(matrix: Sequence[Sequence[float]]) -> Callable:
    """A function of jitted code that writes ``matrix @ X @ matrix.T``, X a matrix of vectors.

    It is called with X's array, where X starts, and the distances from one row and from one
    column to the next; and with the same for the result.
    """
    m = np.array(matrix)

    @intrinsic
    def apply(_typing, source, at, row, column, target, to, target_row, target_column):
        def generate(context, builder, signature, args):
            source, target = (Memory(context, builder, signature.args[i], args[i]) for i in (0, 4))
            at, to = _places(builder, *args[1:4]), _places(builder, *args[5:8])
            size = range(m.shape[1])
            x = [[source.load(at(i, j)) for j in size] for i in size]
            left = [[_combine(builder, line, [x[i][j] for i in size]) for j in size] for line in m]
            for i, values in enumerate(left):
                for j, line in enumerate(m):
                    target.store(to(i, j), _combine(builder, line, values))
            return context.get_dummy_value()

        numbers = types.intp
        kinds = source, numbers, numbers, numbers, target, numbers, numbers, numbers
        return types.void(*kinds), generate

    return apply


def _places(builder, start, row, column) -> Callable:
    def place(i, j):
        rows, columns = builder.mul(row, row.type(i)), builder.mul(column, column.type(j))
        return builder.add(start, builder.add(rows, columns))

    return place


def _combine(builder, factors, vectors):
    """The sum of factors times vectors, in this order."""
    total = None
    for factor, vector in zip(factors, vectors):
        if factor == 0:
            continue
        if abs(factor) != 1:
            element = ir.Constant(vector.type.element, abs(factor))
            scale = ir.Constant(vector.type, [element] * vector.type.count)
            vector = builder.fmul(vector, scale, flags=IN_ORDER)
        if total is not None:
            combine = builder.fsub if factor < 0 else builder.fadd
            total = combine(total, vector, flags=IN_ORDER)
        else:
            total = builder.fneg(vector, flags=IN_ORDER) if factor < 0 else vector
    return total
