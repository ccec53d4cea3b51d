"""What patches could have been as well: turned, mirrored, and at the end of a scene.

Usage: `turned = d4(images, np.random.default_rng(1).integers(8, size=len(images)))`

A satellite sees the ground from above, so that a patch turned or mirrored is as likely as it was.
The published training drew four of the eight: its two flips shared one seed (IPL-UV/pvl8dagans,
dagans/utils.py).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["ELEMENTS", "d4", "with_edges"]

# The order of the group: 0-3 are quarter turns, 4-7 the same and then mirrored left to right.
ELEMENTS = 8

Scalar = TypeVar("Scalar", bound=np.generic)


def d4(images: NDArray[Scalar], elements: NDArray[np.integer]) -> NDArray[Scalar]:
    """Return each image turned and mirrored as its element of the group says.

    `images` is `(n, size, size)`, `(n, size, size, channels)` or a series of such,
    `(n, times, size, size, channels)`, of any dtype, `elements` `(n,)` integers 0-7: `element % 4`
    quarter turns anticlockwise, then mirrored left to right from 4 on. The result has the shape and
    dtype of `images`. Raises `ValueError` for images that are not square, and for other elements
    than one of 0-7 for each image.
    """
    rows, columns = (2, 3) if images.ndim == 5 else (1, 2)
    if images.ndim not in (3, 4, 5) or images.shape[rows] != images.shape[columns]:
        raise ValueError(
            f"images of shape {images.shape} cannot be turned: expected (n, size, size), "
            "(n, size, size, channels) or (n, times, size, size, channels); cut square patches, "
            "or train without augmentation"
        )
    if elements.shape != images.shape[:1] or not np.isin(elements, range(ELEMENTS)).all():
        raise ValueError(f"expected {len(images)} elements of 0-{ELEMENTS - 1}, one for each image")
    turned = np.empty_like(images)
    for element in range(ELEMENTS):
        chosen = elements == element
        if chosen.any():
            rotated = np.rot90(images[chosen], element % 4, axes=(rows, columns))
            turned[chosen] = rotated if element < 4 else np.flip(rotated, columns)
    return turned


def with_edges(
    image: NDArray[np.float32], cloud: NDArray[np.float32], share: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return patches of which about a `share` has no data beyond a random line, as at scenes' ends.

    `image` is `(n, height, width, bands)`, there 0, and `cloud` `(n, height, width)`, there -1. The
    line goes by the patch's centre within half of its size; it follows from `seed`.
    """
    count, height, width = cloud.shape
    draw = np.random.default_rng(seed)
    patches = (count, 1, 1)
    chosen = draw.random(patches) < share
    angle = draw.uniform(0, 2 * np.pi, patches)
    reach = draw.uniform(0, 0.5, patches) * min(height, width)
    row, column = np.indices((height, width))
    across = (row - (height - 1) / 2) * np.sin(angle) + (column - (width - 1) / 2) * np.cos(angle)
    beyond = chosen & (across > reach)
    return (
        np.where(beyond[..., None], np.float32(0), image),
        np.where(beyond, np.float32(-1), cloud),
    )
