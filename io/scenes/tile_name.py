"""The name of the 100 km square in which a raster lies, as Sentinel-2 tiles are called.

Usage: `tile_name(grid)  # "T29RPQ"`

MGRS (NGA.STND.0037, 2014): the zone, the latitude band of 8 degrees, and a square of 100 km.
"""

from __future__ import annotations

import numpy as np
from rasterio.warp import transform

from scenes.grid import Grid

__all__ = ["tile_name"]

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_SQUARE = 100_000


def tile_name(grid: Grid) -> str:
    """Return the tile of the square in which the middle of `grid` lies.

    Raises `ValueError` for a CRS that is no UTM zone (EPSG:326zz, EPSG:327zz).
    """
    code = grid.crs.removeprefix("EPSG:")
    if not (code.isdigit() and int(code) // 100 in (326, 327) and 1 <= int(code) % 100 <= 60):
        raise ValueError(
            f"expected a grid in a UTM zone (EPSG:326zz or EPSG:327zz), not {grid.crs}"
        )
    zone = int(code) % 100
    x, y = grid.transform * (grid.width / 2, grid.height / 2)
    _, (latitude, *_) = transform(grid.crs, "EPSG:4326", [x], [y])
    band = _BANDS[int(np.clip((latitude + 80) // 8, 0, len(_BANDS) - 1))]
    # False northing of the south: 10,000 km, a whole number of the rows' 2,000 km.
    column = _COLUMNS[zone % 3][int(x // _SQUARE) - 1]
    row = _ROWS[(int(y // _SQUARE) + (5 if zone % 2 == 0 else 0)) % len(_ROWS)]
    return f"T{zone:02d}{band}{column}{row}"
