"""The OpenAPI description of the routes."""

from __future__ import annotations

from typing import Any

import minidl

_NAME = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The model's name",
}


def _answer(text: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": schema or {"type": "object"}}}
    return {"description": text, "content": content}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_ERRORS = {
    "400": _answer("What is wrong with the request", _ERROR),
    "401": _answer("A token is needed", _ERROR),
    "404": _answer("There is no such model", _ERROR),
    "408": _answer("The body took too long", _ERROR),
    "413": _answer("The body or the picture is too large", _ERROR),
    "415": _answer("A type that is not taken", _ERROR),
    "500": _answer("The model failed", _ERROR),
    "503": _answer("The queue is full; Retry-After says when to come again", _ERROR),
    "504": _answer("The model took too long", _ERROR),
}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "enum": ["FP32"]},
        "data": {"type": "array", "items": {"type": "number"}},
        "parameters": {"type": "object"},
    },
}
_INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": {"type": "object"}},
        "parameters": {"type": "object"},
    },
}
_PREDICTION = {
    "type": "object",
    "required": ["model", "classes", "timings_ms"],
    "properties": {
        "model": {"type": "string"},
        "classes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "probability"],
                "properties": {
                    "name": {"type": "string"},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        },
        "timings_ms": {"type": "object", "additionalProperties": {"type": "number"}},
        "explanation": {"type": ["string", "null"]},
    },
}


def _get(summary: str, parameters: list | None = None, **answers: Any) -> dict[str, Any]:
    known = {"200": _answer("Done"), "401": _ERRORS["401"], **answers}
    operation: dict[str, Any] = {"summary": summary, "responses": known}
    if parameters:
        operation["parameters"] = parameters
        known["404"] = _ERRORS["404"]
    return {"get": operation}


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _predict() -> dict[str, Any]:
    picture = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
    }
    kinds = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
    content = {**dict.fromkeys(kinds, picture), "multipart/form-data": form}
    return {
        "post": {
            "summary": "The likeliest classes of a picture",
            "parameters": [
                _query("model", {"type": "string"}, "by default the first"),
                _query("top", {"type": "integer", "minimum": 1}, "classes; 3 by default"),
                _query("explain", {"type": "string", "enum": ["0", "1"]}, "with a heat map"),
            ],
            "requestBody": {"required": True, "content": content},
            "responses": {"200": _answer("The classes", _PREDICTION), **_ERRORS},
        }
    }


def _infer() -> dict[str, Any]:
    return {
        "post": {
            "summary": "Logits of a tensor of pictures",
            "parameters": [_NAME],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _INFER}},
            },
            "responses": {"200": _answer("The outputs"), **_ERRORS},
        }
    }


def description() -> dict[str, Any]:
    """The whole of it."""
    paths: dict[str, Any] = {
        "/v2": _get("What the server is"),
        "/v2/health/live": _get("Whether the server runs"),
        "/v2/health/ready": _get("Whether models are loaded", **{"503": _answer("Not yet")}),
        "/models": _get("The models' cards"),
        "/predict": _predict(),
        "/v2/repository/index": {
            "post": {
                "summary": "The models",
                "responses": {"200": _answer("Done", {"type": "array"})},
            }
        },
        "/v2/repository/models/{model}/load": {
            "post": {
                "summary": "Read a model's file again",
                "parameters": [_NAME],
                "responses": {"200": _answer("Done"), **_ERRORS},
            }
        },
    }
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/1"):
        paths[prefix] = _get("What a model takes and returns", [_NAME])
        paths[f"{prefix}/ready"] = _get("Whether a model is ready", [_NAME])
        paths[f"{prefix}/infer"] = _infer()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "minidl",
            "version": minidl.__version__,
            "description": "The Open Inference Protocol, and single pictures.",
        },
        "paths": paths,
    }
