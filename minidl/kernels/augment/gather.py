"""Vectors of pixels inside jitted functions: from bytes anywhere in memory to floats.

A few intrinsics beside those of `minidl.kernels.vectors`, whose vectors these are. Numba
finds no vectors in a loop that reads from addresses it has computed; LLVM has an instruction
for that on all machines, and makes single loads of it where the processor has none.

Numba's cache does not look into this file: clear that of `moves.py` after a change here.
"""

from llvmlite import ir
from llvmlite.ir.instructions import GEPInstr
from numba.core import cgutils, types
from numba.extending import intrinsic

from minidl.kernels.vectors import BYTES, Vector

LANES = BYTES // 4
"""How many pixels, or floats, a vector holds."""

_INT = ir.IntType(32)
_INTS = ir.VectorType(_INT, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)

Ints, Floats = Vector(types.int32), Vector(types.float32)


@intrinsic
def offsets(_typing, x, y, right, up, width, height, channels, outside):
    """Where the bytes of the pixels at (x, y), (x + right, y + up) ... begin in a picture.

    All are int32 numbers, places in 16.16 fixed point. ``outside`` where a place lies outside
    the ``width`` and ``height`` of the picture.
    """

    def generate(_context, builder, _signature, args):
        x, y, right, up, width, height, channels, outside = args
        xs, ys = _from(builder, x, right), _from(builder, y, up)
        inside = builder.and_(_below(builder, xs, width), _below(builder, ys, height))
        row = _splat(builder, builder.mul(width, channels))
        columns = builder.mul(_whole(builder, xs), _splat(builder, channels))
        found = builder.add(builder.mul(_whole(builder, ys), row), columns)
        return builder.select(inside, found, _splat(builder, outside))

    return Ints(*[types.int32] * 8), generate


@intrinsic
def words_at(_typing, pixels, ints, outside, word):
    """The four bytes, lowest first, that begin at ``pixels[i]`` for each of ``ints``.

    Where an int is ``outside``, nothing is read and ``word`` stands there.
    """

    def generate(context, builder, _signature, args):
        data = context.make_array(pixels)(context, builder, args[0]).data
        inside = builder.icmp_signed("!=", args[1], _splat(builder, args[2]))
        return _gather(builder, data, args[1], 1, inside, _splat(builder, args[3]))

    return Ints(pixels, Ints, types.int32, types.int32), generate


@intrinsic
def floats_at(_typing, table, ints):
    """``table[i]`` for each of ``ints``."""

    def generate(context, builder, _signature, args):
        data = context.make_array(table)(context, builder, args[0]).data
        every = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [1] * LANES)
        return _gather(builder, data, args[1], 4, every, ir.Constant(_FLOATS, ir.Undefined))

    return Floats(table, Ints), generate


@intrinsic
def prefetch(_typing, array, index):
    """Have the memory at ``array[index]`` brought near, without waiting for it."""

    def generate(context, builder, _signature, args):
        data = context.make_array(array)(context, builder, args[0]).data
        address = builder.gep(data, [args[1]])
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, _INT(0), _INT(3), _INT(1)])  # to read data, soon
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def channel(_typing, words, number):
    """Byte ``number`` of each word."""

    def generate(_context, builder, _signature, args):
        bits = builder.mul(builder.trunc(args[1], _INT), _INT(8))
        return builder.and_(builder.lshr(args[0], _splat(builder, bits)), _all(255))

    return Ints(words, types.intp), generate


@intrinsic
def as_floats(_typing, ints):
    """The same numbers as float32."""

    def generate(_context, builder, _signature, args):
        return builder.sitofp(args[0], _FLOATS)

    return Floats(ints), generate


def _all(number):
    return ir.Constant(_INTS, [number] * LANES)


def _splat(builder, number):
    undefined = ir.Constant(_INTS, ir.Undefined)
    first = builder.insert_element(undefined, number, _INT(0))
    return builder.shuffle_vector(first, undefined, _all(0))


def _from(builder, start, step):
    """start, start + step, ..."""
    places = ir.Constant(_INTS, list(range(LANES)))
    return builder.add(_splat(builder, start), builder.mul(places, _splat(builder, step)))


def _whole(builder, places):
    """What is left of the point."""
    return builder.ashr(places, _all(16))


def _below(builder, places, size):
    """0 <= places < size, in one comparison: as unsigned numbers the negative ones are large."""
    return builder.icmp_unsigned("<", places, _splat(builder, builder.shl(size, _INT(16))))


def _gather(builder, data, indices, alignment, mask, rest):
    """``data[indices]`` where ``mask`` has ones, elsewhere what ``rest`` has."""
    # llvmlite refuses a vector for an index, but LLVM wants it: processors gather from a base
    # and 32-bit indices.
    element = data.type.pointee
    addresses = GEPInstr(builder.block, data, [indices], False, "", source_etype=element)
    addresses.type = ir.VectorType(data.type, LANES)
    builder._insert(addresses)
    name = f"llvm.masked.gather.v{LANES}{'f' if rest.type == _FLOATS else 'i'}32.v{LANES}p0"
    wanted = ir.FunctionType(rest.type, [addresses.type, _INT, mask.type, rest.type])
    function = cgutils.get_or_insert_function(builder.module, wanted, name)
    return builder.call(function, [addresses, _INT(alignment), mask, rest])
