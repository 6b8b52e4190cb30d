"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """One server's numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        how = {"registry": self.registry}
        self.requests = Counter(
            "minidl_requests", "Requests answered", ["model", "route", "status"], **how
        )
        self.seconds = Histogram(
            "minidl_request_seconds", "Time to answer", ["model", "route"], buckets=_SECONDS, **how
        )
        self.batch = Histogram(
            "minidl_batch_pictures", "Pictures in a batch", ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128), **how,
        )  # fmt: skip
        self.waiting = Gauge("minidl_waiting_pictures", "Pictures in the queue", ["model"], **how)

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        return generate_latest(self.registry)

    def answered(self, model: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(model, route, str(status)).inc()
        self.seconds.labels(model, route).observe(seconds)

    def batched(self, model: str):
        """What a batcher tells of its batches."""
        batch, gauge = self.batch.labels(model), self.waiting.labels(model)

        def observe(size: int, waiting: int) -> None:
            batch.observe(size)
            gauge.set(waiting)

        return observe
