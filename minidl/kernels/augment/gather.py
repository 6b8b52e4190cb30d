"""Vectors of pixels inside jitted functions: from bytes anywhere in memory to floats.

A few intrinsics beside those of `minidl.kernels.conv.simd`, whose vectors these are. Numba
finds no vectors in a loop that reads from addresses it has computed; LLVM has an instruction
for it on all machines, and makes single loads of it where the processor has none.

Numba's cache does not look into this file: clear that of `moves.py` after a change here.
"""

from llvmlite import ir
from llvmlite.ir.instructions import GEPInstr
from numba.core import cgutils, types
from numba.extending import intrinsic

from minidl.kernels.conv.simd import BYTES, Vector

LANES = BYTES // 4
"""How many pixels, or floats, a vector holds."""

_INT = ir.IntType(32)
_INTS = ir.VectorType(_INT, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_PLACES = ir.Constant(_INTS, list(range(LANES)))

_number = types.int32
Ints, Floats = Vector(types.int32), Vector(types.float32)


@intrinsic
def pixels(_typing, source, start, x, y, right, up, width, height, channels, colour):
    """The pixels seen by the places x, x + right, ... and y, y + up, ..., in 16.16 fixed point.

    ``source[start:]`` are the bytes of a picture of ``width``, ``height`` and ``channels``.
    Each pixel is a word, red lowest, with other bytes above; ``colour`` where a place lies
    outside. Four bytes are read for a pixel, though it has fewer.
    """

    def generate(context, builder, signature, args):
        data, (x, y, right, up, width, height, channels, colour) = args[:2], args[2:]
        xs, ys = _from(builder, x, right), _from(builder, y, up)
        inside = builder.and_(_below(builder, xs, width), _below(builder, ys, height))
        lines = builder.mul(_whole(builder, ys), _splat(builder, width))
        offsets = builder.add(lines, _whole(builder, xs))
        offsets = builder.mul(offsets, _splat(builder, channels))
        picture = context.make_array(source)(context, builder, data[0]).data
        picture = builder.gep(picture, [data[1]])
        addresses = _addresses(builder, picture, offsets)
        return _gather(builder, addresses, 1, inside, _splat(builder, colour))

    return Ints(source, types.intp, *[_number] * 8), generate


@intrinsic
def channel(_typing, words, number):
    """Byte ``number`` of each word."""

    def generate(_context, builder, _signature, args):
        bits = builder.mul(builder.trunc(args[1], _INT), _INT(8))
        shifted = builder.lshr(args[0], _splat(builder, bits))
        return builder.and_(shifted, ir.Constant(_INTS, [255] * LANES))

    return Ints(Ints, types.intp), generate


@intrinsic
def as_floats(_typing, ints):
    """The same numbers as float32."""

    def generate(_context, builder, _signature, args):
        return builder.sitofp(args[0], _FLOATS)

    return Floats(Ints), generate


@intrinsic
def look_up(_typing, table, ints):
    """``table[i]`` for each of ``ints``; they are not checked."""

    def generate(context, builder, _signature, args):
        first = context.make_array(table)(context, builder, args[0]).data
        everywhere = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [1] * LANES)
        addresses = _addresses(builder, first, args[1])
        return _gather(builder, addresses, 4, everywhere, ir.Constant(_FLOATS, ir.Undefined))

    return Floats(table, Ints), generate


def _splat(builder, number):
    undefined = ir.Constant(_INTS, ir.Undefined)
    first = builder.insert_element(undefined, number, _INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, None))


def _from(builder, start, step):
    """start, start + step, ..."""
    return builder.add(_splat(builder, start), builder.mul(_PLACES, _splat(builder, step)))


def _whole(builder, places):
    """What is left of the point."""
    return builder.ashr(places, ir.Constant(_INTS, [16] * LANES))


def _below(builder, places, size):
    """0 <= places < size, in one comparison: as unsigned numbers the negative ones are large."""
    return builder.icmp_unsigned("<", places, _splat(builder, builder.shl(size, _INT(16))))


def _addresses(builder, first, offsets):
    """The addresses of ``first[offsets]``."""
    # llvmlite would not take a vector for an index, which LLVM wants: a base and 32-bit
    # offsets are what processors gather from.
    element = first.type.pointee
    addresses = GEPInstr(builder.block, first, [offsets], False, "", source_etype=element)
    addresses.type = ir.VectorType(element.as_pointer(), LANES)
    builder._insert(addresses)
    return addresses


def _gather(builder, addresses, alignment, mask, otherwise):
    kind = otherwise.type
    name = f"llvm.masked.gather.v{LANES}{'f' if kind == _FLOATS else 'i'}32.v{LANES}p0"
    wanted = ir.FunctionType(kind, [addresses.type, _INT, mask.type, kind])
    function = cgutils.get_or_insert_function(builder.module, wanted, name)
    return builder.call(function, [addresses, _INT(alignment), mask, otherwise])
