"""Messages between a loader and its workers: arrays without detours, errors with their text."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


def pack(message: Any) -> list:
    """``message`` as buffers to send: a pickle, and beside it the memory of its arrays."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    return [body, *(buffer.raw() for buffer in buffers)]


def send(connection: Connection, parts: Sequence) -> None:
    """Send what `pack` made."""
    connection.send([len(part) for part in parts])
    for part in parts:
        connection.send_bytes(part)


def receive(connection: Connection) -> Any:
    """The message that `send` sent; its arrays can be written to."""
    parts = [np.empty(size, np.uint8) for size in connection.recv()]
    for part in parts:
        connection.recv_bytes_into(part)
    return pickle.loads(parts[0], buffers=parts[1:])


class Failure:
    """An exception on its way from a worker to the consumer.

    Parameters
    ----------
    error : Exception
        What was raised. If it cannot be pickled, a RuntimeError takes its place.
    where : str
        Who raised it.
    """

    def __init__(self, error: Exception, where: str):
        text = "".join(traceback.format_exception(error))
        self.cause = WorkerTraceback(f"in {where}\n\n{text}")
        self.error = error if _survives(error) else RuntimeError(f"{type(error).__name__}: {error}")

    def reraise(self) -> None:
        """Raise the exception here, with the worker's traceback as its cause."""
        raise self.error from self.cause


class WorkerTraceback(Exception):
    """The text of a worker's traceback, shown above the exception that came out of it."""


def _survives(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # whatever its own methods may raise
        return False
