"""The server's process: a socket, uvicorn, and an end without a lost request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from minidl.serve.guard import App

_GRACE = 30  # seconds for requests under way when the server is asked to end


class _Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT when what is under way is answered, with exit code 0."""

    said = ""  # once requests are taken

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.said, file=sys.stderr, flush=True)


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. OSError if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where it reads that this is TCP
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in ("localhost", "::1") or host.startswith("127.")


def serve(app: App, listening: socket.socket, started: str) -> int:
    """Serve until asked to end; print ``started`` once requests are taken. The exit code."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )
    server = _Server(config)
    server.said = started
    server.run([listening])
    return 0 if server.started else 1
