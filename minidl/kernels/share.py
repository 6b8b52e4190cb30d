"""How a compiled kernel deals out its work to threads.

A kernel is compiled once, and says what is done for one item::

    @shared
    def scale(team, x, factor):
        share(team, len(x), _scale_row, (x, factor))     # _scale_row(i, x, factor) for each i

``team`` is the address of a function that sees to all items in several threads, or 0: then the
kernel does one after the other itself, with the same code. (Of a loop over Numba's `prange` and
all that is called inside there are five compiled copies, one of them for a single thread, which
may round differently: too many for a kernel that takes seconds to compile.) Numba's cache does
not look into this file: clear it after a change here.
"""

from __future__ import annotations

import functools

import numba
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

ALONE = 0
"""No team: the kernel itself does all the work."""


@intrinsic
def share(typing, team, count, body, args):
    """``body(i, *args)`` for each i < ``count``, in the threads of ``team``."""
    signature = body.get_call_type(typing, (types.intp, *args.types), {})
    compiled = body.dispatcher.overloads[signature.args]

    def generate(context, builder, _signature, values):
        team, count, _, packed = values
        context.active_code_library.add_linking_library(compiled.library)
        room = ir.LiteralStructType([packed.type, ir.IntType(8)])
        data = cgutils.alloca_once(builder, room)
        builder.store(packed, cgutils.gep_inbounds(builder, data, 0, 0))
        failed = cgutils.gep_inbounds(builder, data, 0, 1)
        builder.store(failed.type.pointee(0), failed)
        item = _item(context, builder, data.type, compiled.fndesc, signature)
        alone = cgutils.is_null(builder, team)
        with builder.if_else(alone) as (by_itself, together):
            with by_itself, cgutils.for_range(builder, count) as loop:
                builder.call(item, [data, loop.index])
            with together:
                numbers = [builder.ptrtoint(pointer, team.type) for pointer in (item, data)]
                kind = ir.FunctionType(ir.VoidType(), [team.type] * 3)
                builder.call(builder.inttoptr(team, kind.as_pointer()), [*numbers, count])
        with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, builder.load(failed))):
            context.call_conv.return_user_exc(builder, MemoryError, ("in a kernel",))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, body, args), generate


def _item(context, builder, room, fndesc, signature):
    """A function of C that does one item: of the address of the arguments, and the item."""
    kind = ir.FunctionType(ir.VoidType(), [room, context.get_value_type(types.intp)])
    function = ir.Function(builder.module, kind, builder.function.name + ".item")
    function.linkage = "internal"
    inside = ir.IRBuilder(function.append_basic_block())
    data, item = function.args
    packed = inside.load(cgutils.gep_inbounds(inside, data, 0, 0))
    values = [item, *cgutils.unpack_tuple(inside, packed, len(signature.args) - 1)]
    status, _ = context.call_internal_no_propagate(inside, fndesc, signature, values)
    with cgutils.if_unlikely(inside, status.is_error):
        failed = cgutils.gep_inbounds(inside, data, 0, 1)
        inside.store(failed.type.pointee(1), failed)
    inside.ret_void()
    return function


@intrinsic
def _call(_typing, item, data, index):
    """Call the function of `_item` at an address."""

    def generate(_context, builder, _signature, args):
        kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args[1:]])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.void(types.intp, types.intp, types.intp), generate


def _run(item, data, count):
    for index in prange(count):
        _call(item, data, numba.intp(index))


@functools.cache
def team() -> int:
    """The address of what runs ``item(data, i)`` for each i < ``count`` in several threads."""
    kind = types.void(types.intp, types.intp, types.intp)
    return numba.cfunc(kind, cache=True, nogil=True, parallel=True)(_run).address
