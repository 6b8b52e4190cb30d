"""8-bit integers inside jitted functions: made of floats, multiplied, and made floats again.

Four of them are one 32-bit number, the first in its lowest byte. `add_dots` multiplies four
unsigned ones by four signed ones in every lane of a vector and adds the products to a 32-bit sum,
in one instruction where the machine has it (VNNI). What comes before and after is float32, one
rounding after the other as written: so all kernel sets get the same bits. Numba's cache does not
look into this file: clear it after a change here.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from minidl.kernels.vectors import BYTES, IN_ORDER, Memory, Vector, everywhere

_I8, _I32, _F32 = ir.IntType(8), ir.IntType(32), ir.FloatType()
_LANES = BYTES // 4
_FEATURE = "avx512vnni" if BYTES == 64 else "avxvnni"
_HAS_DOTS = (
    not config.CPU_NAME  # else code is generated for another machine than this one
    and binding.get_host_cpu_features().get(_FEATURE, False)
    and (BYTES == 64 or binding.get_host_cpu_features().get("avx512vl", False))
)


# --------------------------------------------------------------------------- products


def _dot(builder, total, unsigned, signed):
    """``total`` plus the products of four bytes, in each lane."""
    if _HAS_DOTS:
        name = f"llvm.x86.avx512.vpdpbusd.{BYTES * 8}"
        kind = ir.FunctionType(total.type, [total.type] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [total, unsigned, signed])
    for byte in range(4):
        left = builder.and_(builder.lshr(unsigned, _same(total, 8 * byte)), _same(total, 255))
        right = builder.ashr(builder.shl(signed, _same(total, 24 - 8 * byte)), _same(total, 24))
        total = builder.add(total, builder.mul(left, right))
    return total


def _same(like, number):
    """A constant vector."""
    return ir.Constant(like.type, [number] * like.type.count)


def _adding(row_is_unsigned: bool):
    @intrinsic
    def add(_typing, tile, numbers, index, pitch, row):
        def generate(context, builder, _signature, args):
            sums, vectors = (cgutils.unpack_tuple(builder, args[i]) for i in (0, 4))
            memory, added = Memory(context, builder, numbers, args[1]), []
            for b in range(len(sums) // len(vectors)):
                distance = builder.mul(args[3], args[3].type(b))
                number = memory.splat(builder.add(args[2], distance))
                for vector in vectors:
                    pair = (vector, number) if row_is_unsigned else (number, vector)
                    added.append(_dot(builder, sums[len(added)], *pair))
            return context.make_tuple(builder, tile, added)

        return tile(tile, numbers, types.intp, types.intp, row), generate

    return add


add_dots = _adding(row_is_unsigned=True)
"""The tile plus dot products: row b gets those of ``row`` and ``numbers[index + b * pitch]``.

``row`` holds unsigned bytes, the numbers hold signed ones.
"""

add_dots_of_unsigned = _adding(row_is_unsigned=False)
"""As `add_dots`, with unsigned bytes in the numbers and signed ones in ``row``."""


# --------------------------------------------------------------------------- floats to bytes


def _quantized(builder, numbers, scale, zero):
    """The bytes of float32 ``numbers``, 0 to 255, as 32-bit integers; NaN becomes 0."""
    vector = isinstance(numbers.type, ir.VectorType)
    name = f"llvm.rint.v{numbers.type.count}f32" if vector else "llvm.rint.f32"
    kind = ir.FunctionType(numbers.type, [numbers.type])
    rint = cgutils.get_or_insert_function(builder.module, kind, name)
    if vector:
        scale, zero = (everywhere(builder, each, numbers.type) for each in (scale, zero))
    quotient = builder.fdiv(numbers, scale, flags=IN_ORDER)
    q = builder.fadd(builder.call(rint, [quotient]), zero, flags=IN_ORDER)
    for sign, limit in ((">", 0.0), ("<", 255.0)):
        limit = ir.Constant(q.type, [limit] * q.type.count if vector else limit)
        q = builder.select(builder.fcmp_ordered(sign, q, limit), q, limit)
    return builder.fptosi(q, ir.VectorType(_I32, q.type.count) if vector else _I32)


@intrinsic
def quantize_pixels(_typing, x, index, offsets, scale, zero):
    """A vector of pixels of four channels: the bytes of ``x[index + offset]`` and on."""
    result = Vector(types.int32)

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, x, args[0])
        packed = None
        for byte, offset in enumerate(cgutils.unpack_tuple(builder, args[2])):
            numbers = memory.load(builder.add(args[1], offset))
            q = _quantized(builder, numbers, *args[3:])
            q = builder.shl(q, _same(q, 8 * byte))
            packed = q if packed is None else builder.or_(packed, q)
        return packed

    return result(x, types.intp, offsets, types.float32, types.float32), generate


@intrinsic
def quantize_number(_typing, number, scale, zero):
    """The byte of one number."""

    def generate(_context, builder, _signature, args):
        return _quantized(builder, *args)

    return types.int32(types.float32, types.float32, types.float32), generate


@intrinsic
def quantize_run(_typing, x, index, scale, zero, data, to):
    """The bytes of as many numbers of x as a vector holds, to ``data[to]`` (uint8) and on."""

    def generate(context, builder, _signature, args):
        numbers = Memory(context, builder, x, args[0]).load(args[1])
        q = _quantized(builder, numbers, *args[2:4])
        q = builder.trunc(q, ir.VectorType(_I8, q.type.count))
        address = context.make_array(data)(context, builder, args[4]).data
        address = builder.gep(address, [args[5]])
        builder.store(q, builder.bitcast(address, q.type.as_pointer()), align=1)
        return context.get_dummy_value()

    kinds = x, types.intp, types.float32, types.float32, data, types.intp
    return types.void(*kinds), generate


# --------------------------------------------------------------------------- sums to floats


@intrinsic
def larger(_typing, a, b):
    """The larger of each two sums of two vectors."""

    def generate(_context, builder, _signature, args):
        return builder.select(builder.icmp_signed(">", *args), *args)

    return a(a, b), generate


@intrinsic
def dequantize(_typing, tile, shift, factor, bias):
    """``(sum - shift) * factor + bias`` of each sum of a row of vectors, as float32.

    The last three are vectors: of integers, and of floats.
    """
    result = types.UniTuple(Vector(types.float32), tile.count)

    def generate(context, builder, _signature, args):
        vectors = []
        for total in cgutils.unpack_tuple(builder, args[0]):
            number = builder.sitofp(builder.sub(total, args[1]), args[2].type)
            product = builder.fmul(number, args[2], flags=IN_ORDER)
            vectors.append(builder.fadd(product, args[3], flags=IN_ORDER))
        return context.make_tuple(builder, result, vectors)

    return result(tile, shift, factor, bias), generate
