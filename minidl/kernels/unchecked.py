"""Numbers and runs of numbers of flat arrays inside jitted functions, without any check.

Indices are not negative and not too large: that is for the caller to see to. Numba's cache does
not look into this file: clear it after a change here.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


def _data(context, builder, array_type, array):
    """The address of an array's first number."""
    return context.make_array(array_type)(context, builder, array).data


@intrinsic
def get(_typing, array, index):
    """``array[index]``, of an index that is not negative."""

    def generate(context, builder, _signature, args):
        data = _data(context, builder, array, args[0])
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), generate


@intrinsic
def put(_typing, array, index, number):
    """``array[index] = number``, of an index that is not negative, one at a time.

    LLVM is kept from looking for vectors in the loop around: where these are not worth it,
    they would take most of the time to compile.
    """

    def generate(context, builder, _signature, args):
        data = _data(context, builder, array, args[0])
        builder.store(args[2], builder.gep(data, [args[1]]))
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], side_effect=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def copy(_typing, to, at, source, start, count):
    """Copy ``source[start : start + count]`` to ``to[at]`` and on: another array of the dtype."""

    def generate(context, builder, _signature, args):
        there = _data(context, builder, to, args[0])
        here = _data(context, builder, source, args[2])
        there, here = builder.gep(there, [args[1]]), builder.gep(here, [args[3]])
        cgutils.raw_memcpy(builder, there, here, args[4], to.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(to, types.intp, source, types.intp, types.intp), generate


@intrinsic
def clear(_typing, array, start, count):
    """``array[start : start + count] = 0``."""

    def generate(context, builder, _signature, args):
        there = builder.gep(_data(context, builder, array, args[0]), [args[1]])
        size = builder.mul(args[2], args[2].type(array.dtype.bitwidth // 8))
        cgutils.memset(builder, there, size, 0)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate
