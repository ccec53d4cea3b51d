"""`scenes.sources.stac`: products and searches at a STAC API, which is rustac on this machine."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path

import pytest
import requests

from scenes.fetch import FetchError, Patience
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failed
from scenes.sources.stac import StacSource, fitting, search
from scenes.sources.stac_assets import Assets

sys.path.insert(0, str(Path(__file__).resolve().parent))
small = importlib.import_module("small_stac")
sys.path.pop(0)

QUICK = Patience(attempts=2, first_wait=0.001)
OTHER_LANDSAT = "LC09_L2SP_195025_20220101_20220103_02_T1"
DAYS = {"start": date(2014, 1, 1), "end": date(2014, 12, 31)}
SHA512 = Checksum.of_multihash(small.multihash("sha512", "1340"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if small.program() is None:
        pytest.skip("rustac is not installed: pip install rustac")
    names = [small.LANDSAT, small.SENTINEL2, small.PROBAV, "terrascope-probav-l1c-hdf-v2"]
    items = [
        small.landsat(),
        small.landsat(OTHER_LANDSAT, "_SR"),
        # Another one of a similar name, which must not be taken for it.
        small.landsat(small.LANDSAT_ID.replace("_T1", "_T2")),
        small.sentinel2(),
        small.probav(),
        # The latest first: services have an order of their own.
        *reversed(small.many()),
        small.landsat("LC08_L1TP_044033_20141001_20200912_02_T1", **{"eo:cloud_cover": None}),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        with small.rustac(tmp_path_factory.mktemp("rustac"), names, items) as url:
            yield url


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


def names(product):
    return [file.name for file in product.files]


def test_a_landsat_product(api, session):
    found = StacSource("look", api, small.LANDSAT, session).find(small.LANDSAT_ID)
    name = f"{small.LANDSAT_ID}_B2.TIF"
    assert (found.id, found.source) == (small.LANDSAT_ID, "look")
    # Thumbnails and the page of the product are none of its files.
    assert sorted(names(found)) == [
        f"{small.LANDSAT_ID}_{x}" for x in ("B2.TIF", "B4.TIF", "MTL.txt")
    ]
    file = next(each for each in found.files if each.name == name)
    path = f"{small.LANDSAT_FOLDER}/{small.LANDSAT_ID}/{name}"
    assert file.addresses == (f"https://landsatlook.usgs.gov/data/{path}",)
    assert (file.size, file.checksum, file.bundle) == (6, SHA512, False)
    assert SHA512 is not None and SHA512.algorithm == "sha512"


def test_who_pays_gets_both_addresses_in_the_order_wanted(api, session):
    for prefer in (("https", "s3"), ("s3", "https"), ("s3",)):
        source = StacSource("look", api, small.LANDSAT, session, prefer, requester_pays=True)
        found = source.find(small.LANDSAT_ID)
        schemes = [each.partition("://")[0] for each in found.files[0].addresses]
        assert schemes == list(prefer)


def test_what_costs_is_said_where_nothing_else_is_left(api, session):
    source = StacSource("look", api, small.LANDSAT, session, prefer=("s3",))
    with pytest.raises(FetchError, match=f"{small.LANDSAT_ID} at look.*asks pays.*requester_pays"):
        source.find(small.LANDSAT_ID)


def test_ids_are_matched_exactly_but_for_known_suffixes(api, session):
    source = StacSource("look", api, small.LANDSAT, session)
    for asked in (OTHER_LANDSAT, f"{OTHER_LANDSAT}_SR"):
        found = source.find(asked)
        assert found.id == asked
        assert f"{OTHER_LANDSAT}_B2.TIF" in names(found)
    assert source.find(f"{OTHER_LANDSAT}_ST") is None
    assert source.find(small.LANDSAT_ID[:-3]) is None
    assert source.find("LC08_L1TP_001001_20130707_20200912_02_T1") is None
    assert StacSource("look", api, small.SENTINEL2, session).find(small.LANDSAT_ID) is None


@pytest.mark.parametrize("suffix", ["", ".SAFE"])
def test_a_sentinel_2_product(api, session, suffix):
    source = StacSource("cdse", api, small.SENTINEL2, session, prefer=("s3", "https"))
    found = source.find(small.SENTINEL2_ID + suffix)
    band = "GRANULE/L1C_T31UFS_A023690_20200105T105651/IMG_DATA/T31UFS_20200105T105431_B04.jp2"
    assert found.id == small.SENTINEL2_ID
    assert sorted(names(found)) == [band, "manifest.safe"]
    file = next(each for each in found.files if each.name == band)
    assert [each[:5] for each in file.addresses] == ["s3://", "https"]
    assert file.checksum == Checksum.of_multihash(small.multihash("md5", "d50110"))


def test_a_product_of_one_file_whose_collection_is_looked_up(api, session):
    source = StacSource("terrascope", api, "", session)
    found = source.find(small.PROBAV_ID)
    (file,) = found.files
    assert file.name == f"{small.PROBAV_ID}.HDF5"
    # Relative to the item, which rustac has at /collections/<collection>/items/<id>.
    assert file.addresses == (f"{api}/download/20140321/{small.PROBAV_ID}.HDF5",)
    assert (file.size, file.checksum) == (None, None)
    assert source.find(small.LANDSAT_ID) is None


def test_collections_that_fit():
    there = [
        "landsat-probav-l2a-333m",
        "terrascope-probav-l2a-100m-hdf-v2",
        "terrascope-probav-l2a-333m-cog-v2",
        "terrascope-probav-l2a-333m-hdf-v1",
        "terrascope-probav-l2a-hdf-v1",
        "terrascope-probav-l1c-hdf-v2",
        "terrascope-probav-s1-toa-333m-cog-v2",
        "terrascope-s1-l2a-333m",
    ]
    assert fitting(there, small.PROBAV_ID) == [
        "terrascope-probav-l2a-333m-hdf-v1",
        "landsat-probav-l2a-333m",
        "terrascope-probav-l2a-333m-cog-v2",
        "terrascope-probav-l2a-hdf-v1",
    ]
    assert fitting(there, "PROBAV_S1_TOA_X18Y02_20140311_333M_V101") == [there[6]]
    assert fitting(there, small.SENTINEL2_ID) == []


def files(change, prefer=("https", "s3"), pays=False, item=None):
    made = item or small.landsat()
    change(made["assets"])
    base = f"https://host/collections/c/items/{made['id']}"
    return {each.name: each for each in Assets(made, small.LANDSAT_ID, base).files(prefer, pays)}


BLUE = f"{small.LANDSAT_ID}_B2.TIF"


def test_sums_and_sizes_that_are_none():
    def change(assets):
        assets["blue"] |= {"file:checksum": "1e20" + "ab" * 32, "file:size": True}
        assets["red"] |= {"file:checksum": "no sum", "file:size": "6"}

    for file in (files(change)[name] for name in (BLUE, BLUE.replace("B2", "B4"))):
        assert (file.size, file.checksum) == (None, None)


def test_two_assets_of_one_name():
    def same(assets):
        assets["twin"] = deepcopy(assets["blue"])
        assets["twin"]["href"] = assets["blue"]["href"].replace("landsatlook", "other")

    def other(assets):
        same(assets)
        assets["twin"]["file:checksum"] = small.multihash("sha512", "1340", b"others")

    def unplaced(assets):
        for key, folder in (("one", "a"), ("two", "b")):
            assets[key] = {"href": f"https://host/{folder}/x.csv", "roles": ["data"]}

    assert len(files(same)[BLUE].addresses) == 2
    assert len(files(other)[BLUE].addresses) == 1
    assert files(unplaced)["x.csv"].addresses == ("https://host/a/x.csv",)


def test_what_says_who_pays():
    def bare(assets):
        for key in [key for key in assets if key != "blue"]:
            del assets[key]
        assets["blue"]["href"] = assets["blue"].pop("alternate")["s3"]["href"]

    def asset(assets):
        bare(assets)
        assets["blue"]["storage:requester_pays"] = True

    def scheme(assets):
        bare(assets)
        assets["blue"]["storage:refs"] = ["aws"]

    assert files(bare)[BLUE].addresses[0].startswith("s3://usgs-landsat/")
    schemes = {"aws": {"type": "aws-s3", "requester_pays": True}}
    for change, item in (
        (asset, None),
        (bare, small.landsat(**{"storage:requester_pays": True})),
        (scheme, small.landsat(**{"storage:schemes": schemes})),
    ):
        with pytest.raises(Failed, match="who asks pays"):
            files(change, item=deepcopy(item))
        assert BLUE in files(change, pays=True, item=deepcopy(item))


def test_pages_about_a_product_are_no_files():
    def change(assets):
        address = f"https://host/{small.LANDSAT_ID}/index.html"
        assets["page"] = {"href": address, "type": "text/html; charset=utf-8", "roles": ["data"]}

    assert "index.html" not in files(change)


def test_bundles_are_told_from_files():
    def change(assets):
        assets["tar"] = {"href": f"https://host/{small.LANDSAT_ID}.tar", "roles": ["data"]}

    found = files(change)
    assert found[f"{small.LANDSAT_ID}.tar"].bundle and not found[BLUE].bundle


@pytest.mark.parametrize(
    "name", ["../x.TIF", "..%2Fx.TIF", "%2e%2e/x.TIF", "a%5Cb.TIF", "a//b.TIF"]
)
def test_names_that_lead_out_of_the_product(name):
    def change(assets):
        assets["blue"]["href"] = f"https://host/{small.LANDSAT_ID}/{name}"
        del assets["blue"]["alternate"]

    # Dots that are not escaped are taken out of a relative address, not of an absolute one.
    with pytest.raises(Failed, match="within the product"):
        files(change)


def test_files_of_this_machine_are_no_files_of_a_service():
    def change(assets):
        for asset in assets.values():
            asset["href"], asset["alternate"] = "file:///etc/passwd.txt", {}

    with pytest.raises(Failed, match="no.* file"):
        files(change)


def ids(result):
    return [each.id for each in result.items]


def test_a_search_goes_through_all_pages(api, session):
    result = search(api, small.LANDSAT, bbox=(10.2, 50.2, 10.4, 50.4), **DAYS, session=session)
    assert len(result.items) == 251 and result.left_out == 0
    assert [each.datetime for each in result.items] == sorted(x.datetime for x in result.items)
    first = result.items[0]
    assert (first.id, first.path_row, first.cloud_cover, first.tile) == (
        "LC08_L1TP_044033_20140101_20200912_02_T1", "044/033", 0.0, None,
    )  # fmt: skip
    assert first.address == f"{api}/collections/{small.LANDSAT}/items/{first.id}"


def test_both_days_are_searched(api, session):
    days = {"start": date(2014, 1, 3), "end": date(2014, 1, 4)}
    result = search(api, small.LANDSAT, **days, session=session)
    assert [each[17:25] for each in ids(result)] == ["20140103", "20140104"]


def test_places(api, session):
    aside = {"type": "Polygon", "coordinates": [[[20, 0], [21, 0], [21, 1], [20, 0]]]}
    assert not search(api, small.LANDSAT, intersects=aside, **DAYS, session=session).items
    assert not search(api, small.LANDSAT, bbox=(20, 0, 21, 1), **DAYS, session=session).items
    here = {"type": "Polygon", "coordinates": [[[10, 50], [10.5, 50], [10.5, 50.5], [10, 50]]]}
    assert search(api, small.LANDSAT, intersects=here, **DAYS, session=session).items


def test_properties_are_looked_at_here_where_the_service_does_not(api, session):
    clouds = search(api, small.LANDSAT, **DAYS, cloud_cover=9, session=session)
    # 250 days of 0 to 99 percent: 0 to 9 come three times; one item does not say.
    assert len(clouds.items) == 30 and clouds.left_out == 1
    assert max(each.cloud_cover for each in clouds.items) == 9
    rows = search(api, small.LANDSAT, **DAYS, path_row="044/034", session=session)
    assert len(rows.items) == 125 and {each.path_row for each in rows.items} == {"044/034"}
    tile = {"start": date(2020, 1, 1), "end": date(2020, 1, 9), "session": session}
    assert ids(search(api, small.SENTINEL2, tile="31UFS", **tile)) == [small.SENTINEL2_ID]
    assert not search(api, small.SENTINEL2, tile="29RPQ", **tile).items


def test_more_than_wanted_says_how_to_narrow_it(api, session):
    most = {"most": 249, "session": session, "name": "look"}
    with pytest.raises(FetchError, match="at look: .*more than 249.*Narrow the search: fewer days"):
        search(api, small.LANDSAT, **DAYS, **most)
    assert search(api, small.LANDSAT, **DAYS, path_row="044/034", **most).items


def test_tiles_are_told_in_several_ways():
    told = (
        {"s2:mgrs_tile": "31UFS"}, {"s2:mgrs_tile": "T31UFS"}, {"grid:code": "MGRS-31UFS"}, {},
    )  # fmt: skip
    from scenes.sources.stac import FoundItem

    for properties in told:
        made = small.item(small.SENTINEL2_ID, "c", "2020-01-05T10:54:31Z", {}, **properties)
        assert FoundItem(made).tile == "31UFS"
    told_product = {"s2:product_uri": f"{small.SENTINEL2_ID}.SAFE"}
    made = small.item("S2A_31UFS_20200105_0_L1C", "c", "2020-01-05T10:54:31Z", {}, **told_product)
    assert FoundItem(made).product == small.SENTINEL2_ID
    assert FoundItem(small.item("x", "c", "", {}, **{"grid:code": "WRS2-195025"})).path_row == (
        "195/025"
    )


@pytest.mark.parametrize(
    "extension, sample, asked",
    [
        ("filter", {}, {
            "filter-lang": "cql2-json",
            "filter": {"op": "and", "args": [
                {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 20]},
                {"op": "=", "args": [{"property": "landsat:wrs_path"}, "195"]},
                {"op": "=", "args": [{"property": "landsat:wrs_row"}, "025"]},
            ]},
        }),
        ("query", {}, {"query": {
            "eo:cloud_cover": {"lte": 20}, "landsat:wrs_path": {"eq": "195"},
            "landsat:wrs_row": {"eq": "025"},
        }}),
        # A service that writes numbers would find nothing for texts.
        ("query", {"landsat:wrs_path": 195, "landsat:wrs_row": 25}, {"query": {
            "eo:cloud_cover": {"lte": 20}, "landsat:wrs_path": {"eq": 195},
            "landsat:wrs_row": {"eq": 25},
        }}),
        # Of three digits that do not begin with 0, both ways of writing are possible.
        ("query", {"landsat:wrs_row": "125"}, {"query": {
            "eo:cloud_cover": {"lte": 20}, "landsat:wrs_path": {"eq": "195"},
        }}),
        ("sort", {}, {}),
    ],
    ids=["filter", "query", "numbers", "unclear", "neither"],
)  # fmt: skip
def test_what_a_service_is_asked_to_look_at(session, extension, sample, asked):
    # It answers with everything, so that what is looked at here is seen too.
    good, bad = small.landsat(), small.landsat(small.LANDSAT_ID.replace("07_", "08_"))
    bad["properties"]["eo:cloud_cover"] = 21

    def answer(request):
        if request.path == "/":
            return 200, {}, small.landing(request.url, extension)
        first = small.landsat(**sample)
        page = [first] if request.body["limit"] == 1 else [bad, good]
        return 200, {}, {"type": "FeatureCollection", "features": page, "links": []}

    with small.answering(answer) as service:
        days = {"start": date(2013, 7, 1), "end": date(2013, 7, 31)}
        result = search(
            f"{service.url}/", small.LANDSAT, **days, cloud_cover=20, path_row="195/025",
            session=session,
        )  # fmt: skip
    assert ids(result) == [small.LANDSAT_ID]
    body = service.asked[-1].body
    assert {key: body[key] for key in body if key in ("filter", "filter-lang", "query")} == asked
    assert body["datetime"] == "2013-07-01T00:00:00Z/2013-07-31T23:59:59.999999Z"


def serving(features, links=(), **more):
    def answer(request):
        if request.path == "/":
            return 200, {}, small.landing(request.url) | more
        return 200, {}, {"features": features, "links": [dict(each) for each in links]}

    return small.answering(answer)


NEXT = {"rel": "next", "href": "/search", "method": "POST", "body": {"page": 2}}


@pytest.mark.parametrize(
    "service, said",
    [
        (serving([small.landsat()], [NEXT]), "pages repeat"),
        (serving([{"type": "Feature"}]), "items and collections with an id"),
        (serving([small.landsat("LC08\nLC09")]), "items and collections with an id"),
        (serving([], conformsTo=[]), "cannot be searched"),
        (serving([], type="Feature"), "expected a STAC API"),
        (serving([], stac_version=None, links=None), "expected a STAC API"),
        (small.answering(lambda _: (200, {"Content-Type": "text/html"}, b"<html>")), "text/html"),
        (small.answering(lambda _: (403, {}, {})), "HTTP 403.*credentials"),
    ],
)
def test_services_that_are_none(session, service, said):
    with service as there, pytest.raises(FetchError, match=said) as caught:
        search(f"{there.url}/", "c", **DAYS, session=session, patience=QUICK)
    assert there.url in str(caught.value)


def test_a_service_that_ignores_ids_is_not_read_to_its_end(session):
    def answer(request):
        if request.path == "/":
            return 200, {}, small.landing(request.url)
        page = (request.body.get("page") or 0) + 1
        features = [small.landsat(small.LANDSAT_ID + f"_{page}_{n}") for n in range(50)]
        return 200, {}, {"features": features, "links": [NEXT | {"body": {"page": page}}]}

    with small.answering(answer) as service:
        assert StacSource("x", f"{service.url}/", "c", session).find(small.LANDSAT_ID) is None
    assert len(service.asked) < 5


def test_secrets_are_not_shown(session):
    with small.answering(lambda _: (500, {}, {})) as service:
        url = service.url.replace("http://", "http://user:secret@") + "/?key=secret"
        with pytest.raises(FetchError) as caught:
            StacSource("x", url, "c", session, patience=QUICK).find(small.LANDSAT_ID)
    assert "secret" not in str(caught.value) and "HTTP 500" in str(caught.value)
    assert len(service.asked) == QUICK.attempts


def test_an_item_is_not_changed_by_who_serves_it(api, session):
    """What the tests above rest on: rustac hands out all that an item says."""
    answer = session.get(f"{api}/collections/{small.LANDSAT}/items/{small.LANDSAT_ID}").json()
    assert answer["assets"] == json.loads(json.dumps(small.landsat()["assets"]))
