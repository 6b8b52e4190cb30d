"""The models that are served, each with its batcher; a new version takes the place of the old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from minidl.serialization import CheckpointError
from minidl.serve.batching import Batcher, Settings
from minidl.serve.errors import RequestError
from minidl.serve.metrics import Metrics
from minidl.serve.model import ServedModel


class Serving:
    """A model and what computes its batches."""

    def __init__(self, model: ServedModel, settings: Settings, metrics: Metrics):
        self.model = model
        self.batcher = Batcher(model.logits, settings, metrics.batched(model.name))


class Registry:
    """Models by name. It belongs to the event loop in which it is made."""

    def __init__(self, models: Iterable[ServedModel], settings: Settings, metrics: Metrics):
        self.settings, self.metrics = settings, metrics
        self.serving = {model.name: Serving(model, settings, metrics) for model in models}
        self.reloading = asyncio.Lock()
        self.ready = True

    async def reload(self, name: str) -> None:
        """Read a model's file again; requests go to the old one until the new one is ready.

        RequestError 400 if the file cannot be served: then the old one stays.
        """
        path, most = self.find(name).model.path, self.settings.max_batch
        async with self.reloading:
            try:
                model = await asyncio.to_thread(ServedModel, name, path, most)
            except (CheckpointError, OSError) as error:
                raise RequestError(400, f"{name} stays as it was: {error}") from None
            old, self.serving[name] = (
                self.serving[name],
                Serving(model, self.settings, self.metrics),
            )
            await asyncio.to_thread(old.batcher.close)  # when all that it has taken is answered

    def find(self, name: str | None) -> Serving:
        """A model by its name, or the first; RequestError 404 if there is none."""
        if name is None:
            return next(iter(self.serving.values()))
        if name not in self.serving:
            raise RequestError(404, f"there is no model {name!r}")
        return self.serving[name]

    async def close(self) -> None:
        """Compute what waits, and stop."""
        self.ready = False
        for serving in self.serving.values():
            await asyncio.to_thread(serving.batcher.close)
