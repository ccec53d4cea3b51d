"""Services by name, what users set of them, and addresses by pattern."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest
import requests

from scenes.sources.known import SourceSettings, build, known_sources, merged
from scenes.sources.template import TemplateSource, fields_of

sys.path.insert(0, str(Path(__file__).resolve().parent))
small = importlib.import_module("small_stac")
sys.path.pop(0)

ROOT = Path(__file__).resolve().parents[2]
OWN = {"name": "own", "kind": "stac", "url": "https://stac.example.org/v1"}


def test_each_known_service_can_be_built():
    with requests.Session() as session:
        for name, settings in known_sources().items():
            assert settings.name == build(settings, session).name == name


def test_the_limits_and_costs_that_services_publish():
    known = known_sources()
    assert known["copernicus"].connections == known["copernicus-odata"].connections == 4
    assert [name for name, each in known.items() if each.requester_pays] == ["usgs-landsat"]
    assert known["copernicus"].endpoint == "https://eodata.dataspace.copernicus.eu"
    for settings in known.values():
        assert not settings.token_url or (settings.client_id and settings.hosts)


@pytest.mark.parametrize(
    "product, sources",
    [
        (small.LANDSAT_ID, ["landsatlook", "usgs-landsat"]),
        ("LC08_L1TP_195025_20130707_20170503_01_T1", ["landsatlook", "google-landsat"]),
        (f"{small.SENTINEL2_ID}.SAFE", ["copernicus", "copernicus-odata"]),
        (small.PROBAV_ID, ["terrascope"]),
        ("5040271", ["zenodo"]),
    ],
)
def test_which_service_may_have_a_product(product, sources):
    assert [name for name, each in known_sources().items() if each.may_have(product)] == sources


def test_the_table_is_in_the_wheel():
    assert '"scenes.sources": ["*.toml"]' in (ROOT / "setup.py").read_text()
    table = tomllib.loads((ROOT / "io/scenes/sources/known.toml").read_text())
    assert table.keys() == known_sources().keys()


def test_what_users_change():
    known = known_sources()["landsatlook"]
    changed = merged(known, {
        "prefer": "s3", "requester_pays": "Yes", "connections": " 2 ", "hosts": "a.org, b.org",
    })  # fmt: skip
    assert (changed.prefer, changed.requester_pays, changed.connections) == (("s3",), True, 2)
    assert changed.hosts == ("a.org", "b.org") and changed.url == known.url
    assert merged(known, {}) == known
    assert merged(None, OWN) == SourceSettings(**OWN)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"urls": "x"}, "own: unknown settings urls; there are name, kind, url"),
        ({"kind": "ftp"}, "kind one of stac, odata, zenodo, template, not 'ftp'"),
        ({"kind": "odata"}, "download_url an address, as odata needs it"),
        ({"url": ""}, "url an address, as stac needs it"),
        ({"url": "ftp://x"}, "url an address with https"),
        ({"url": "https://user:secret@x"}, "url an address with https.*without user"),
        ({"url": "https://x/?key=secret"}, "url an address with https.*query"),
        ({"url": "https://[x"}, "url an address"),
        ({"url": "https://x:99999"}, "url an address"),
        ({"token_url": "http://x/token"}, "token_url.*password"),
        ({"connections": "0"}, "connections 1 to 64"),
        ({"connections": "many"}, "connections: expected a number, not 'many'"),
        ({"requester_pays": "maybe"}, "requester_pays: expected yes or no"),
        ({"prefer": "ftp"}, "prefer https and s3"),
        ({"prefer": "s3 s3"}, "prefer https and s3"),
        ({"hosts": "https://x"}, "hosts names of hosts"),
        ({"products": "("}, "products is no regular expression"),
        ({"name": "a/b"}, "source's name"),
        ({"name": ""}, "landsatlook.*or a kind"),
        ({"kind": "template", "pattern": "https://x/{ide}.tar"}, "'https://x/{ide}.tar'"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(ValueError, match=said) as caught:
        merged(None, OWN | changes)
    assert "secret" not in str(caught.value)


def test_a_token_of_this_machine():
    merged(None, OWN | {"token_url": "http://127.0.0.1:8080/token"})


def test_a_bundle_by_pattern():
    source = TemplateSource("mirror", "https://host/{year}/{path}{row}/{id}.tar")
    found = source.find(small.LANDSAT_ID)
    (file,) = found.files
    assert (found.id, found.source, file.bundle) == (small.LANDSAT_ID, "mirror", True)
    assert file.name == f"{small.LANDSAT_ID}.tar"
    assert file.addresses == (f"https://host/2013/195025/{small.LANDSAT_ID}.tar",)
    assert source.find(small.SENTINEL2_ID) is None and source.find("x") is None
    assert source.files(small.LANDSAT_ID, ["x"]) is None
    (file,) = TemplateSource("pv", "https://host/{id}.HDF5").find(small.PROBAV_ID).files
    assert (file.name, file.bundle) == (f"{small.PROBAV_ID}.HDF5", False)


def test_files_by_pattern():
    with requests.Session() as session:
        source = build(known_sources()["usgs-landsat"], session)
        google = TemplateSource(
            "google",
            "https://storage.googleapis.com/gcp-public-data-sentinel-2/tiles/{utm}/{latitude_band}/"
            "{square}/{id}.SAFE/{file}",
        )
    assert source.find(small.LANDSAT_ID) is None
    names = [f"{small.LANDSAT_ID}_B4.TIF", f"{small.LANDSAT_ID}_MTL.txt"]
    found = source.files(small.LANDSAT_ID, names)
    folder = f"s3://usgs-landsat/{small.LANDSAT_FOLDER}/{small.LANDSAT_ID}"
    assert [(file.name, file.addresses) for file in found.files] == [
        (name, (f"{folder}/{name}",)) for name in names
    ]
    (file,) = google.files(f"{small.SENTINEL2_ID}.SAFE", ["GRANULE/a b/B04.jp2"]).files
    assert file.name == "GRANULE/a b/B04.jp2"
    assert file.addresses == (
        "https://storage.googleapis.com/gcp-public-data-sentinel-2/tiles/31/U/FS/"
        f"{small.SENTINEL2_ID}.SAFE/GRANULE/a%20b/B04.jp2",
    )
    assert source.files(small.SENTINEL2_ID, names) is None
    with pytest.raises(ValueError, match="within the product"):
        source.files(small.LANDSAT_ID, ["../x"])


def test_what_is_in_an_id():
    assert fields_of("x") == {"id": "x"}
    assert fields_of("PROBAV_S1_TOA_X18Y02_20140311_100M_V101") == {
        "id": "PROBAV_S1_TOA_X18Y02_20140311_100M_V101", "sensor": "PROBAV", "level": "S1_TOA",
        "tile": "X18Y02", "year": "2014", "month": "03", "day": "11", "resolution": "100M",
    }  # fmt: skip
    assert fields_of(small.PROBAV_ID)["resolution"] == "333M"
    assert fields_of(f"{small.SENTINEL2_ID}.SAFE")["tile"] == "31UFS"


@pytest.mark.parametrize(
    "pattern",
    ["ftp://h/{id}", "https://h/x", "https://h/{}", "https://h/{id", "https://h/{id.__class__}",
     "https://h/{id!r}", "https://h/{id:>99}", "https://h/{0}{id}", "{id}"],
)  # fmt: skip
def test_patterns_that_cannot_be(pattern):
    with pytest.raises(ValueError, match="bad: "):
        TemplateSource("bad", pattern)
