"""The folder in which a training keeps its state, so that a later process can go on with it.

Usage: `folder = StateFolder(path, identity)`, `folder.save(arrays, {"step": 120})`, `folder.load()`

A state is one file, `state-<step>-<digest>.npz`: arrays, and a header in JSON; nothing in it is
ever executed. It appears whole, and its name holds the digest of its bytes, so that a damaged one
is told. The last two are kept.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "StateFolder"]

Arrays = Mapping[str, NDArray[Any]]

_log = logging.getLogger(__name__)
_NAME = re.compile(r"state-(\d{9,})-([0-9a-f]{32})\.npz")
_PARTIAL = "state.partial"
_HEADER = "header"
# Of a member of the archive: names, sizes, the array's own header.
_OVERHEAD = 1024
_KEPT = 2
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class StateFolder:
    """The states at `path` of the run that `identity` tells from others (its options and data)."""

    path: Path
    identity: str

    def save(self, arrays: Arrays, header: Mapping[str, Any]) -> None:
        """Keep a state: arrays by name, and a header of what JSON can hold, with the `step` made.

        Raises `OSError` where it cannot be written; the states before it are as they were.
        """
        note = json.dumps({"identity": self.identity, **header})
        members = {_HEADER: np.frombuffer(note.encode(), np.uint8), **arrays}
        partial = self.path / _PARTIAL
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            needed = sum(array.nbytes + _OVERHEAD for array in members.values())
            free = shutil.disk_usage(self.path).free
            if free < needed:
                raise OSError(errno.ENOSPC, f"{needed:,} bytes are needed, {free:,} are free")
            digest = _write(partial, members)
            target = self.path / f"state-{header['step']:09d}-{digest}.npz"
            partial.replace(target)
            _flush(self.path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise self._explained(error, int(header["step"])) from error
        earlier = [path for path in self._states() if _step(path) < _step(target)]
        for path in self._states():
            if path not in (target, *earlier[: _KEPT - 1]):
                path.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Return the arrays and the header of the last state that is whole, None where none is.

        Damaged states are removed with a warning; those of another identity with a line in the log.
        Raises `OSError` where the folder cannot be made, read or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, "no permission to write there")
            for path in self._states():
                state = self._read(path)
                if state is None:
                    _log.warning("%s is damaged: removed, for the one before it", path)
                    path.unlink()
                    continue
                if state[1].pop("identity", None) == self.identity:
                    return state
                _log.info("options or data changed: begins anew, without the states in %s", path)
                for other in self._states():
                    other.unlink()
                break
        except OSError as error:
            raise self._explained(error, None) from error
        return None

    def _states(self) -> list[Path]:
        """Return the files of states, the last step first."""
        found = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=_step, reverse=True)

    def _read(self, path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        if not path.name.endswith(f"-{_digest(path)}.npz"):
            return None
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        return arrays, json.loads(arrays.pop(_HEADER).tobytes())

    def _explained(self, error: OSError, step: int | None) -> OSError:
        """Return the error with what it stopped, and what to do."""
        if step is None:
            return OSError(
                error.errno,
                f"cannot use {self.path} for the state of the training ({error}): expected a "
                "folder that can be read and written; change its permissions or name another",
            )
        kept = next((_step(path) for path in self._kept()), 0)
        left = f"the one of step {kept} is kept" if kept else "no earlier one is there"
        remedy = "make room" if error.errno in _FULL else "see that it can be written"
        return OSError(
            error.errno,
            f"cannot write the state of step {step} to {self.path} ({error}); {left}: {remedy}, "
            f"then run the same command again, it goes on from step {kept}",
        )

    def _kept(self) -> list[Path]:
        try:
            return self._states()
        except OSError:
            return []


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])


def _write(path: Path, members: Arrays) -> str:
    """Write an archive as `np.savez` does, down to the disk; return the digest of its bytes."""
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in members.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _flush(folder: Path) -> None:
    """Write the folder's entries down to the disk, where its file system lets one."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        pass
    finally:
        os.close(number)
