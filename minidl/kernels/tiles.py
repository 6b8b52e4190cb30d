"""Tiles of vectors inside jitted functions: what fast sums of products are made of.

A tile is a tuple of a dozen or two vectors (see `minidl.kernels.vectors`), row after row, that
an inner loop adds to; its length is part of its type, and one call spells out the work on all of
it. So it stays in registers across the loop.

Lengths are literal numbers or global names of such. Indices of flat arrays are not checked.
Numba's cache does not look into this file: clear it after a change here.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minidl.kernels.vectors import IN_ORDER, Memory, Vector, everywhere, multiply_add


def _moved(builder, index, by):
    return builder.add(index, index.type(by))


# --------------------------------------------------------------------------- memory


@intrinsic(prefer_literal=True)
def zero_tile(_typing, array, count):
    """``count`` vectors of zeros of the array's dtype."""
    tile = types.UniTuple(Vector(array.dtype), count.literal_value)

    def generate(context, builder, _signature, _args):
        zero = ir.Constant(context.get_value_type(tile.dtype), None)
        return context.make_tuple(builder, tile, [zero] * tile.count)

    return tile(array, count), generate


@intrinsic(prefer_literal=True)
def load_row(_typing, array, index, count):
    """``count`` vectors, one behind the other, from ``array[index]`` on."""
    row = types.UniTuple(Vector(array.dtype), count.literal_value)

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, array, args[0])
        places = (_moved(builder, args[1], i * row.dtype.lanes) for i in range(row.count))
        return context.make_tuple(builder, row, [memory.load(place) for place in places])

    return row(array, types.intp, count), generate


@intrinsic
def load_at(_typing, array, index, offsets):
    """The vectors at ``array[index + offset]``, one for each of a tuple of offsets."""
    tile = types.UniTuple(Vector(array.dtype), offsets.count)

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, array, args[0])
        offsets = cgutils.unpack_tuple(builder, args[2])
        vectors = [memory.load(builder.add(args[1], offset)) for offset in offsets]
        return context.make_tuple(builder, tile, vectors)

    return tile(array, types.intp, offsets), generate


@intrinsic
def store_at(_typing, array, index, offsets, tile):
    """Put each vector at ``array[index + offset]``."""

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, array, args[0])
        for offset, vector in zip(*(cgutils.unpack_tuple(builder, a) for a in args[2:])):
            memory.store(builder.add(args[1], offset), vector)
        return context.get_dummy_value()

    return types.void(array, types.intp, offsets, tile), generate


@intrinsic(prefer_literal=True)
def store_tile(_typing, array, index, pitch, columns, tile):
    """Put the rows of a tile, each of ``columns`` vectors, at ``array[index + row * pitch]``."""

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, array, args[0])
        for i, vector in enumerate(cgutils.unpack_tuple(builder, args[4])):
            row, column = divmod(i, columns.literal_value)
            place = builder.add(args[1], builder.mul(args[2], args[2].type(row)))
            memory.store(_moved(builder, place, column * tile.dtype.lanes), vector)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, columns, tile), generate


# --------------------------------------------------------------------------- arithmetic


@intrinsic
def add_outer(_typing, tile, numbers, index, pitch, row):
    """The tile plus the outer product of as many numbers as it has rows and a row of vectors.

    Row b of the result is ``tile[b] + numbers[index + b * pitch] * row``.
    """

    def generate(context, builder, _signature, args):
        sums, vectors = (cgutils.unpack_tuple(builder, args[i]) for i in (0, 4))
        memory, added = Memory(context, builder, numbers, args[1]), []
        for b in range(len(sums) // len(vectors)):
            distance = builder.mul(args[3], args[3].type(b))
            number = memory.splat(builder.add(args[2], distance))
            for vector in vectors:
                added.append(multiply_add(builder, number, vector, sums[len(added)]))
        return context.make_tuple(builder, tile, added)

    return tile(tile, numbers, types.intp, types.intp, row), generate


@intrinsic
def add_products(_typing, tile, column, row):
    """The tile plus the products of each vector of a column and each of a row.

    Row b of the result is ``tile[b] + column[b] * row``, number by number.
    """

    def generate(context, builder, _signature, args):
        sums, column, row = (cgutils.unpack_tuple(builder, packed) for packed in args)
        pairs = [(a, b) for a in column for b in row]
        added = [multiply_add(builder, a, b, total) for (a, b), total in zip(pairs, sums)]
        return context.make_tuple(builder, tile, added)

    return tile(tile, column, row), generate


@intrinsic
def add_tiles(_typing, a, b):
    """The sum of two tiles."""

    def generate(context, builder, _signature, args):
        pairs = zip(*(cgutils.unpack_tuple(builder, packed) for packed in args))
        return context.make_tuple(
            builder, a, [builder.fadd(*pair, flags=IN_ORDER) for pair in pairs]
        )

    return a(a, b), generate


@intrinsic(prefer_literal=True)
def add_totals(_typing, array, index, pitch, columns, tile):
    """Add to ``array[index + row * pitch + column]`` the sum of that vector's numbers."""
    element = tile.dtype.dtype
    name = f"llvm.vector.reduce.fadd.v{tile.dtype.lanes}f{element.bitwidth}"

    def generate(context, builder, _signature, args):
        number = context.get_value_type(element)
        vectors = cgutils.unpack_tuple(builder, args[4])
        kind = ir.FunctionType(number, [number, vectors[0].type])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        data = Memory(context, builder, array, args[0]).data
        for i, vector in enumerate(vectors):
            row, column = divmod(i, columns.literal_value)
            place = builder.add(args[1], builder.mul(args[2], args[2].type(row)))
            address = builder.gep(data, [_moved(builder, place, column)])
            total = builder.call(function, [number(-0.0), vector], fastmath=("reassoc",))
            builder.store(builder.fadd(builder.load(address), total), address)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, columns, tile), generate


# --------------------------------------------------------------------------- comparisons


@intrinsic
def rectified(_typing, tile):
    """The tile with 0 for what is 0 or less; NaN stays NaN."""

    def generate(context, builder, _signature, args):
        zero = ir.Constant(context.get_value_type(tile.dtype), None)
        vectors = [
            builder.select(builder.fcmp_ordered("<=", vector, zero), zero, vector)
            for vector in cgutils.unpack_tuple(builder, args[0])
        ]
        return context.make_tuple(builder, tile, vectors)

    return tile(tile), generate


@intrinsic
def pairs(_typing, row):
    """The numbers at even places of a row of two vectors, and those at odd places."""

    def generate(context, builder, _signature, args):
        first, second = cgutils.unpack_tuple(builder, args[0])
        integer, count = ir.IntType(32), row.dtype.lanes
        places = ir.VectorType(integer, count)
        halves = [
            builder.shuffle_vector(
                first, second, ir.Constant(places, [2 * i + odd for i in range(count)])
            )
            for odd in (0, 1)
        ]
        return context.make_tuple(builder, row, halves)

    return row(row), generate


@intrinsic(prefer_literal=True)
def store_largest(_typing, array, places, index, tile, nowhere):
    """Of each four numbers, one of each vector of a tile, the largest or 0, and its place.

    The first of equal numbers counts, and the last NaN as the largest. The number goes to
    ``array[index]`` and on; 0 to 3 to ``places[index]``, or ``nowhere`` if it is 0 or less.
    """

    def generate(context, builder, _signature, args):
        memory = Memory(context, builder, array, args[0])
        vectors = cgutils.unpack_tuple(builder, args[3])
        zero = ir.Constant(memory.vector, None)
        kind = ir.VectorType(ir.IntType(8), tile.dtype.lanes)
        numbers = [ir.Constant(kind, [i] * kind.count) for i in range(len(vectors))]
        best, place = _largest(builder, vectors, numbers)
        dead = builder.fcmp_ordered("<=", best, zero)
        memory.store(args[2], builder.select(dead, zero, best))
        none = ir.Constant(kind, [nowhere.literal_value] * kind.count)
        data = context.make_array(places)(context, builder, args[1]).data
        address = builder.bitcast(builder.gep(data, [args[2]]), kind.as_pointer())
        builder.store(builder.select(dead, none, place), address, align=1)
        return context.get_dummy_value()

    return types.void(array, places, types.intp, tile, nowhere), generate


@intrinsic
def store_maxima(_typing, array, places, index, tile, corner, width):
    """The largest numbers of a tile's four vectors, which are the corners of windows of 2 by 2.

    As `store_largest`, but numbers are not cut off at 0, and their places, which are integers of
    64 bits, are those in a plane with lines of ``width``: ``corner`` is that of the first number.
    """

    def generate(context, builder, _signature, args):
        lanes, number = tile.dtype.lanes, ir.IntType(32)  # 32 bits, as wide as most numbers
        kind, wide = ir.VectorType(number, lanes), ir.VectorType(args[4].type, lanes)
        first = ir.Constant(kind, list(range(0, 2 * lanes, 2)))
        width = builder.trunc(args[5], number)
        steps = number(0), number(1), width, builder.add(width, number(1))
        found = [builder.add(first, everywhere(builder, step, kind)) for step in steps]
        best, place = _largest(builder, cgutils.unpack_tuple(builder, args[3]), found)
        Memory(context, builder, array, args[0]).store(args[2], best)
        place = builder.add(builder.sext(place, wide), everywhere(builder, args[4], wide))
        data = context.make_array(places)(context, builder, args[1]).data
        address = builder.bitcast(builder.gep(data, [args[2]]), wide.as_pointer())
        builder.store(place, address, align=8)
        return context.get_dummy_value()

    n = types.intp
    return types.void(array, places, n, tile, n, n), generate


def _largest(builder, vectors, places):
    """The largest numbers of vectors, and which of the vectors ``places`` belongs to them."""
    best, place = vectors[0], places[0]
    for vector, where in zip(vectors[1:], places[1:]):
        larger = builder.or_(
            builder.fcmp_ordered(">", vector, best),
            builder.fcmp_unordered("uno", vector, vector),
        )
        best = builder.select(larger, vector, best)
        place = builder.select(larger, where, place)
    return best, place


@intrinsic
def nonzero(_typing, row):
    """One bit for each number of a row of vectors, the first one lowest: whether it is not 0."""

    def generate(context, builder, signature, args):
        whole = context.get_value_type(signature.return_type)
        result = whole(0)
        for i, vector in enumerate(cgutils.unpack_tuple(builder, args[0])):
            zero = ir.Constant(vector.type, None)
            found = builder.fcmp_unordered("!=", vector, zero)
            mask = builder.zext(builder.bitcast(found, ir.IntType(row.dtype.lanes)), whole)
            result = builder.or_(result, builder.shl(mask, whole(i * row.dtype.lanes)))
        return result

    return types.uint64(row), generate


@intrinsic
def lowest(_typing, bits):
    """The place of the lowest bit that is set, of some that are."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.uint64), generate
