"""Fetching an archive and unpacking it: all of it or nothing."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

_TIMEOUT = 30  # seconds without a byte
_PIECE = 1 << 16


class DownloadError(OSError):
    """A data set could not be downloaded; the message says what to do."""


def download_folder(url: str, md5: str, root: Path, folder: str, names: Sequence[str]) -> None:
    """Fetch a tar archive and make ``root/folder`` of its files ``folder/name``.

    The folder appears complete or not at all: everything happens in a temporary one beside
    it, which is removed whatever comes.

    Parameters
    ----------
    url, md5 : str
        The archive, and the MD5 sum that it must have.
    root : Path
        Where to; made if it is missing.
    folder, names : str, sequence of str
        What to take out of the archive; its other members are left in it.

    Raises
    ------
    DownloadError
        If there is no network, the sum differs or a file is missing.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
        archive = Path(temporary) / "archive"
        try:
            digest = _fetch(url, archive)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(
                f"cannot download {url}: {error}. Check the network and try again, or fetch the "
                f"file by other means and unpack it in {root}"
            ) from error
        if digest != md5:
            raise DownloadError(
                f"what came from {url} has the MD5 sum {digest} and not {md5}: it was cut short "
                "or changed on its way; try again"
            )
        unpacked = Path(temporary) / folder
        _unpack(archive, unpacked, folder, names)
        _move(unpacked, root / folder)


def _fetch(url: str, path: Path) -> str:
    """Write what is at ``url`` to ``path``; its MD5 sum."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, path.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        with tqdm(total=total or None, unit="B", unit_scale=True, desc=Path(url).name) as progress:
            while piece := response.read(_PIECE):
                file.write(piece)
                digest.update(piece)
                progress.update(len(piece))
    return digest.hexdigest()


def _unpack(archive: Path, target: Path, folder: str, names: Sequence[str]) -> None:
    """Write each ``folder/name`` of the archive to ``target/name``; paths in it have no say."""
    target.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                member = tar.extractfile(f"{folder}/{name}")
                if member is None:
                    raise DownloadError(f"{folder}/{name} in the downloaded archive is no file")
                with (target / name).open("wb") as file:
                    shutil.copyfileobj(member, file)
    except KeyError as error:
        raise DownloadError(f"the downloaded archive lacks a file: {error.args[0]}") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadError(f"the downloaded archive cannot be unpacked: {error}") from error


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError:
        # Another process may have been faster; what it put there is as good.
        if not target.is_dir():
            raise
