"""Several files side by side, from a server on this machine."""

from __future__ import annotations

import errno
import hashlib
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scenes.fetch import Checksum, FetchError, Patience, fetch_all
from scenes.sources.listing import RemoteFile

QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=1, connect=2, read=5)
NAMES = [f"GRANULE/IMG_DATA/B{number:02}.jp2" for number in range(1, 9)] + ["manifest.safe"]


def body(name: str, size: int = 200_000) -> bytes:
    return random.Random(name).randbytes(size)


@pytest.fixture
def product(served):
    """Files of a product, which the server has."""
    files = []
    for name in NAMES:
        served.files[f"/{name}"] = body(name)
        digest = Checksum("md5", hashlib.md5(body(name)).hexdigest())
        files.append(RemoteFile(name, (served.address(f"/{name}"),), len(body(name)), digest))
    return files


def unknown(files: list[RemoteFile]) -> list[RemoteFile]:
    return [RemoteFile(file.name, file.addresses) for file in files]


def there(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_are_brought_to_their_names(served, product, tmp_path):
    folder, told = tmp_path / "a/L1C.SAFE", []
    served.pause = 0.01
    done = fetch_all(
        product, folder, connections=3, progress=lambda *at: told.append(at), patience=QUICK
    )
    assert there(folder) == sorted(NAMES)
    assert all((folder / name).read_bytes() == body(name) for name in NAMES)
    assert [each.path for each in done] == [folder / name for name in NAMES]
    assert [each.address for each in done] == [file.addresses[0] for file in product]
    total = 200_000 * len(NAMES)
    assert told[0] == (0, total) and told[-1] == (total, total) and told == sorted(told)
    assert 2 <= served.busiest <= 3 and served.connections <= 3


def test_files_that_are_there_and_right_are_left_alone(served, product, tmp_path):
    fetch_all(product, tmp_path)
    served.asked.clear()
    told: list[tuple[int, int]] = []
    done = fetch_all(product, tmp_path, progress=lambda *at: told.append(at))
    assert not served.asked and told[0] == (1_800_000, 1_800_000)
    assert done[0].address == str(tmp_path / NAMES[0])
    # Of the right size: only a checksum tells that it is wrong.
    (tmp_path / NAMES[0]).write_bytes(bytes(200_000))
    sizes = [RemoteFile(file.name, file.addresses, file.size) for file in product]
    fetch_all(sizes, tmp_path)
    assert not served.asked
    fetch_all(product, tmp_path)
    assert [each["path"] for each in served.asked] == [f"/{NAMES[0]}"]
    assert (tmp_path / NAMES[0]).read_bytes() == body(NAMES[0])


def test_sizes_that_nobody_knew_are_told_when_they_are(served, product, tmp_path):
    told: list[tuple[int, int]] = []
    fetch_all(unknown(product), tmp_path, connections=1, progress=lambda *at: told.append(at))
    assert told[0] == (0, 0) and told[-1] == (1_800_000, 1_800_000)
    assert told[1][1] == 200_000 and all(done <= total for done, total in told)


def test_what_partial_files_have_counts(served, serving, product, tmp_path):
    served.answers[f"/{NAMES[0]}"] = [serving.cut(150_000)]
    with pytest.raises(FetchError):
        fetch_all(product[:1], tmp_path, patience=Patience(attempts=1))
    told: list[tuple[int, int]] = []
    fetch_all(product[:2], tmp_path, progress=lambda *at: told.append(at))
    assert told[0] == (150_000, 400_000) and told == sorted(told)
    assert {each.get("Range") for each in served.asked[1:]} == {"bytes=150000-", None}


@pytest.mark.parametrize("known", [True, False])
def test_the_first_error_is_raised_and_the_others_stop(served, serving, product, tmp_path, known):
    files = product if known else unknown(product)
    served.answers[f"/{NAMES[0]}"] = [serving.hangs(50_000)]
    served.answers[f"/{NAMES[1]}"] = [serving.says(503, Retry_After="30")]
    begun = tmp_path / "GRANULE/IMG_DATA/.B01.jp2.part"

    def fail(handler):
        while not (begun.exists() and begun.stat().st_size == 50_000):
            time.sleep(0.01)
        handler.say(404)

    served.answers[f"/{NAMES[2]}"] = [fail]
    began = time.monotonic()
    with pytest.raises(
        FetchError, match=r"cannot fetch B03\.jp2: .* HTTP 404 .*\. Look there"
    ) as e:
        fetch_all(files, tmp_path, connections=3, remedy="Look there")
    assert NAMES[2] in str(e.value)
    assert time.monotonic() - began < 15, "neither the read nor the wait was broken off"
    assert there(tmp_path) == [
        "GRANULE/IMG_DATA/.B01.jp2.part",
        f"{begun.relative_to(tmp_path)}.json",
    ]
    assert not {each["path"] for each in served.asked} & {f"/{name}" for name in NAMES[5:]}
    assert not [each for each in threading.enumerate() if each.name.startswith("fetch")]
    served.asked.clear()
    fetch_all(files, tmp_path)
    assert there(tmp_path) == sorted(NAMES)
    ranges = {each["path"]: each.get("Range") for each in served.asked}
    assert ranges[f"/{NAMES[0]}"] == "bytes=50000-"


def test_an_interrupt_stops_soon(served, serving, product, tmp_path):
    for name in NAMES:
        served.answers[f"/{name}"] = [serving.hangs(1000)]
    main = threading.main_thread().ident
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def told(done: int, total: int) -> None:
        if done == 4000:
            signal.pthread_kill(main, signal.SIGINT)

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch_all(product, tmp_path, progress=told, patience=Patience(read=50))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 15
    assert len(served.asked) == 4
    assert [path.stat().st_size for path in tmp_path.rglob("*.part")] == [1000] * 4


def test_an_error_of_the_caller_stops_too(served, product, tmp_path):
    def told(done: int, total: int) -> None:
        if done > 300_000:
            raise RuntimeError("no more of this")

    with pytest.raises(RuntimeError, match="no more"):
        fetch_all(product, tmp_path, progress=told)


def test_somebody_else_with_the_same_file_is_waited_for_until_a_stop(
    served, serving, product, tmp_path
):
    served.answers[f"/{NAMES[0]}"] = [serving.hangs(1000)]
    held = threading.Thread(target=lambda: fetch_all(product[:1], tmp_path, patience=QUICK))
    held.start()
    while not list(tmp_path.rglob("*.part")) or not served.asked:
        time.sleep(0.01)
    served.answers[f"/{NAMES[1]}"] = [serving.says(404)]
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"B02\.jp2"):
        fetch_all(product[:2], tmp_path)
    assert time.monotonic() - began < 4
    served.go.set()
    held.join(20)
    assert not held.is_alive() and there(tmp_path) == [NAMES[0]]


def test_servers_that_ask_for_patience_get_it(served, serving, product, tmp_path):
    for name in NAMES:
        served.answers[f"/{name}"] = [serving.says(429, Retry_After="0")] * 2
    fetch_all(product, tmp_path, patience=Patience(attempts=3, first_wait=60))
    assert there(tmp_path) == sorted(NAMES)
    assert len(served.asked) == 3 * len(NAMES)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    served, product, tmp_path, monkeypatch
):
    fetch_all(product[:2], tmp_path)
    part = tmp_path / "GRANULE/IMG_DATA/.B03.jp2.part"
    part.write_bytes(bytes(60_000))
    served.asked.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_339_999))
    with pytest.raises(OSError, match="1,340,000 bytes are needed, 1,339,999 are free") as caught:
        fetch_all(product, tmp_path)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path)
    assert not served.asked
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_340_000))
    fetch_all(product, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc/x", "//x", "../x", "a/../../x", "a/..", "a\\b", "a/", "./a", "a//b"]
    + ["a\0b", "a\nb", "..\\x", "out/x"],
)
def test_names_stay_in_the_folder(served, product, tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "out").symlink_to(tmp_path / "outside")
    files = [*product, RemoteFile(name, product[0].addresses)]
    with pytest.raises(ValueError, match="stays in|leads out of"):
        fetch_all(files, folder)
    assert not served.asked and there(tmp_path) == []


def test_a_link_within_the_folder_is_followed(product, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "GRANULE").symlink_to(tmp_path / "real")
    fetch_all(product, tmp_path)
    assert (tmp_path / "real/IMG_DATA/B01.jp2").is_file()


def test_what_makes_no_sense_is_refused(product, tmp_path):
    with pytest.raises(ValueError, match=r"'manifest\.safe' is there twice"):
        fetch_all([*product, product[-1]], tmp_path)
    with pytest.raises(ValueError, match="at least one connection, not 0"):
        fetch_all(product, tmp_path, connections=0)
    assert fetch_all([], tmp_path) == [] and there(tmp_path) == []
