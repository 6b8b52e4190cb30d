"""What a process pays once: importing, its first steps, and the memory of a step."""

from benchmarks.workload import Target, Workload

_EAGER = ("minidl", "minidl compiled", "PyTorch", "JAX")
_FAMILY = "process"


def _first_steps(name: str, targets: tuple[Target, ...], cold: bool) -> Workload:
    return Workload(
        name=f"article, batch 4, first 3 steps, {name}",
        family=_FAMILY,
        kind="first_steps",
        contenders=_EAGER,
        options={"network": "article", "batch": 4, "steps": 3},
        unit="s",
        targets=targets,
        alone=True,
        cold=cold,
        rounds=1 if cold else 3,
    )


WORKLOADS = [
    Workload(
        name="import",
        family=_FAMILY,
        kind="importing",
        contenders=("minidl", "PyTorch", "JAX"),
        unit="s",
        alone=True,
        rounds=3,
    ),
    _first_steps("cold", (Target("minidl", most=20.0), Target("minidl compiled", most=20.0)), True),
    _first_steps("warm", (Target("minidl", most=1.0), Target("minidl compiled", most=1.0)), False),
    Workload(
        name="article, batch 512, peak memory of a training step",
        family=_FAMILY,
        kind="peak_memory",
        contenders=_EAGER,
        options={"network": "article", "batch": 512},
        unit="MB",
        targets=(Target("minidl", 1.0), Target("minidl compiled", 1.0)),
        alone=True,
        rounds=3,
    ),
]


def whole_program(data: str) -> Workload:
    """The article's program from start to finish; ``data`` holds ``cifar-10-batches-py``."""
    return Workload(
        name="article, whole program, 2 epochs",
        family=_FAMILY,
        kind="program",
        contenders=("minidl", "minidl compiled", "PyTorch"),
        options={"data": data},
        unit="s",
        targets=(Target("minidl", 6.0), Target("minidl compiled", 6.0, 12.0)),
        alone=True,
        rounds=2,
    )
