"""A request that is answered with an error."""

from __future__ import annotations


class RequestError(Exception):
    """Says with which status, and what was wrong."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
