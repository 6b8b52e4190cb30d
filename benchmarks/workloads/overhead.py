"""What autograd costs for each operator: a chain of products of scalars."""

from benchmarks.workload import Target, Workload

_LENGTH = 1000


def _chain(name: str, backward: bool) -> Workload:
    return Workload(
        name=f"{_LENGTH:,} scalar operators, {name}",
        family="autograd's overhead",
        kind="chain",
        contenders=("minidl", "PyTorch"),
        options={"length": _LENGTH, "backward": backward},
        unit="µs",
        count=_LENGTH,
        targets=(Target("minidl", above=2.0),),
        compared=True,
    )


WORKLOADS = [_chain("forward", False), _chain("forward + backward", True)]
