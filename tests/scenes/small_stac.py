"""Small catalogues in the form of real ones, and services on this machine that have them.

Usage: `with rustac(folder, catalogue()) as url: ...`; `with answering(answers) as service: ...`
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Item = dict[str, Any]

LANDSAT, SENTINEL2, PROBAV = "landsat-c2l1", "sentinel-2-l1c", "terrascope-probav-l2a-333m-hdf-v1"
LANDSAT_ID = "LC08_L1TP_195025_20130707_20200912_02_T1"
SENTINEL2_ID = "S2A_MSIL1C_20200105T105431_N0208_R051_T31UFS_20200105T112352"
PROBAV_ID = "PROBAV_L2A_20140321_150455_3_333M_V101"
LANDSAT_FOLDER = "collection02/level-1/standard/oli-tirs/2013/195/025"
# What the files hold is known to nobody but their sums.
CONTENT = b"a band"


def multihash(algorithm: str, prefix: str, content: bytes = CONTENT) -> str:
    return prefix + hashlib.new(algorithm, content).hexdigest()


def item(identifier: str, collection: str, when: str, assets: Item, **properties: Any) -> Item:
    west, south = 10.0, 50.0
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1],
            [west, south]]  # fmt: skip
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": identifier,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + 1, south + 1],
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": assets,
    }


def landsat(identifier: str = LANDSAT_ID, suffix: str = "", **properties: Any) -> Item:
    """An item as landsatlook has it: an address there, a twin in S3 that costs who asks."""

    def asset(name: str, media: str, *roles: str) -> Item:
        path = f"{LANDSAT_FOLDER}/{identifier}/{identifier}_{name}"
        return {
            "href": f"https://landsatlook.usgs.gov/data/{path}",
            "type": media,
            "roles": list(roles),
            "file:checksum": multihash("sha512", "1340"),
            "file:size": len(CONTENT),
            "alternate": {
                "s3": {
                    "href": f"s3://usgs-landsat/{path}",
                    "storage:platform": "AWS",
                    "storage:requester_pays": True,
                }
            },
        }

    tiff = "image/vnd.stac.geotiff; cloud-optimized=true"
    when = f"{identifier[17:21]}-{identifier[21:23]}-{identifier[23:25]}T10:17:42.164947Z"
    told = {"eo:cloud_cover": 3.5, "landsat:wrs_path": identifier[10:13],
            "landsat:wrs_row": identifier[13:16]} | properties  # fmt: skip
    return item(
        identifier + suffix,
        LANDSAT,
        when,
        {
            "thumbnail": asset("thumb_small.jpeg", "image/jpeg", "thumbnail"),
            "reduced_resolution_browse": asset("thumb_large.jpeg", "image/jpeg", "overview"),
            "index": {
                "href": f"https://landsatlook.usgs.gov/stac-browser/{LANDSAT_FOLDER}/{identifier}",
                "type": "text/html",
                "roles": ["metadata"],
            },
            "blue": asset("B2.TIF", tiff, "data"),
            "red": asset("B4.TIF", tiff, "data"),
            "MTL.txt": asset("MTL.txt", "text/plain", "metadata"),
        },
        **{key: value for key, value in told.items() if value is not None},
    )


def sentinel2(identifier: str = SENTINEL2_ID, **properties: Any) -> Item:
    """An item as Copernicus has it: S3 of its own, and OData in place of files."""
    odata = "https://download.dataspace.copernicus.eu/odata/v1/Products(0a1b)"
    granule = "GRANULE/L1C_T31UFS_A023690_20200105T105651"
    folder = f"s3://eodata/Sentinel-2/MSI/L1C/2020/01/05/{identifier}.SAFE"

    def asset(path: str, media: str, *roles: str) -> Item:
        nodes = "".join(f"/Nodes({part})" for part in (f"{identifier}.SAFE", *path.split("/")))
        return {
            "href": f"{folder}/{path}",
            "type": media,
            "roles": list(roles),
            "file:checksum": multihash("md5", "d50110"),
            "file:size": len(CONTENT),
            "storage:refs": ["cdse-s3"],
            "alternate": {"https": {"href": f"{odata}{nodes}/$value", "auth:refs": ["oidc"]}},
        }

    tile = identifier[39:44]
    schemes = {"cdse-s3": {"type": "custom-s3", "requester_pays": False}}
    return item(
        identifier,
        SENTINEL2,
        f"{identifier[11:15]}-{identifier[15:17]}-{identifier[17:19]}T10:54:31.000Z",
        {
            "B04": asset(f"{granule}/IMG_DATA/T31UFS_20200105T105431_B04.jp2", "image/jp2", "data"),
            "safe_manifest": asset("manifest.safe", "application/xml", "metadata"),
            "thumbnail": asset(f"{identifier}-ql.jpg", "image/jpeg", "thumbnail"),
            "Product": {"href": f"{odata}/$value", "type": "application/zip", "roles": ["data"]},
        },
        **{"eo:cloud_cover": 12.0, "grid:code": f"MGRS-{tile}", "storage:schemes": schemes}
        | properties,
    )


def probav(identifier: str = PROBAV_ID, collection: str = PROBAV) -> Item:
    """An item of one file, with a relative address and a sum of a kind that is not known."""
    day = identifier.split("_")[2]
    return item(
        identifier,
        collection,
        f"{day[:4]}-{day[4:6]}-{day[6:]}T15:04:55Z",
        {
            "data": {
                "href": f"../../../../download/{day}/{identifier}.HDF5",
                "type": "application/x-hdf5",
                "roles": ["data"],
                # BLAKE3, 0x1e.
                "file:checksum": "1e20" + "ab" * 32,
            }
        },
    )


def collection(identifier: str) -> Item:
    return {
        "type": "Collection",
        "id": identifier,
        "stac_version": "1.0.0",
        "description": identifier,
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2013-01-01T00:00:00Z", None]]},
        },
        "links": [],
    }


def many(days: int = 250) -> list[Item]:
    """Landsat items of one path and two rows, a day each, of 0 to 99 percent of clouds."""
    found = []
    for day in range(days):
        date = time.strftime("%Y%m%d", time.gmtime(1388534400 + 86400 * day))
        name = f"LC08_L1TP_044{33 + day % 2:03d}_{date}_20200912_02_T1"
        found.append(landsat(name, **{"eo:cloud_cover": day % 100}))
    return found


@contextmanager
def rustac(folder: Path, collections: list[str], items: list[Item]) -> Iterator[str]:
    """Serve items with rustac, a STAC API that filters by place and time, not by properties."""
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    for name in collections:
        (folder / f"{name}.json").write_text(json.dumps(collection(name)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    files = [f"{name}.json" for name in collections] + ["items.json"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program() or "rustac", "serve", "--addr", address, *files],
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(f"http://{address}/", server)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def program() -> str | None:
    """Return where `rustac` is, beside this Python or elsewhere."""
    return shutil.which("rustac", path=str(Path(sys.executable).parent)) or shutil.which("rustac")


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(500):
        assert server.poll() is None, "rustac ended"
        try:
            opener.open(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("rustac does not answer")


# What a service answers: status, headers and body; a body that is no bytes is sent as JSON.
Answer = tuple[int, dict[str, str], Any]


@contextmanager
def answering(answer: Callable[[SimpleNamespace], Answer]) -> Iterator[SimpleNamespace]:
    """Serve what `answer` returns for a request; `asked` is the list of requests.

    A request has `path`, `body` (of JSON, or None), and `url`, the address of the service.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = SimpleNamespace(path=self.path, body=body, url=service.url)
            service.asked.append(asked)
            code, headers, sent = answer(asked)
            content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                pass

        do_POST = do_GET  # noqa: N815 - as http.server calls it

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    service = SimpleNamespace(url=f"http://127.0.0.1:{server.server_address[1]}", asked=[])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def landing(url: str, *extensions: str) -> Item:
    """The first page of a STAC API that advertises `extensions` of item search."""
    base = "https://api.stacspec.org/v1.0.0"
    classes = [f"{base}/core", f"{base}/item-search", f"{base}/collections"]
    return {
        "type": "Catalog",
        "id": "small",
        "description": "small",
        "stac_version": "1.0.0",
        "conformsTo": classes + [f"{base}/item-search#{each}" for each in extensions],
        "links": [
            {"rel": "self", "href": url},
            {"rel": "data", "href": f"{url}/collections"},
            {"rel": "search", "href": f"{url}/search", "method": "POST"},
        ],
    }
