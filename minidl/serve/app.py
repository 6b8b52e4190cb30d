"""The routes: the Open Inference Protocol, single pictures, metrics and the page."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import minidl
from minidl.serve import pictures, protocol
from minidl.serve.batching import Settings
from minidl.serve.errors import RequestError
from minidl.serve.explanation import explain
from minidl.serve.guard import Guard
from minidl.serve.metrics import Metrics
from minidl.serve.model import ServedModel
from minidl.serve.openapi import description
from minidl.serve.registry import Registry

PAGE = Path(__file__).parent / "page"
_JSON_TYPES = ("application/json", "application/octet-stream", "")
_PICTURE_TYPES = ("image/", "application/octet-stream")

Handler = Callable[[Request], Awaitable[Response]]


def build(
    paths: Mapping[str, Path],
    settings: Settings | None = None,
    *,
    max_body: int = 10_000_000,
    token: str | None = None,
    body_seconds: float = 10.0,
) -> Guard:
    """The ASGI application that serves the models in these files, by name.

    CheckpointError or OSError if one cannot be loaded.
    """
    settings = settings or Settings()
    metrics = Metrics()
    service = Service(metrics)
    models = [ServedModel(name, path, settings.max_batch) for name, path in paths.items()]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        service.registry = Registry(models, settings, metrics)
        models.clear()  # so that one that is reloaded later is not kept
        yield
        await service.registry.close()

    routes = [
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
        Route("/openapi.json", openapi),
        Route("/metrics", service.metrics_text),
        Route("/v2", server_metadata),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", service.ready),
        Route("/predict", service.counted("predict", service.predict), methods=["POST"]),
        Route("/models", service.cards),
        Route("/v2/repository/index", service.index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", service.load, methods=["POST"]),
    ]
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/1"):
        routes += [
            Route(prefix, service.metadata),
            Route(f"{prefix}/ready", service.model_ready),
            Route(f"{prefix}/infer", service.counted("infer", service.infer), methods=["POST"]),
        ]
    failures = {RequestError: refused, HTTPException: missed, ClientDisconnect: gone}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=failures)
    return Guard(app, max_body, token, body_seconds)


# --------------------------------------------------------------------------- without a model


async def page(_request: Request) -> Response:
    """The page for people."""
    return FileResponse(PAGE / "index.html")


async def openapi(_request: Request) -> Response:
    """The description of all routes."""
    return JSONResponse(description())


async def live(_request: Request) -> Response:
    """That the server runs."""
    return JSONResponse({"live": True})


async def server_metadata(_request: Request) -> Response:
    """What the server is."""
    return JSONResponse(
        {"name": "minidl", "version": minidl.__version__, "extensions": ["binary_tensor_data"]}
    )


async def refused(_request: Request, error: RequestError) -> Response:
    """An error of ours as the protocol has it."""
    return JSONResponse({"error": error.message}, error.status, error.headers)


async def missed(_request: Request, error: HTTPException) -> Response:
    """Unknown paths and methods."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def gone(_request: Request, _error: ClientDisconnect) -> Response:
    """Nobody reads this."""
    return Response(status_code=400)


# --------------------------------------------------------------------------- with models


class Service:
    """The routes that know the models."""

    registry: Registry

    def __init__(self, metrics: Metrics):
        self.metrics = metrics

    def counted(self, route: str, handler: Handler) -> Handler:
        """A handler whose answers the metrics count."""

        async def handle(request: Request) -> Response:
            start, status = time.perf_counter(), 500
            name = request.path_params.get("model") or request.query_params.get("model")
            try:
                response = await handler(request)
                status = response.status_code
                return response
            except RequestError as error:
                status = error.status
                raise
            finally:
                known = name if name in self.registry.serving else ""
                self.metrics.answered(known, route, status, time.perf_counter() - start)

        return handle

    async def metrics_text(self, _request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def ready(self, _request: Request) -> Response:
        ready = self.registry.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        serving = self.registry.find(request.path_params["model"])
        return JSONResponse({"name": serving.model.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        model = self.registry.find(request.path_params["model"]).model
        shapes = [-1, *model.shape], [-1, len(model.classes)]
        inputs, outputs = (
            [{"name": name, "datatype": "FP32", "shape": shape}]
            for name, shape in zip((model.input_name, model.output_name), shapes)
        )
        facts = {"name": model.name, "versions": ["1"], "platform": "minidl"}
        return JSONResponse({**facts, "inputs": inputs, "outputs": outputs})

    async def infer(self, request: Request) -> Response:
        serving = self.registry.find(request.path_params["model"])
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in _JSON_TYPES:
            raise RequestError(415, f"the request must be application/json, not {kind!r}")
        body = await request.body()
        model = serving.model
        asked = protocol.decode(
            body,
            request.headers.get(protocol.HEADER),
            model.input_name,
            model.shape,
            model.output_name,
            self.registry.settings.capacity,
        )
        answer = await self.registry.find(model.name).batcher.submit(asked.pictures)
        content, headers = protocol.encode(asked, model.name, model.output_name, answer.logits)
        return Response(content, headers=headers)

    async def predict(self, request: Request) -> Response:
        start = time.perf_counter()
        serving = self.registry.find(request.query_params.get("model"))
        model = serving.model
        top = _top(request.query_params.get("top", "3"), len(model.classes))
        explained = request.query_params.get("explain", "0")
        if explained not in ("0", "1"):
            raise RequestError(400, f"explain must be 0 or 1, got {explained[:40]!r}")
        content = await _content(request)
        decoded = time.perf_counter()
        picture, inputs = await asyncio.to_thread(pictures.prepare, content, model.classifier)
        prepared = time.perf_counter()
        answer = await self.registry.find(model.name).batcher.submit(inputs)
        shares = _softmax(answer.logits[0])
        order = np.argsort(-shares, kind="stable")[:top]
        facts: dict[str, Any] = {
            "model": model.name,
            "classes": [{"name": model.classes[i], "probability": float(shares[i])} for i in order],
            "timings_ms": {
                "receive": 1e3 * (decoded - start),
                "decode": 1e3 * (prepared - decoded),
                "queue": 1e3 * answer.queued,
                "compute": 1e3 * answer.computed,
            },
        }
        if explained == "1":
            args = model.classifier, picture, inputs, int(order[0])
            began = time.perf_counter()
            facts["explanation"] = await asyncio.to_thread(explain, *args)
            facts["timings_ms"]["explain"] = 1e3 * (time.perf_counter() - began)
        return JSONResponse(facts)

    async def cards(self, _request: Request) -> Response:
        return JSONResponse({"models": [s.model.card() for s in self.registry.serving.values()]})

    async def index(self, _request: Request) -> Response:
        names = self.registry.serving
        return JSONResponse([{"name": n, "version": "1", "state": "READY"} for n in names])

    async def load(self, request: Request) -> Response:
        await self.registry.reload(request.path_params["model"])
        return JSONResponse({})


async def _content(request: Request) -> bytes:
    """The picture of a body, or of the field "file" of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8) as form:
            file = form.get("file")
            if file is None or isinstance(file, str):
                raise RequestError(400, 'the form has no file in its field "file"')
            return await file.read()
    if not kind.startswith(_PICTURE_TYPES):
        raise RequestError(415, f"send a picture, or a form with one, not {kind or 'nothing'!r}")
    return await request.body()


def _top(text: str, classes: int) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text[:9]) >= 1:
        raise RequestError(400, f"top must be a positive whole number, got {text[:40]!r}")
    return min(int(text[:9]), classes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()
