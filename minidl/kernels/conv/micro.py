"""What a fast matrix product is made of: sums that stay in registers.

Arrays are in blocks: `lanes` channels lie side by side (a row of one vector), then the
positions, then the blocks of channels. Filters lie in blocks of two vectors. So a register tile
takes its numbers from a few unbroken runs of memory, and all distances but one are constants::

    multiply:  out[r, :] = sum over j, c of rows[offsets[j] + r, c] * filters[j, c, :]
    outer:     out[i, :] += sum over p of x[p, i] * g[p, :]

with r, i < ROWS. `sandwich` makes a function that multiplies a small matrix of vectors by a
constant one from both sides, as Winograd's transforms do.

The loops are written in LLVM's language: in Numba's, 16 sums would be 16 variables, and LLVM
would not keep them in registers. Indices are not checked. Numba's cache does not look into this
file: clear it after a change here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minidl.kernels.vectors import BYTES, Vector

ROWS = 8 if BYTES == 64 else 4
"""Rows of a register tile, each two vectors long: there are 32 registers, or 16."""


_IN_ORDER = ("nsz",)
"""Numba lets LLVM reorder operations that have no flags, which it does once so and once so."""


class _Flat:
    """A flat array in generated code."""

    def __init__(self, context, builder, kind, array):
        self.builder = builder
        self.vector = context.get_value_type(Vector(kind.dtype))
        self.lanes = self.vector.count
        self.align = kind.dtype.bitwidth // 8
        self.start = context.make_array(kind)(context, builder, array).data

    def at(self, index):
        return self.builder.gep(self.start, [index])

    def load(self, pointer, constant=0):
        return self.builder.load(self._vector_at(pointer, constant), align=self.align)

    def store(self, value, pointer, constant=0):
        self.builder.store(value, self._vector_at(pointer, constant), align=self.align)

    def splat(self, pointer, constant):
        """The number at a constant distance from a pointer, everywhere."""
        index = ir.IntType(32)
        number = self.builder.load(self.builder.gep(pointer, [ir.IntType(64)(constant)]))
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, index(0))
        everywhere = ir.Constant(ir.VectorType(index, self.lanes), None)
        return self.builder.shuffle_vector(first, undefined, everywhere)

    def zeros(self):
        return ir.Constant(self.vector, None)

    def _vector_at(self, pointer, constant):
        there = self.builder.gep(pointer, [ir.IntType(64)(constant)])
        return self.builder.bitcast(there, self.vector.as_pointer())


def _fma(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


def _accumulate(builder, count, sums: list, body: Callable) -> list:
    """``for j in range(count): sums = body(j, sums)``, the sums in registers; count > 0."""
    before = builder.block
    loop, after = builder.append_basic_block("sums"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    j = builder.phi(count.type)
    j.add_incoming(count.type(0), before)
    phis = [builder.phi(start.type) for start in sums]
    for phi, start in zip(phis, sums):
        phi.add_incoming(start, before)
    results = body(j, phis)
    following = builder.add(j, count.type(1))
    end = builder.block
    j.add_incoming(following, end)
    for phi, result in zip(phis, results):
        phi.add_incoming(result, end)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return results


def _products(numbers, at, step, vectors, pair, sums):
    """The sums plus ROWS numbers, ``step`` apart, times the two vectors at ``pair``."""
    two = [vectors.load(pair, v * vectors.lanes) for v in range(2)]
    results = []
    for i in range(ROWS):
        number = numbers.splat(at, i * step)
        results += [_fma(numbers.builder, number, two[v], sums[2 * i + v]) for v in range(2)]
    return results


@intrinsic
def multiply(_typing, rows, at, offsets, count, filters, filters_at, out, out_at):
    """Fill ROWS rows of out, two vectors each, with a sum over ``count`` (> 0) offsets.

    The tile's rows start at ``rows[at + offset]``, a vector apart; each offset takes ``lanes``
    further rows of the filters.
    """

    def generate(context, builder, signature, args):
        kinds = signature.args
        rows, filters, out = (_Flat(context, builder, kinds[i], args[i]) for i in (0, 4, 6))
        offsets = context.make_array(kinds[2])(context, builder, args[2]).data
        lanes = rows.lanes
        base = rows.at(args[1])

        def body(j, sums):
            at = builder.gep(base, [builder.load(builder.gep(offsets, [j]))])
            block = builder.mul(j, j.type(2 * lanes * lanes))
            packed = filters.at(builder.add(args[5], block))

            def channel(c, sums):
                number = builder.gep(at, [c])
                pair = builder.gep(packed, [builder.mul(c, c.type(2 * lanes))])
                return _products(rows, number, lanes, filters, pair, sums)

            return _accumulate(builder, j.type(lanes), sums, channel)

        sums = _accumulate(builder, args[3], [rows.zeros()] * (2 * ROWS), body)
        for i, value in enumerate(sums):
            out.store(value, out.at(args[7]), i * lanes)
        return context.get_dummy_value()

    numbers = types.intp
    kinds = rows, numbers, offsets, numbers, filters, numbers, out, numbers
    return types.void(*kinds), generate


@intrinsic
def outer(_typing, x, x_at, g, g_at, count, out, out_at, fresh):
    """Add to ROWS rows of out the products of ROWS channels of x with g's two vectors.

    If ``fresh``, what was in out before does not count. Summed over ``count`` (> 0) positions,
    which are one vector apart in x, two in g.
    """

    def generate(context, builder, signature, args):
        kinds = signature.args
        x, g, out = (_Flat(context, builder, kinds[i], args[i]) for i in (0, 2, 5))
        lanes = x.lanes

        def body(p, sums):
            channels = x.at(builder.add(args[1], builder.mul(p, p.type(lanes))))
            gradient = g.at(builder.add(args[3], builder.mul(p, p.type(2 * lanes))))
            return _products(x, channels, 1, g, gradient, sums)

        there = out.at(args[6])
        before = [out.load(there, i * lanes) for i in range(2 * ROWS)]
        before = [builder.select(args[7], out.zeros(), vector) for vector in before]
        for i, value in enumerate(_accumulate(builder, args[4], before, body)):
            out.store(value, there, i * lanes)
        return context.get_dummy_value()

    numbers = types.intp
    return types.void(x, numbers, g, numbers, numbers, out, numbers, types.boolean), generate


@intrinsic
def add(_typing, a, b):
    """``a + b``, which are vectors."""

    def generate(_context, builder, _signature, args):
        return builder.fadd(*args, flags=_IN_ORDER)

    return a(a, b), generate


@intrinsic
def rectify(_typing, vector):
    """``vector`` with 0 for what is not above 0; NaN stays."""

    def generate(_context, builder, _signature, args):
        zeros = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", args[0], zeros), zeros, args[0])

    return vector(vector), generate


@intrinsic
def transpose(_typing, source, at, pitch, target, to, target_pitch):
    """Write the transposed matrix of ``lanes`` rows that are ``pitch`` apart, a vector each."""

    def generate(context, builder, signature, args):
        kinds = signature.args
        source, target = (_Flat(context, builder, kinds[i], args[i]) for i in (0, 3))
        lanes = source.lanes

        def row(start, distance, i):
            return builder.add(start, builder.mul(distance, distance.type(i)))

        rows = [source.load(source.at(row(args[1], args[2], i))) for i in range(lanes)]
        block = 1
        while block < lanes:  # exchange the blocks beside the diagonal, twice as large each time
            for i in (i for i in range(lanes) if not i & block):
                rows[i], rows[i + block] = _exchanged(builder, rows[i], rows[i + block], block)
            block *= 2
        for i, vector in enumerate(rows):
            target.store(vector, target.at(row(args[4], args[5], i)))
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
            kinds = signature.args
            source, target = (_Flat(context, builder, kinds[i], args[i]) for i in (0, 4))
            at, to = _places(builder, *args[1:4]), _places(builder, *args[5:8])
            size = range(m.shape[1])
            x = [[source.load(source.at(at(i, j))) for j in size] for i in size]
            left = [[_combine(builder, line, [x[i][j] for i in size]) for j in size] for line in m]
            for i, values in enumerate(left):
                for j, line in enumerate(m):
                    target.store(_combine(builder, line, values), target.at(to(i, j)))
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
            vector = builder.fmul(vector, scale, flags=_IN_ORDER)
        if total is not None:
            combine = builder.fsub if factor < 0 else builder.fadd
            total = combine(total, vector, flags=_IN_ORDER)
        else:
            total = builder.fneg(vector, flags=_IN_ORDER) if factor < 0 else vector
    return total
