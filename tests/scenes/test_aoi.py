import json

import numpy as np
import pytest
from pyproj import Transformer

from scenes.aoi import read_aoi
from scenes.grid import Affine, Grid, Rows, strips

# Marburg, 30 m.
UTM = Grid((120, 150), Affine(30, 0, 480000, 0, -30, 5630000), "EPSG:32632")
SQUARE = [[8.72, 50.80], [8.76, 50.80], [8.76, 50.81], [8.72, 50.81], [8.72, 50.80]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [list(map(list, ring)) for ring in rings]}


def multipolygon(*polygons):
    return {"type": "MultiPolygon", "coordinates": [one["coordinates"] for one in polygons]}


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "area.geojson"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def box(left, bottom, right, top):
    return [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]


def inside_rings(rings, x, y):
    """Crossing number of each point with straight edges: odd = inside."""
    crossings = np.zeros(x.shape, int)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:], strict=False):
            if y0 != y1:
                above = (y0 > y) != (y1 > y)
                crossings += above & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return crossings % 2 == 1


def centres(grid, columns=0.5, rows=0.5):
    """Longitudes and latitudes of a point in each pixel, from PROJ."""
    r, c = np.indices(grid.shape)
    x = grid.transform.c + grid.transform.a * (c + columns)
    y = grid.transform.f + grid.transform.e * (r + rows)
    if grid.crs == "EPSG:4326":
        return x, y
    return Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True).transform(x, y)


def assert_inside(aoi, grid, polygons, turn=lambda x: x):
    """Compare with points in polygons; only a pixel whose centre is within 0.1 of an edge may
    differ."""
    points = []
    for dc, dr in ((0, 0), (0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        x, y = centres(grid, 0.5 + dc, 0.5 + dr)
        points.append(np.any([inside_rings(rings, turn(x), y) for rings in polygons], axis=0))
    sure = np.all([one == points[0] for one in points], axis=0)
    inside = ~aoi.outside(grid, Rows(0, grid.height))
    assert inside.shape == grid.shape and inside.dtype == bool
    np.testing.assert_array_equal(inside[sure], points[0][sure])
    assert 0 < points[0].sum() < points[0].size, "the case shows something"
    assert sure.mean() > 0.9


def test_a_pixel_is_inside_where_its_centre_is(save):
    grid = Grid((4, 5), Affine(1, 0, 10, 0, -1, 50), "EPSG:4326")
    aoi = read_aoi(save(polygon(box(10.6, 47.4, 13.4, 49.6))))
    expected = np.ones((4, 5), bool)
    expected[0:3, 1:3] = False
    # Row 0 has its centre at 49.5, row 2 at 47.5; column 0 at 10.5, column 3 at 13.5.
    np.testing.assert_array_equal(aoi.outside(grid, Rows(0, 4)), expected)
    np.testing.assert_array_equal(aoi.outside(grid, Rows(2, 4)), expected[2:])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda geometry: geometry,
        lambda geometry: {"type": "Feature", "properties": None, "geometry": geometry},
        lambda geometry: {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "properties": {}, "geometry": None},
                {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}},
                {"type": "Feature", "properties": {}, "geometry": geometry},
            ],
        },
        lambda geometry: {"type": "GeometryCollection", "geometries": [geometry]},
        lambda geometry: multipolygon(geometry),
        lambda geometry: {
            "type": "Polygon",
            "coordinates": [[[*position, 250.0] for position in geometry["coordinates"][0]]],
        },
        lambda geometry: {"crs": None, **geometry},
    ],
)
def test_every_kind_of_geojson_gives_the_same_area(save, wrap):
    plain = read_aoi(save(polygon(SQUARE))).outside(UTM, Rows(0, 120))
    assert not plain.all() and plain.any()
    np.testing.assert_array_equal(
        read_aoi(save(wrap(polygon(SQUARE)))).outside(UTM, Rows(0, 120)), plain
    )


def test_holes_and_overlapping_parts(save):
    hole = box(8.735, 50.803, 8.745, 50.807)
    other = box(8.75, 50.805, 8.77, 50.815)
    aoi = read_aoi(save(multipolygon(polygon(SQUARE, hole), polygon(other))))
    assert_inside(aoi, UTM, [[SQUARE, hole], [other]])


def test_edges_are_straight_in_longitude_and_latitude(save):
    # Over 3 degrees at 60 N a parallel bulges by 20 km from the chord of the map.
    grid = Grid((300, 400), Affine(500, 0, 400000, 0, -500, 6740000), "EPSG:32632")
    rings = [[(6, 60), (12, 60.3), (12, 60.7), (9, 60.2), (6, 60.6), (6, 60)]]
    assert_inside(read_aoi(save(polygon(*rings))), grid, [rings])


def test_an_area_much_larger_than_the_scene(save):
    half = [(-180, -90), (8.72, -90), (8.76, 90), (-180, 90), (-180, -90)]
    aoi = read_aoi(save(polygon(half)))
    assert_inside(aoi, UTM, [[half]])
    world = read_aoi(save(polygon(box(-180, -90, 180, 90))))
    assert not world.outside(UTM, Rows(0, 120)).any()
    around = [[box(-180, -90, 180, 90), SQUARE]]
    assert_inside(read_aoi(save(polygon(*around[0]))), UTM, around)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_strips_are_the_whole(save, rows):
    aoi = read_aoi(save(polygon([(8.7, 50.79), (8.78, 50.8), (8.74, 50.82), (8.7, 50.79)])))
    whole = aoi.outside(UTM, Rows(0, 120))
    parts = [aoi.outside(UTM, part) for part in strips(120, rows)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    "grid",
    [
        # Fiji, the western and the eastern zone; and as longitudes from either side.
        Grid((100, 120), Affine(2000, 0, 720000, 0, -2000, 8200000), "EPSG:32760"),
        Grid((100, 120), Affine(2000, 0, 100000, 0, -2000, 8200000), "EPSG:32701"),
        Grid((60, 80), Affine(0.05, 0, 178, 0, -0.05, -16), "EPSG:4326"),
        Grid((60, 80), Affine(0.05, 0, -182, 0, -0.05, -16), "EPSG:4326"),
    ],
    ids=["zone 60", "zone 1", "east", "west"],
)
def test_an_area_cut_at_the_antimeridian_is_whole(save, grid):
    east, west = box(179, -18, 180, -16.5), box(-180, -18, -179.2, -16.5)
    aoi = read_aoi(save(multipolygon(polygon(east), polygon(west))))
    one = box(179, -18, 180.8, -16.5)
    assert_inside(aoi, grid, [[one]], turn=lambda x: x % 360)
    assert aoi.overlaps(grid)


def test_metres_across_the_antimeridian(save):
    # From 179.6 to -179.6 degrees; zone 60 ends between.
    to_zone = Transformer.from_crs("OGC:CRS84", 32760, always_xy=True).transform
    (left, right), (bottom, top) = to_zone([179.6, -179.6], [-17.2, -17.0])
    content = polygon(box(left, bottom, right, top))
    content["crs"] = {"type": "name", "properties": {"name": "EPSG:32760"}}
    grid = Grid((40, 100), Affine(0.01, 0, 179.5, 0, -0.01, -16.9), "EPSG:4326")
    columns = np.flatnonzero((~read_aoi(save(content)).outside(grid, Rows(0, 40))).any(axis=0))
    assert columns[0] == pytest.approx(10, abs=2) and columns[-1] == pytest.approx(89, abs=2)
    assert len(columns) == columns[-1] - columns[0] + 1


def test_around_a_pole(save):
    grid = Grid((100, 100), Affine(20000, 0, -1000000, 0, -20000, 1000000), "EPSG:3031")
    cap, sector = box(-180, -90, 180, -85), box(20, -88, 80, -70)
    assert_inside(read_aoi(save(polygon(cap))), grid, [[cap]])
    assert_inside(read_aoi(save(polygon(sector))), grid, [[sector]])


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::32632", "EPSG:32632"])
def test_the_older_member_crs_is_honoured(save, name):
    x, y = UTM.bounds.left + 300, UTM.bounds.top - 300
    content = polygon(box(x, y - 600, x + 900, y))
    content["crs"] = {"type": "name", "properties": {"name": name}}
    inside = ~read_aoi(save(content)).outside(UTM, Rows(0, 120))
    expected = np.zeros(UTM.shape, bool)
    expected[10:30, 10:40] = True
    np.testing.assert_array_equal(inside, expected)
    # On a longitude-latitude grid the metres become degrees.
    grid = Grid((40, 60), Affine(0.001, 0, 8.71, 0, -0.001, 50.83), "EPSG:4326")
    corners = Transformer.from_crs(32632, 4326, always_xy=True).transform([x, x + 900], [y] * 2)
    first = np.argwhere(~read_aoi(save(content)).outside(grid, Rows(0, 40)))
    left, right = (np.array(corners[0]) - 8.71) / 0.001
    assert first[:, 1].min() == pytest.approx(left, abs=0.6)
    assert first[:, 1].max() + 1 == pytest.approx(right, abs=0.6)


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"])
def test_longitude_and_latitude_by_another_name(save, name):
    content = polygon(SQUARE) | {"crs": {"type": "name", "properties": {"name": name}}}
    aoi = read_aoi(save(content))
    assert_inside(aoi, UTM, [[SQUARE]])
    assert aoi.bounds == (8.72, 50.80, 8.76, 50.81)


def test_an_area_that_misses_the_scene_is_an_error_with_both_extents(save):
    aoi = read_aoi(save(polygon(box(20, 40, 21, 41))))
    assert not aoi.overlaps(UTM) and aoi.outside(UTM, Rows(0, 7)).all()
    with pytest.raises(
        ValueError, match=r"area\.geojson .*from 20 to 21 .*from 8\.7\d* to 8\.7\d*"
    ):
        aoi.require_overlap(UTM)
    # Between the centres of pixels there is nothing either; around one there is.
    x, y = centres(UTM)
    speck = box(x[3, 3] + 1e-5, y[3, 3], x[3, 3] + 2e-5, y[3, 3] + 1e-5)
    assert not read_aoi(save(polygon(speck))).overlaps(UTM)
    speck = box(x[3, 3] - 1e-5, y[3, 3] - 1e-5, x[3, 3] + 1e-5, y[3, 3] + 1e-5)
    aoi = read_aoi(save(polygon(speck)))
    aoi.require_overlap(UTM)
    assert np.argwhere(~aoi.outside(UTM, Rows(0, 120))).tolist() == [[3, 3]]


def test_a_scene_without_a_place_has_no_area_of_interest(save):
    aoi = read_aoi(save(polygon(SQUARE)))
    with pytest.raises(ValueError, match="the scene has no CRS"):
        aoi.outside(Grid((2, 2), Affine(1, 0, 0, 0, -1, 0), ""), Rows(0, 2))


def test_a_file_with_a_byte_order_mark_is_read(save):
    assert read_aoi(save("\ufeff" + json.dumps(polygon(SQUARE)))).polygons


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no GeoJSON"),
        ("\x00\x01", "is no GeoJSON"),
        ("[" * 100_000, "is no GeoJSON"),
        ("[1, 2]", "is no GeoJSON"),
        ({"hello": 1}, "is no GeoJSON .*export the area as GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "no polygon"),
        ({"type": "Point", "coordinates": [8, 50]}, "no polygon"),
        ({"type": "Polygon", "coordinates": []}, "no polygon"),
        ({"type": "Topology"}, "no polygon"),
        ({"type": "Polygon"}, "malformed"),
        ({"type": "Polygon", "coordinates": 5}, "malformed"),
        ({"type": "Feature"}, "malformed"),
        ({"type": "FeatureCollection", "features": [1]}, "malformed"),
        (polygon([(1, 2), (3, 4), (1, 2)]), "four positions"),
        (polygon([("8", "50")] * 4), "two numbers"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, NaN], [1, 2]]]}', "finite"),
        (polygon(box(480000, 5600000, 490000, 5610000)), "EPSG:4326"),
        (polygon(box(170, 0, 190, 10)), "antimeridian as a MultiPolygon"),
        (polygon(SQUARE) | {"crs": {"properties": {"name": "Gauss"}}}, "'Gauss'.*EPSG:4326"),
        (polygon(SQUARE) | {"crs": {"properties": {"name": "EPSG:999999"}}}, "EPSG:999999"),
        (polygon(SQUARE) | {"crs": "here"}, "'here'"),
    ],
)
def test_files_that_give_no_area_are_refused_by_name(save, content, message):
    with pytest.raises(ValueError, match=rf"(?s)area\.geojson .*{message}"):
        read_aoi(save(content))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.geojson is not there"):
        read_aoi(tmp_path / "none.geojson")
