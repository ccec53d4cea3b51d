"""STAC Items as dictionaries."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from scenes.stac import Asset, bounding_box, digest_of, item, multihash, timestamp

NOON = datetime(2020, 2, 29, 12, tzinfo=UTC)


def test_item_is_valid() -> None:
    pytest.importorskip("pystac")
    validator = (
        pytest.importorskip("pystac.validation.local_validator").LocalValidator().item_validator()
    )
    asset = Asset("data", "./x.tif", 3, hashlib.sha256(b"abc").hexdigest(), "image/tiff")
    made = item("x", [asset], interval=(NOON, NOON + timedelta(days=1)), properties={"gsd": 30})
    assert list(validator.iter_errors(made)) == []
    assert made["properties"] == {
        "datetime": None,
        "start_datetime": "2020-02-29T12:00:00Z",
        "end_datetime": "2020-03-01T12:00:00Z",
        "gsd": 30,
    }
    made["properties"]["datetime"] = "yesterday"
    assert list(validator.iter_errors(made))


def test_item_needs_a_time() -> None:
    with pytest.raises(ValueError, match="a moment or an interval"):
        item("x", [])


def test_timestamp_is_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2020, 1, 1, 1, 30, 0, 5000, east)) == "2019-12-31T23:30:00.005000Z"
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2020, 1, 1))


def test_multihash() -> None:
    # The example of the multihash specification's table: 0x12 is sha2-256, 0x20 its 32 bytes.
    digest = hashlib.sha256(b"").hexdigest()
    assert (
        multihash(digest) == "1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert digest_of(multihash(digest)) == digest
    for wrong in ("", "1220", "1114" + digest, digest.upper()):
        with pytest.raises(ValueError, match="expected"):
            digest_of(wrong)


def test_bounding_box() -> None:
    square = [[[8, 50], [9, 50.5], [9, 51], [8, 50]]]
    assert bounding_box({"type": "Polygon", "coordinates": square}) == [8, 50, 9, 51]
    cut = [
        [[[179, -17], [180, -17], [180, -16], [179, -17]]],
        [[[-180, -17], [-179.5, -17], [-180, -16], [-180, -17]]],
    ]
    assert bounding_box({"type": "MultiPolygon", "coordinates": cut}) == [179, -17, -179.5, -16]
    world = [
        [[[-180, -60], [180, -60], [180, 60], [-180, -60]]],
        [[[0, 0], [1, 0], [1, 1], [0, 0]]],
    ]
    assert bounding_box({"type": "MultiPolygon", "coordinates": world}) == [-180, -60, 180, 60]
    with pytest.raises(ValueError, match="coordinates"):
        bounding_box({"type": "Polygon", "coordinates": []})
