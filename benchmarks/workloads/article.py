"""The article's network: its training step and its inference."""

from benchmarks.networks import inference_flops, training_flops
from benchmarks.workload import Target, Workload

_BATCHES = (1, 4, 32, 128, 512)
_WITHOUT_COMPILER = ("minidl", "minidl compiled", "PyTorch", "JAX")
_ALL = ("minidl", "minidl compiled", "PyTorch", "torch.compile", "JAX")
_COMPILED = (4, 128)
"""The batches for which torch.compile takes part: each costs it half a minute."""


def _both(times: float) -> tuple[Target, ...]:
    return Target("minidl", times), Target("minidl compiled", times)


_TRAINING_TARGETS = {
    4: (Target("minidl", 2.0), Target("minidl compiled", 4.0, aim=8.0)),
    128: _both(1.6),
}
_INFERENCE_TARGETS = {1: _both(2.0), 128: _both(2.0)}


def _training(batch: int) -> Workload:
    return Workload(
        name=f"article, training step, batch {batch}",
        family="article's network",
        kind="training_step",
        contenders=_ALL if batch in _COMPILED else _WITHOUT_COMPILER,
        options={"network": "article", "batch": batch},
        flops=training_flops("article", batch),
        targets=_TRAINING_TARGETS.get(batch, ()),
        steps=25 if batch > 128 else 100,
    )


def _inference(batch: int) -> Workload:
    return Workload(
        name=f"article, inference, batch {batch}",
        family="article's network",
        kind="inference",
        contenders=_ALL if batch == 128 else _WITHOUT_COMPILER,
        options={"network": "article", "batch": batch},
        flops=inference_flops("article", batch),
        targets=_INFERENCE_TARGETS.get(batch, ()),
        compared=True,
    )


WORKLOADS = [*map(_training, _BATCHES), *map(_inference, _BATCHES)]
