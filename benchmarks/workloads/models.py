"""Larger networks on pictures of 32x32 pixels; dropout would draw other numbers elsewhere."""

from benchmarks.networks import training_flops
from benchmarks.workload import Target, Workload

_CONTENDERS = ("minidl", "minidl compiled", "PyTorch")


def _both(times: float) -> tuple[Target, ...]:
    return Target("minidl", times), Target("minidl compiled", times)


def _training(
    name: str, network: str, batch: int, steps: int, targets: tuple[Target, ...] = ()
) -> Workload:
    return Workload(
        name=f"{name}, training step, batch {batch}",
        family="larger networks",
        kind="training_step",
        contenders=_CONTENDERS,
        options={"network": network, "batch": batch},
        flops=training_flops(network, batch),
        targets=targets,
        steps=steps,
        rounds=3 if network == "vgg11" else None,
    )


WORKLOADS = [
    _training("recipe fast", "fast", 128, 10),
    _training("ResNet-18", "resnet18", 32, 3, _both(0.7)),
    _training("VGG-11 without dropout", "vgg11", 32, 3, _both(0.7)),
]
