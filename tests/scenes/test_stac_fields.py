import numpy as np
import pytest

from scenes.grid import Affine, Grid
from scenes.stac import bounding_box
from scenes.stac_fields import footprint, projection


def area(ring):
    """Signed area: positive for a counterclockwise ring."""
    x, y = np.array(ring).T
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


def test_a_clockwise_outline_becomes_a_counterclockwise_polygon():
    outline = [(7, 52), (10, 52), (10, 50), (7, 50), (7, 52)]
    geometry = footprint(outline)
    (ring,) = geometry["coordinates"]
    assert geometry["type"] == "Polygon"
    assert ring[0] == ring[-1] and area(ring) == pytest.approx(6)


@pytest.mark.parametrize("turn", [0, -360])
def test_an_outline_across_the_antimeridian_is_cut_there(turn):
    # 2 degrees west of it, 1 degree east of it, 2 high; named from either side.
    outline = [(x + turn, y) for x, y in ((178, 2), (181, 2), (181, 0), (178, 0), (178, 2))]
    geometry = footprint(outline)
    assert geometry["type"] == "MultiPolygon"
    areas = sorted(area(ring) for (ring,) in geometry["coordinates"])
    assert areas == pytest.approx([2, 4])
    longitudes = [x for (ring,) in geometry["coordinates"] for x, _ in ring]
    assert min(longitudes) == -180 and max(longitudes) == 180
    assert bounding_box(geometry) == [178, 0, -179, 2]


def test_projection_says_where_the_pixels_lie():
    grid = Grid((10, 20), Affine(0.5, 0, 3, 0, -0.5, 50), "EPSG:4326")
    assert projection(grid) == {
        "proj:code": "EPSG:4326",
        "proj:shape": [10, 20],
        "proj:transform": [0.5, 0, 3, 0, -0.5, 50],
        "proj:bbox": [3, 45, 13, 50],
    }
