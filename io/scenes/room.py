"""Is there room on a disk for what is about to be written? Asked before the first byte is.

Usage: `check_room(Path("catalogue"), 10**9)`
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

__all__ = ["check_room"]


def check_room(folder: Path, missing: int) -> None:
    """Raise `OSError` (`ENOSPC`) unless the disk of `folder` has room for `missing` bytes."""
    free = shutil.disk_usage(folder).free
    if missing > free:
        message = f"{missing:,} bytes are needed, {free:,} are free: make room"
        raise OSError(errno.ENOSPC, message, str(folder))
