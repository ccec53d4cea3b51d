"""Arrays of `.npy` files, mapped into memory; nothing is ever unpickled.

Usage: `with open_array(Path("masks/scene.npy")) as array: array[:256]`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["open_array"]


@contextmanager
def open_array(path: Path) -> Iterator[NDArray[Any]]:
    """Yield the array of a file.

    Raises `FileNotFoundError`, `ValueError` for a file that holds Python objects, `OSError` for one
    that is no array, or truncated.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there, or is not a file: expected an array (.npy)")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "object" in str(error).lower():
            raise ValueError(
                f"{path} holds Python objects: expected an array of numbers"
            ) from error
        raise OSError(f"{path} is no readable array ({error}): fetch it again") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{path} is an archive of arrays: expected one array (.npy)")
    yield array
