"""The models that are served, each with its batcher; a new version takes the place of the old."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

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
    """Models by name; ``paths`` are their files."""

    def __init__(self, paths: Mapping[str, Path], settings: Settings, metrics: Metrics):
        self.paths, self.settings, self.metrics = dict(paths), settings, metrics
        self.serving: dict[str, Serving] = {}
        self.reloading = asyncio.Lock()
        self.ready = False

    async def start(self) -> None:
        """Load all models; CheckpointError or OSError for one that cannot be."""
        for name in self.paths:
            await self._load(name)
        self.ready = True

    async def _load(self, name: str) -> None:
        model = await asyncio.to_thread(
            ServedModel, name, self.paths[name], self.settings.max_batch
        )
        old = self.serving.get(name)
        self.serving[name] = Serving(model, self.settings, self.metrics)
        if old is not None:
            await asyncio.to_thread(old.batcher.close)  # when all that it has taken is answered

    async def reload(self, name: str) -> None:
        """Read a model's file again; requests go to the old one until the new one is ready.

        RequestError 400 if the file cannot be served: then the old one stays.
        """
        self.find(name)
        async with self.reloading:
            try:
                await self._load(name)
            except (CheckpointError, OSError) as error:
                raise RequestError(400, f"{name} stays as it was: {error}") from None

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
