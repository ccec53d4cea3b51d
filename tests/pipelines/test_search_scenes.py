"""`SearchScenes`: its three files, what makes them anew, and bad input."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines import SearchScenes
from pipelines.acquire.data_folder import located
from pipelines.acquire.found_scenes import write_items
from pipelines.cloud_masks import list_scenes
from pipelines.product.record import read_record
from scenes.fetch import FetchError
from scenes.sources.stac import FoundItem, SearchResult

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenes"))
small = importlib.import_module("small_stac")
sys.path.pop(0)

DAYS = {"start": date(2014, 1, 1), "end": date(2014, 1, 10)}
BOX = "10.2,50.2,10.4,50.4"
AREA = {"type": "Polygon", "coordinates": [[[10, 50], [10.5, 50], [10.5, 50.5], [10, 50]]]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if small.program() is None:
        pytest.skip("rustac is not installed: pip install rustac")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        items = [*small.many(20), small.sentinel2()]
        names = [small.LANDSAT, small.SENTINEL2]
        with small.rustac(tmp_path_factory.mktemp("rustac"), names, items) as url:
            yield url


@pytest.fixture
def task(api: str, tmp_path: Path) -> Any:
    """A maker of tasks for the service on this machine."""

    def make(**changes: Any) -> SearchScenes:
        given: dict[str, Any] = {
            "source": "small", "url": f"{api}/", "collection": small.LANDSAT, "bbox": BOX,
            "as_of": "2024-05-31", "outfolder": str(tmp_path / "out"), "name": "january",
            **DAYS,
        }  # fmt: skip
        return SearchScenes(**given | changes)

    return make


def test_what_is_written(task, run, tmp_path, age):
    product = run(task(cloud_cover=3))
    assert product == tmp_path / "out/january.geojson"
    names = [f"LC08_L1TP_044{33 + day % 2:03d}_2014010{day + 1}_20200912_02_T1" for day in range(4)]
    found = json.loads(product.read_text())
    assert found["type"] == "FeatureCollection"
    assert [each["id"] for each in found["features"]] == names
    assert found["features"][1]["assets"].keys() == small.landsat()["assets"].keys()
    assert product.with_suffix(".txt").read_text() == "".join(f"{name}\n" for name in names)
    # The list is one that --scenes reads.
    assert list_scenes(str(product.with_suffix(".txt"))) == [Path(located(name)) for name in names]
    with product.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "id": names[1], "datetime": "2014-01-02T10:17:42.164947Z", "cloud_cover": "1",
        "path_row": "044/034", "tile": "", "address": rows[1]["address"],
    }  # fmt: skip
    assert rows[1]["address"].endswith(f"/collections/{small.LANDSAT}/items/{names[1]}")
    record = read_record(Path(f"{product}.json"))
    assert record.companions == ("january.txt", "january.csv")
    assert record.item["properties"]["skysieve:found"] == 4
    assert record.item["geometry"]["type"] == "Polygon"


def test_the_same_search_writes_the_same_bytes(task, run, tmp_path):
    one = run(task())
    other = run(task(outfolder=str(tmp_path / "other")))
    for suffix in (".geojson", ".txt", ".csv"):
        assert one.with_suffix(suffix).read_bytes() == other.with_suffix(suffix).read_bytes()


def test_the_order_in_which_a_service_writes_does_not_matter(tmp_path):
    item = small.landsat()
    turned = {key: item[key] for key in reversed(item)}
    for name, each in (("one", item), ("other", turned)):
        write_items(tmp_path / name, SearchResult((FoundItem(each),), 0))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_another_day_searches_anew(task, run):
    run(task())
    assert task().complete() and task(most=20).complete()
    assert not task(as_of="2024-06-01").complete()
    assert task(as_of="today").as_of == date.today().isoformat()


def test_nothing_found_is_an_answer(task, run, caplog):
    product = run(task(bbox="0,0,1,1"))
    assert json.loads(product.read_text())["features"] == []
    assert product.with_suffix(".txt").read_text() == "# no scene was found\n"
    assert "small has no such scene" in caplog.text


def test_areas_of_files(task, run, tmp_path):
    file = tmp_path / "field.geojson"
    file.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": AREA}))
    made = task(bbox="", area=str(file))
    assert len(json.loads(run(made).read_text())["features"]) == 10
    aside = json.dumps(AREA).replace("50", "20")
    file.write_text(json.dumps({"type": "GeometryCollection", "geometries": [json.loads(aside)]}))
    assert not made.complete()
    assert not json.loads(run(made).read_text())["features"]


def test_paths_rows_and_tiles(task, run):
    rows = run(task(bbox="", path_row="44/34", name=""))
    assert rows.name == "small_landsat-c2l1_044034_20140101-20140110.geojson"
    assert len(json.loads(rows.read_text())["features"]) == 5
    tile = task(
        bbox="", tile="t31ufs", collection=small.SENTINEL2, name="",
        start=date(2020, 1, 1), end=date(2020, 1, 9), cloud_cover=12.0,
    )  # fmt: skip
    found = run(tile)
    assert found.name == "small_sentinel-2-l1c_31UFS_20200101-20200109_cloud12.geojson"
    assert found.with_suffix(".txt").read_text() == f"{small.SENTINEL2_ID}\n"


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"start": date(2014, 2, 1)}, "--start 2014-02-01 is after --end 2014-01-10"),
        ({"cloud_cover": 101.0}, "--cloud-cover 101: expected percent"),
        ({"most": 0}, "--most 0"),
        ({"bbox": ""}, "expected a place: --bbox, --area, --path-row or --tile"),
        ({"area": "field.geojson"}, "not both"),
        ({"source": "landsat", "url": ""}, "landsat is not known.*landsatlook, copernicus"),
        ({"source": "zenodo", "url": ""}, "zenodo cannot be searched.*landsatlook"),
        ({"url": "ftp://x"}, "url an address with https"),
        ({"collection": ""}, "needs a --collection: expected one of landsat-c2l1, sentinel-2-l1c"),
        ({"name": "a/b"}, "plain file name"),
    ],
)
def test_parameters_that_do_not_go_together(task, changes, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("field.geojson").write_text(json.dumps(AREA))
    with pytest.raises(ValueError, match=said):
        task(**changes).run()
    assert not list(tmp_path.rglob("*january*"))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"bbox": "1,2,3"}, "west,south,east,north"),
        ({"bbox": "a,b,c,d"}, "west,south,east,north"),
        ({"bbox": "11,50,10,51"}, "wrong way round.*west < east"),
        ({"bbox": "10,51,11,50"}, "wrong way round"),
        ({"bbox": "50,10,51,91"}, "not on the globe"),
        ({"bbox": "170,0,190,1"}, "not on the globe"),
        ({"bbox": "nan,0,1,1"}, "not on the globe"),
        ({"path_row": "195025"}, "as in 195/025"),
        ({"path_row": "234/1"}, "path .1 to 233."),
        ({"tile": "61ABC"}, "as in 29RPQ"),
        ({"tile": "29IPQ"}, "as in 29RPQ"),
        ({"as_of": "soon"}, "2024-05-31, or today, not 'soon'"),
    ],
)
def test_parameters_that_are_none(task, changes, said):
    with pytest.raises(ValueError, match=said):
        task(**changes)


@pytest.mark.parametrize(
    "content, said",
    [
        ({"type": "Feature", "geometry": None}, "field.geojson .Feature. has no polygon"),
        ({"type": "Point", "coordinates": [1, 2]}, "has no polygon"),
        ({"coordinates": []}, "no GeoJSON"),
        (AREA | {"crs": "EPSG:32631"}, "EPSG:32631: expected longitude and latitude"),
    ],
)
def test_areas_that_are_none(task, content, said, tmp_path):
    file = tmp_path / "field.geojson"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=said):
        task(bbox="", area=str(file)).run()
    file.unlink()
    with pytest.raises(FileNotFoundError, match="field.geojson is not there"):
        task(bbox="", area=str(file)).run()


def test_more_than_wanted_leaves_nothing(task, tmp_path):
    with pytest.raises(FetchError, match="more than 9 of them.*fewer days"):
        task(most=9).run()
    assert not list(tmp_path.rglob("*.geojson"))


def test_items_that_do_not_say_are_counted(run, tmp_path, caplog):
    def answer(request):
        if request.path == "/":
            return 200, {}, small.landing(request.url)
        silent = small.landsat(small.LANDSAT_ID[:-1] + "2", **{"eo:cloud_cover": None})
        return 200, {}, {"features": [silent, small.landsat()], "links": []}

    with small.answering(answer) as service:
        product = run(
            SearchScenes(
                source="small",
                url=f"{service.url}/",
                collection="c",
                path_row="195/025",
                cloud_cover=20,
                outfolder=str(tmp_path),
                **DAYS,
            )  # fmt: skip
        )
    assert product.with_suffix(".txt").read_text() == f"{small.LANDSAT_ID}\n"
    assert "1 items of small do not say" in caplog.text


def test_the_command(api, command, tmp_path):
    done = command(
        "luigi", "--module", "pipelines", "SearchScenes", "--source", "small", "--url", f"{api}/",
        "--collection", small.LANDSAT, "--bbox", BOX, "--start", "2014-01-01", "--end",
        "2014-01-02", "--name", "two", env={"NO_PROXY": "*"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "searches/two.txt").read_text().splitlines()) == 2
