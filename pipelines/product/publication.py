"""The renames that publish a product, and what is done where a maker was killed among them.

Usage: `publish(folder, product, record, old)`; `recover(folder, product)` if that did not end

`folder` is the maker's temporary folder (see `pipelines.product.targets`). Both functions are
called under the lock of `product`.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from pipelines.product.files import file_path
from pipelines.product.record import BrokenRecord, Record, read_record, record_path

__all__ = ["flush", "publish", "recover", "write"]


def publish(folder: Path, product: Path, record: Record, old: Record | None) -> None:
    """Put the product in `folder`/new, its companions and then the record in their places.

    `old` is the record of what stands there; its companions that `record` does not name are
    removed, unless somebody has changed them. Raises `OSError`.
    """
    write(folder / "record.json", record.to_json())
    if record_path(product).exists():
        record_path(product).replace(folder / "old.json")
    _put(folder, product, record, old)


def recover(folder: Path, product: Path) -> None:
    """Finish or undo the publication that a dead maker began.

    It is undone where nothing was replaced yet. Otherwise it is finished, unless something that is
    not ours stands in the way by now: then all stays without a record. Raises `OSError`.
    """
    aside = folder / "old" / product.name
    if os.path.lexists(aside) and not os.path.lexists(product):
        aside.rename(product)
    if record_path(product).exists():
        return
    new, old = _record(folder / "record.json"), _record(folder / "old.json")
    for record, name in ((new, "record.json"), (old, "old.json")):
        if record is not None and record.damage(product) is None:
            (folder / name).replace(record_path(product))
            return
    if new is not None and _can_finish(folder, product, new, old):
        _put(folder, product, new, old)


def write(path: Path, text: str) -> None:
    """Write a file and flush it to the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder; they do it by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _put(folder: Path, product: Path, record: Record, old: Record | None) -> None:
    """Do what is left to do of a publication when the old record is away."""
    new, aside = folder / "new" / product.name, folder / "old"

    def set_aside(place: Path) -> None:
        aside.mkdir(exist_ok=True)
        place.rename(aside / place.name)

    for file in old.files if old else ():
        dropped = file.companion is not None and file.companion not in record.companions
        if dropped and file.damage(product) is None:
            set_aside(file_path(product, file.name))
    for name in record.companions:
        # One that is not there is in its place already, or was kept from the product before.
        if new.with_name(name).exists():
            new.with_name(name).replace(product.with_name(name))
    if new.exists():
        if new.is_dir() and product.is_dir():
            _keep_others(product, new, old)
        if os.path.lexists(product) and (new.is_dir() or product.is_dir()):
            set_aside(product)
        new.replace(product)
    flush(product.parent)
    shutil.rmtree(aside, ignore_errors=True)
    (folder / "record.json").replace(record_path(product))
    flush(product.parent)


def _can_finish(folder: Path, product: Path, new: Record, old: Record | None) -> bool:
    """Tell whether all of `new` is at hand, and only files of ours stand in its way."""
    for name in ("", *new.companions):
        place = product.with_name(name) if name else product
        if _is_whole(new, product, name):
            continue
        ours = not os.path.lexists(place) or (old is not None and _is_whole(old, product, name))
        if not (ours and _is_whole(new, folder / "new" / product.name, name)):
            return False
    return True


def _is_whole(record: Record, product: Path, companion: str) -> bool:
    """Tell whether the `companion` (the product itself: "") is what `record` says."""
    files = [file for file in record.files if (file.companion or "") == companion]
    return bool(files) and all(file.damage(product) is None for file in files)


def _keep_others(place: Path, new: Path, record: Record | None) -> None:
    """Link the files in the folder `place` that are not the product's into the folder `new`."""
    ours = {file.name for file in record.files} if record else set()
    for root, _, names in os.walk(place):
        for name in names:
            path = Path(root, name)
            relative = path.relative_to(place)
            copy = new / relative
            if relative.as_posix() in ours or os.path.lexists(copy):
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, copy, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, copy, follow_symlinks=False)


def _record(path: Path) -> Record | None:
    with suppress(BrokenRecord):
        return read_record(path)
    return None
