"""What holds for a thread or a process: modes, seeds, kernels, default dtypes."""

from drawn.effects.effect import Effect


def _mode(name, step, changes, **options):
    return Effect(name, "mode", step, tuple(changes), **options)


MODES = (
    _mode(
        "grad mode",
        "y = x.exp() if minidl.is_grad_enabled() else x.tanh()",
        ["GRAD[0] = k == 0"],
        top="GRAD = [True]",
        around="minidl.set_grad_enabled(GRAD[0])",
        train=False,
    ),
    _mode(
        "grad mode and a graph",
        "y = (x * weight).detach()",
        ["GRAD[0] = k == 0"],
        top="GRAD = [True]",
        around="minidl.set_grad_enabled(GRAD[0])",
        train=False,
    ),
    _mode(
        "default dtype",
        "y = x + minidl.full((3,), 0.1) * 3",
        ["DTYPE[0] = (minidl.float32, minidl.float64)[k > 0]"],
        top="DTYPE = [minidl.float32]\n\n\n@contextlib.contextmanager\ndef default(dtype):\n"
        "    minidl.set_default_dtype(dtype)\n    try:\n        yield\n    finally:\n"
        "        minidl.set_default_dtype(minidl.float32)\n",
        around="default(DTYPE[0])",
    ),
    _mode(
        "default dtype that is read",
        "y = x * (2.0 if minidl.get_default_dtype() == minidl.float32 else 3.0)",
        ["DTYPE[0] = (minidl.float32, minidl.float64)[k > 0]"],
        top="DTYPE = [minidl.float32]\n\n\n@contextlib.contextmanager\ndef default(dtype):\n"
        "    minidl.set_default_dtype(dtype)\n    try:\n        yield\n    finally:\n"
        "        minidl.set_default_dtype(minidl.float32)\n",
        around="default(DTYPE[0])",
    ),
    _mode(
        "kernels",
        "y = F.softmax(x * 3.7, 0) @ minidl.eye(3) * (2.0 if SETS()[0] == 'numpy' else 3.0)",
        ["KERNELS[0] = ('numba', 'numpy')[k > 0]"],
        top="from minidl.kernels import active_sets as SETS, use_kernels\n\nKERNELS = ['numba']",
        around="use_kernels(KERNELS[0])",
    ),
    _mode(
        "kernels without a look",
        "y = F.softmax(x * 3.7, 0) @ minidl.eye(3)",
        ["KERNELS[0] = ('numba', 'numpy')[k > 0]"],
        top="from minidl.kernels import use_kernels\n\nKERNELS = ['numba']",
        around="use_kernels(KERNELS[0])",
    ),
    _mode(
        "seed of minidl",
        "y = x + minidl.rand(3) + minidl.randn(3)",
        ["minidl.manual_seed(k)", "minidl.set_rng_state(STATE)", "minidl.rand(1)"],
        top="STATE = minidl.get_rng_state()",
    ),
    _mode(
        "dropout",
        "y = F.dropout(x, 0.5)",
        ["minidl.manual_seed(k)", "minidl.rand(2)"],
    ),
    _mode(
        "generator",
        "y = x + minidl.rand(3, generator=GENERATOR)",
        ["GENERATOR.manual_seed(7 + k)", "GENERATOR = minidl.Generator().manual_seed(k)"],
        top="GENERATOR = minidl.Generator()",
        local="GENERATOR.manual_seed(5)",
        declare="global GENERATOR",
    ),
    _mode(
        "seed that is read",
        "y = x * (1 + minidl.initial_seed() % 7)",
        ["SEED[0] = 3 + k"],
        top="SEED = [3]\n\n\n@contextlib.contextmanager\ndef seeded(seed):\n"
        "    minidl.manual_seed(seed)\n    yield\n",
        around="seeded(SEED[0])",
    ),
    _mode(
        "random",
        "y = x * random.random()",
        ["SEED[0] = 3 + k"],
        top="SEED = [3]\n\n\n@contextlib.contextmanager\ndef seeded(seed):\n"
        "    random.seed(seed)\n    yield\n",
        around="seeded(SEED[0])",
    ),
    _mode(
        "random of NumPy",
        "y = x * float(np.random.rand())",
        ["SEED[0] = 3 + k"],
        top="SEED = [3]\n\n\n@contextlib.contextmanager\ndef seeded(seed):\n"
        "    np.random.seed(seed)\n    yield\n",
        around="seeded(SEED[0])",
    ),
    _mode(
        "state of a generator of Python",
        "RANDOM.setstate(SAVED[0])\ny = x * RANDOM.uniform(1, 2)",
        ["SAVED[0] = random.Random(k).getstate()"],
        top="RANDOM = random.Random(0)\nSAVED = [RANDOM.getstate()]",
    ),
    _mode(
        "a generator of Python",
        "y = x * RANDOM.choice([1.0, 2.0, 3.0])",
        ["RANDOM.seed(k)", "RANDOM = random.Random(7 + k)"],
        top="RANDOM = random.Random(0)",
        declare="global RANDOM",
    ),
    _mode(
        "a generator of NumPy",
        "y = x * RANDOM.integers(1, 5)",
        ["RANDOM = np.random.default_rng(7 + k)"],
        top="RANDOM = np.random.default_rng(0)",
        declare="global RANDOM",
    ),
    _mode(
        "threads",
        "y = x * minidl.get_num_threads()",
        ["THREADS[0] = 1 + (k > 0)"],
        top="THREADS = [1]\n\n\n@contextlib.contextmanager\ndef threads(number):\n"
        "    before = minidl.get_num_threads()\n    minidl.set_num_threads(number)\n    try:\n"
        "        yield\n    finally:\n        minidl.set_num_threads(before)\n",
        around="threads(THREADS[0])",
    ),
)
