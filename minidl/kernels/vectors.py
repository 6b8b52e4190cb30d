"""Vectors of floating-point numbers inside jitted functions.

Numba leaves it to LLVM to find vectors in loops, and LLVM keeps none in registers across an
inner loop. These few intrinsics say it outright:
`load` and `store` a vector at an index of a flat array, `splat` one number over a vector,
`fma`. A vector is as wide as the machine's registers, so `lanes(array)` numbers of
the array's dtype, and indices are not checked.

Tiles of them, for convolution, are in `minidl.kernels.conv.simd`. Numba's cache does not look
into this file: clear it after a change here.
"""

from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32


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


def _pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    vector = context.get_value_type(Vector(array_type.dtype))
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


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

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def store(_typing, array, index, vector):
    """Put ``vector`` at ``array[index]`` and on."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def splat(_typing, number):
    """A vector that holds ``number`` everywhere."""

    def generate(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        undefined = ir.Constant(vector, ir.Undefined)
        index = ir.IntType(32)
        first = builder.insert_element(undefined, args[0], index(0))
        everywhere = ir.Constant(ir.VectorType(index, vector.count), None)
        return builder.shuffle_vector(first, undefined, everywhere)

    return Vector(number)(number), generate


@intrinsic
def fma(_typing, a, b, c):
    """``a * b + c``, in one instruction where the machine has it."""

    def generate(_context, builder, _signature, args):
        product = builder.fmul(args[0], args[1], flags=("contract",))
        return builder.fadd(product, args[2], flags=("contract",))

    return a(a, b, c), generate
