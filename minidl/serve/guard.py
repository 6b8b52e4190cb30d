"""What every request goes through first: limits on its body, a token, and headers for browsers.

These are ASGI applications around another one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from minidl.serve.errors import RequestError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 10.0
"""For a body to arrive: a client that takes longer is told so."""

_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

OPEN = ("/v2/health/", "/page/")
"""What needs no token, and the page itself: it asks for one."""


class Guard:
    """Limits, token and headers in front of ``app``.

    Parameters
    ----------
    app : ASGI application
    max_body : int
        Bytes.
    token : str or None
        What requests must bring as ``Authorization: Bearer TOKEN``.
    seconds : float
        For a body to arrive.
    """

    def __init__(
        self, app: App, max_body: int, token: str | None = None, seconds: float = BODY_SECONDS
    ):
        self.app, self.max_body, self.seconds = app, max_body, seconds
        self.token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            headers = dict(scope["headers"])
            self._check_token(scope["path"], headers)
            self._check_length(headers)
        except RequestError as error:
            await refuse(error, send_with_headers)
            return
        await self.app(scope, self._limited(receive), send_with_headers)

    def _check_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self.token is None or path == "/" or path.startswith(OPEN):
            return
        if not hmac.compare_digest(headers.get(b"authorization", b""), self.token):
            raise RequestError(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

    def _check_length(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.max_body:
            raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self.max_body:,} bytes")

    def _limited(self, receive: Receive) -> Receive:
        """``receive`` that counts bytes and seconds of the body."""
        end, read, complete = None, 0, False
        loop = asyncio.get_running_loop()

        async def limited() -> dict[str, Any]:
            nonlocal end, read, complete
            if complete:  # what comes now is that the client has gone
                return await receive()
            end = loop.time() + self.seconds if end is None else end
            try:
                message = await asyncio.wait_for(receive(), end - loop.time())
            except asyncio.TimeoutError:
                raise RequestError(408, f"the body took more than {self.seconds:g} s") from None
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > self.max_body:
                raise self._too_large()
            return message

        return limited


async def refuse(error: RequestError, send: Send) -> None:
    """Answer with an error, and close the connection: its body has not been read."""
    body = json.dumps({"error": error.message}).encode()
    headers = {"content-type": "application/json", "connection": "close", **error.headers}
    encoded = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
