"""The input pipeline alone: flip, rotation and conversion of pictures of 32x32 pixels."""

from benchmarks.workload import Target, Workload

_AT_ONCE, _EPOCH = 500, 4000

WORKLOADS = [
    Workload(
        name="flip + rotation + ToTensor, one thread",
        family="input pipeline",
        kind="augmentation",
        contenders=("minidl", "Pillow"),
        options={"count": _AT_ONCE},
        peer="Pillow",
        unit="pictures/s",
        count=_AT_ONCE,
        targets=(Target("minidl", 20.0),),
    ),
    Workload(
        name=f"loader, batch 4, 2 workers, {_EPOCH:,} pictures",
        family="input pipeline",
        kind="loader",
        contenders=("minidl", "PyTorch"),
        options={"count": _EPOCH, "batch": 4, "workers": 2},
        unit="pictures/s",
        count=_EPOCH,
        targets=(Target("minidl", 20.0),),
    ),
]
