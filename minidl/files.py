"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets


def write_atomically(path: str | os.PathLike, content: bytes, what: str) -> None:
    """At any moment ``path`` is what it was or all of ``content``, even if power fails.

    A process that is killed in the middle may leave a file ``.NAME.*.tmp``, which nobody reads.
    OSError if the file cannot be written; its message calls the content ``what``.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {what}, {error.strerror}", path) from None


def _sync_folder(folder: str) -> None:
    """Have the new name of the file on the disk as well; only POSIX opens folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
