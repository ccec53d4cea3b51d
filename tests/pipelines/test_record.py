"""The record: a valid STAC Item, with the digests that the product's bytes have."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.product.freshness import record_path
from pipelines.product.record import (
    BrokenRecord,
    Described,
    Description,
    build_record,
    canonical_sha256,
    product_files,
    read_record,
)

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
SQUARE = {"type": "Polygon", "coordinates": [[[8, 50], [9, 50], [9, 51], [8, 51], [8, 50]]]}


def described(
    product: Path, description: Description, companions: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The Item that is read back from the record of `product`."""
    record = build_record(
        product.name,
        product_files(product, companions),
        description,
        task={"module": "m", "family": "Task", "parameters": {"b": "2", "a": "1"}, "folder": "/"},
        parts={"task": "Task"},
        inputs={},
        consumed={},
        software="1.2.3",
    )
    place = record_path(product)
    place.write_text(record.to_json())
    again = read_record(place)
    assert again == record
    assert again.title == "Task(a=1, b=2)"
    return json.loads(place.read_text())  # type: ignore[no-any-return]


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A small file to speak of."""
    path = tmp_path / "scene_333M.HDF5"
    path.write_bytes(b"some bytes")
    return path


def test_core_schema_and_checksum(product: Path) -> None:
    pystac = pytest.importorskip("pystac")
    acquired = datetime(2016, 5, 4, 10, 12, 13, tzinfo=UTC)
    files = {"": Described(roles=("data", "reflectance"), title="Proba-V product")}
    item = described(
        product,
        Description(
            acquired=acquired,
            geometry=SQUARE,
            properties={"eo:cloud_cover": 12.5},
            extensions=("https://stac-extensions.github.io/eo/v2.0.0/schema.json",),
            files=files,
        ),
    )
    read = pystac.Item.from_dict(item)
    assert read.datetime == acquired
    assert read.bbox == [8, 50, 9, 51]
    assert item["assets"]["data"]["type"] == "application/x-hdf5"
    assert item["assets"]["data"]["href"] == "./scene_333M.HDF5"
    assert item["assets"]["data"]["file:size"] == 10
    digest = hashlib.sha256(b"some bytes").hexdigest()
    assert item["assets"]["data"]["file:checksum"] == "1220" + digest
    assert item["properties"]["eo:cloud_cover"] == 12.5
    validator = (
        pytest.importorskip("pystac.validation.local_validator").LocalValidator().item_validator()
    )
    assert list(validator.iter_errors(item)) == []


@pytest.mark.skipif(not (SHARED / "stac_schemas").is_dir(), reason="needs the schemas in shared/")
def test_file_extension_schema(product: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SHARED / "stac_schemas" / "file.json").read_text())
    item = described(product, Description())
    jsonschema.Draft7Validator(schema["definitions"]["fields"]).validate(item["assets"]["data"])
    broken = item["assets"]["data"] | {"file:checksum": "no hash"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema["definitions"]["fields"]).validate(broken)


def test_product_without_place_and_time(product: Path) -> None:
    pystac = pytest.importorskip("pystac")
    item = described(product, Description())
    assert item["geometry"] is None and "bbox" not in item
    assert item["properties"]["datetime"] == item["properties"]["created"]
    assert pystac.Item.from_dict(item).id == "scene_333M"


def test_folder_product_has_an_asset_per_file(tmp_path: Path) -> None:
    product = tmp_path / "scene"
    (product / "truth").mkdir(parents=True)
    (product / "truth" / "tau.tif").write_bytes(b"1")
    (product / "MTL.txt").write_bytes(b"2")
    item = described(product, Description(files={"MTL.txt": Described(roles=("metadata",))}))
    assert {key: asset["href"] for key, asset in item["assets"].items()} == {
        "MTL.txt": "./scene/MTL.txt",
        "truth/tau.tif": "./scene/truth/tau.tif",
    }
    assert item["assets"]["MTL.txt"]["roles"] == ["metadata"]
    assert item["assets"]["truth/tau.tif"]["type"] == "image/tiff; application=geotiff"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_companion_has_an_asset(tmp_path: Path, kind: str) -> None:
    product = tmp_path / "mask.tif"
    if kind == "file":
        product.write_bytes(b"mask")
    else:
        product.mkdir()
        (product / "mask.png").write_bytes(b"a member, not the companion")
    described(product, Description(files={"mask.png": Described(key="member")}))
    alone = read_record(record_path(product))
    (tmp_path / "mask.png").write_bytes(b"picture")
    (tmp_path / "mask_p.tif").write_bytes(b"p")
    names = ("mask.png", "mask_p.tif")
    files = {"mask_p.tif": Described(("data",), title="Probability", key="probability")}
    if kind == "folder":
        with pytest.raises(ValueError, match=r"another key for each file.*mask\.png, mask\.png"):
            described(product, Description(files=files), names)
        (product / "mask.png").rename(product / "member.png")
    assets = described(product, Description(files=files), names)["assets"]
    assert assets["mask.png"]["href"] == "./mask.png"
    assert assets["mask.png"]["type"] == "image/png"
    assert assets["mask.png"]["file:size"] == len(b"picture")
    assert assets["probability"]["href"] == "./mask_p.tif"
    assert assets["probability"]["title"] == "Probability"
    record = read_record(record_path(product))
    assert record is not None and alone is not None
    assert record.companions == names
    if kind == "file":
        assert record.product_digest == alone.product_digest
        assert record.product_digest == hashlib.sha256(b"mask").hexdigest()
    assert record.damage(product) is None and not record.is_touched(product)
    (tmp_path / "mask.png").unlink()
    assert record.is_touched(product)
    assert str(record.damage(product)) == f"{tmp_path / 'mask.png'} is missing"


@pytest.mark.parametrize("name", ["../..", "../", "../../mask.png", "../a/mask.png"])
def test_record_that_names_files_elsewhere_is_none(product: Path, name: str) -> None:
    item = described(product, Description())
    item["assets"]["data"]["skysieve:file"] = name
    place = record_path(product)
    place.write_text(json.dumps(item))
    with pytest.raises(BrokenRecord, match="beside the product"):
        read_record(place)


def test_digest_of_a_folder_product(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, names in ((one, "ab"), (two, "ac")):
        folder.mkdir()
        for name in names:
            (folder / name).write_text("same")
        described(folder, Description())
    digests = {read_record(record_path(each)).product_digest for each in (one, two)}  # type: ignore[union-attr]
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("text", "foreign"),
    [("", False), ("{", False), ("{}", True), ("[1]", True), ('{"properties": {}}', True)],
)
def test_broken_records(tmp_path: Path, text: str, foreign: bool) -> None:
    place = tmp_path / "x.json"
    place.write_text(text)
    with pytest.raises(BrokenRecord, match=r"x\.json") as caught:
        read_record(place)
    assert caught.value.foreign is foreign


def test_damage_is_said_in_words(product: Path, age: Any) -> None:
    described(product, Description())
    record = read_record(record_path(product))
    assert record is not None and record.damage(product) is None
    age(product)
    assert record.damage(product) is None
    product.write_bytes(b"SOME bytes")
    assert "are not those that were published" in str(record.damage(product))
    product.write_bytes(b"longer than before")
    assert "has 18 bytes, not 10" in str(record.damage(product))
    product.unlink()
    assert "is missing" in str(record.damage(product))


def test_canonical_digest() -> None:
    assert canonical_sha256({"b": [1, None], "a": "ä"}) == (
        hashlib.sha256(b'{"a":"\\u00e4","b":[1,null]}').hexdigest()
    )
    with pytest.raises(ValueError, match="JSON"):
        canonical_sha256(float("nan"))


def test_record_of_a_task_can_build_it_again(graph: ModuleType, scene: Path, out: Path) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out), repeat=4)
    task.run()
    record = read_record(record_path(task.product))
    assert record is not None
    assert graph.Copied.from_str_params(record.task["parameters"]) == task
    assert (record.task["module"], record.task["family"]) == ("small_graph", "Copied")
