"""Arguments of the step: values, types, structures, facts of tensors."""

from drawn.effects.effect import Effect


def _arguments(name, step, values, takes="value", given="(GIVEN[0],), {}"):
    """The values in turn as an argument of the step."""
    return Effect(
        name,
        "argument",
        step,
        ("GIVEN[0] = given(k)",),
        top=f"GIVEN = [None]\n\n\ndef given(k):\n    return [*[{values}], {values}][k]()",
        local="GIVEN[0] = given(0)",
        args=f"return {given}",
        takes=takes,
    )


ARGUMENTS = (
    _arguments("number", "y = x * value", "lambda: 1.5, lambda: 2.5, lambda: 0.5"),
    _arguments(
        "type of a number", "y = x * len(str(value))", "lambda: 1, lambda: 1.0, lambda: True"
    ),
    _arguments("sign of zero", "y = x * math.copysign(2.0, value)", "lambda: 0.0, lambda: -0.0"),
    _arguments(
        "not a number",
        "y = x * (2.0 if value == value else 3.0)",
        "lambda: 1.0, lambda: float('nan'), lambda: float('nan')",
    ),
    _arguments("None", "y = x * (value or 3.0)", "lambda: None, lambda: 2.0"),
    _arguments("text", "y = getattr(x, value)()", "lambda: 'tanh', lambda: 'exp', lambda: 'sin'"),
    _arguments(
        "keyword",
        "y = x * value",
        "lambda: 1.5, lambda: 2.5, lambda: 1",
        given="(), {'value': GIVEN[0]}",
    ),
    _arguments("tuple or list", "y = x * len(str(value))", "lambda: (1, 2), lambda: [1, 2]"),
    _arguments(
        "type of a sequence",
        "y = x * (2.0 if isinstance(value, list) else 3.0) + value[0]",
        "lambda: [minidl.ones(3)], lambda: (minidl.ones(3),)",
    ),
    _arguments(
        "named tuple",
        "y = x * value[0] * (2.0 if hasattr(value, 'item') else 3.0)",
        "lambda: Pair(1.0, 2.0), lambda: (1.0, 2.0)",
    ),
    _arguments(
        "keys",
        "y = x * value.get('a', 3.0)",
        "lambda: {'a': 1.5}, lambda: {'b': 1.5}",
    ),
    _arguments(
        "keys of tensors",
        "y = x * value.get('a', 3.0)",
        "lambda: {'a': minidl.ones(3)}, lambda: {'b': minidl.ones(3)}",
    ),
    _arguments(
        "order of keys",
        "y = x * [*value.values()][0] + ord([*value][0])",
        "lambda: {'a': 1.5, 'b': 1.5}, lambda: {'b': 1.5, 'a': 1.5}",
    ),
    _arguments(
        "order of tensors",
        "y = x * value['a'] - value['b']",
        "lambda: {'a': minidl.ones(3), 'b': minidl.zeros(3)}, "
        "lambda: {'b': minidl.zeros(3), 'a': minidl.ones(3)}",
    ),
    _arguments(
        "nesting",
        "y = x * len(value)",
        "lambda: ((1.5, 2.5), 3.5), lambda: (1.5, 2.5, 3.5), lambda: (1.5, (2.5, 3.5))",
    ),
    _arguments(
        "nesting of tensors",
        "y = x * len(value)",
        "lambda: ((minidl.ones(3),), minidl.ones(3)), lambda: ((minidl.ones(3), minidl.ones(3)),)",
    ),
    _arguments("length", "y = x * sum(value)", "lambda: [1.5], lambda: [1.5, 2.5], lambda: []"),
    _arguments(
        "empty", "y = x * (2.0 if value == () else 3.0)", "lambda: (), lambda: [], lambda: {}"
    ),
    _arguments("bool", "y = x.exp() if value else x.tanh()", "lambda: True, lambda: False"),
    _arguments("dtype", "y = x.to(value) * 1.1", "lambda: minidl.float32, lambda: minidl.float64"),
    _arguments(
        "shape",
        "y = x * value.sum() * value.ndim",
        "lambda: minidl.ones(3), lambda: minidl.ones(1, 3), lambda: minidl.ones(4)",
    ),
    _arguments(
        "dtype of a tensor",
        "y = x * value",
        "lambda: minidl.ones(3), lambda: minidl.ones(3, dtype=minidl.float64), "
        "lambda: minidl.tensor([1, 2, 3])",
    ),
    _arguments(
        "strides",
        "y = x * value[0].sum() * (2.0 if value.is_contiguous() else 3.0)",
        "lambda: minidl.ones(3, 3), lambda: minidl.ones(3, 3).t()",
    ),
    _arguments(
        "class of a tensor",
        "y = x * (2.0 if isinstance(value, nn.Parameter) else 3.0)",
        "lambda: minidl.ones(3), lambda: nn.Parameter(minidl.ones(3), requires_grad=False)",
    ),
    _arguments(
        "requires_grad",
        "y = x * (2.0 if value.requires_grad else 3.0)",
        "lambda: minidl.ones(3), lambda: minidl.ones(3, requires_grad=True)",
    ),
    _arguments(
        "gradient",
        "y = x * (2.0 if value.grad is None else 3.0)",
        "lambda: minidl.ones(3), lambda: with_grad(minidl.ones(3))",
    ),
    _arguments("a trained tensor", "y = x * value", "lambda: minidl.ones(3), lambda: WEIGHT[0]"),
    _arguments("function", "y = value(x)", "lambda: minidl.tanh, lambda: minidl.exp"),
    _arguments("module", "y = value(x)", "lambda: LAYERS[0], lambda: LAYERS[1]"),
    _arguments("array", "y = x * float(value[0])", "lambda: np.ones(3), lambda: np.zeros(3)"),
    _arguments("enum", "y = x * value.value", "lambda: Mode.a, lambda: Mode.b"),
    _arguments("equal objects", "y = x * value.value", "lambda: Equal(2.0), lambda: Equal(3.0)"),
    _arguments(
        "NumPy's number",
        "y = x * len(str(value))",
        "lambda: 1.5, lambda: np.float64(1.5), lambda: np.float32(1.5)",
    ),
    _arguments(
        "set", "y = x * (1 + len(value))", "lambda: frozenset('ab'), lambda: frozenset('a')"
    ),
    _arguments(
        "subclass of a number",
        "y = x * value.tag",
        "lambda: Tagged(1.5, 2.0), lambda: Tagged(1.5, 3.0)",
    ),
    _arguments(
        "variable number",
        "y = x * len(value) * sum(value)",
        "lambda: (1.5,), lambda: (1.5, 2.5)",
        takes="*value",
        given="GIVEN[0], {}",
    ),
    _arguments(
        "other name",
        "y = x * value.get('a', 3.0)",
        "lambda: {'a': 1.5}, lambda: {'b': 1.5}",
        takes="**value",
        given="(), GIVEN[0]",
    ),
    _arguments(
        "default",
        "y = x * value",
        "lambda: 1.5, lambda: 2.5",
        takes="value=2.5",
        given="(() if GIVEN[0] == 2.5 else (GIVEN[0],)), {}",
    ),
)
