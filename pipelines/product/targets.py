"""Products that appear whole: temporary folder, publication under a lock, and recovery.

Usage: `with workspace(product) as work: write(work.product); work.publish(record, fresh)`

Beside a product `X` live its record `X.json` and, only while somebody works on it,
`.X.skysieve-<hex>/` (a temporary folder, which its maker keeps locked) and `.X.skysieve-lock`:

    .X.skysieve-<hex>/lock         held by the maker while it lives
                      new/X        the product while it is written, companions beside it
                      record.json  the new record, complete before anything is published
                      old.json     the old record, taken away first
                      old/X        the old product, if it or the new one is a folder

Publication renames: the old record away, companions and product in, the new record in. Whatever
moment a maker dies at, this folder holds all that is needed to finish it or to undo it
(`pipelines.product.publication`).
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import luigi

from pipelines.product.debris import debris, publishing, temporary
from pipelines.product.digests import YOUNG_NS
from pipelines.product.files import ProductFile, check_companions, product_files
from pipelines.product.locks import hold
from pipelines.product.owner import owners
from pipelines.product.publication import flush, publish, recover, write
from pipelines.product.record import BrokenRecord, Record, read_record, record_path

__all__ = [
    "OutputError",
    "ProductTarget",
    "Workspace",
    "check_place",
    "explained",
    "replace_record",
    "strangers",
    "workspace",
]


class OutputError(OSError):
    """The product cannot be written at its place; the message says why and what to do."""


class ProductTarget(luigi.Target):
    """A product, a file or a folder, with its record beside it.

    `companions` are the names of files beside it that belong to it, as far as they are asked for:
    `ProductTarget("out/a.tif", companions=("a.png",))`.
    """

    def __init__(self, path: str | Path, companions: Iterable[str] = ()) -> None:
        """Name the place; nothing is looked at. Raises `ValueError` (see `check_companions`)."""
        self.path = Path(path)
        self.companions = tuple(companions)
        if self.companions:
            check_companions(self.path, self.companions)

    @property
    def record(self) -> Path:
        """Where the record is."""
        return record_path(self.path)

    def exists(self) -> bool:
        """Tell whether all files are there; whether they are fresh only the task knows."""
        return all(path.exists() for path in (*self.places, self.record))

    @property
    def places(self) -> tuple[Path, ...]:
        """Where the product and the companions asked for are."""
        return (self.path, *map(self.path.with_name, self.companions))

    def __fspath__(self) -> str:
        """Return the product's path, so that the target can be opened like one."""
        return str(self.path)

    def __str__(self) -> str:
        """Return the product's path."""
        return str(self.path)


@dataclass(frozen=True)
class Workspace:
    """The temporary folder of one maker; write the product at `product`.

    `recovered` tells that killed makers of the same product had left something.
    """

    target: Path
    folder: Path
    recovered: bool

    @property
    def product(self) -> Path:
        """Where to write: the target's own file name, in a folder that is there."""
        return self.folder / "new" / self.target.name

    def settle(self, companions: Iterable[str] = ()) -> list[ProductFile]:
        """Flush the product and those of the `companions` that are there; return their files.

        Their modification times are set back a little: then even a file system with coarse clocks
        shows every later change. Raises `OSError` where nothing was written.
        """
        root = self.product
        found = [name for name in companions if root.with_name(name).is_file()]
        files = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        settled = time.time_ns() - YOUNG_NS - YOUNG_NS // 2
        for path in (*(files or [root]), *map(root.with_name, found)):
            flush(path)
            os.utime(path, ns=(settled, settled))
        for folder, _, _ in os.walk(root):
            flush(Path(folder))
        return product_files(root, found)

    def publish(self, record: Record, superseded: Callable[[], bool]) -> bool:
        """Put product, companions and record in their places, under the target's lock.

        `superseded` is asked under the lock; where it says True (another maker was first, and its
        product is fresh), ours is left in the temporary folder and False is returned.

        Raises `OutputError` where something that is no product of ours stands in the way.
        """
        place = self.target
        with publishing(place):
            if superseded():
                return False
            old = check_place(place, record.companions)
            publish(self.folder, place, record.with_companions_of(old, place), old)
        return True


@contextmanager
def workspace(product: Path, space_needed: int = 0) -> Iterator[Workspace]:
    """Make a temporary folder beside `product`, and remove it in the end.

    What killed makers of the same product left is finished, undone or removed first.
    `space_needed` is in bytes. Raises `OutputError` where the folder is no folder, cannot be made
    or written, or has not enough room.
    """
    with ExitStack() as stack:
        with explained(product):
            product.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(product.parent).free
            if free < space_needed:
                raise OSError(errno.ENOSPC, f"{space_needed:,} bytes are needed, {free:,} are free")
            with publishing(product):
                left = [each for each in debris(product.parent, product.name) if each.is_folder]
                recovered = [each.clear_locked() for each in left]
                folder = temporary(product)
                folder.mkdir()
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(hold(folder / "lock", create=True))
                (folder / "new").mkdir()
        try:
            yield Workspace(product, folder, any(recovered))
        finally:
            if (folder / "record.json").exists():
                with publishing(product):
                    recover(folder, product)


# What stands in the way of writing, by error number.
_OBSTACLES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}
_OTHER_PLACE = "with --outfolder (of InferenceDA: --image-dest)"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries that report a full disk in their own words fail when less than this many bytes are left.
_NO_SPACE_LEFT = 1 << 20


@contextmanager
def explained(product: Path, work: Path | None = None) -> Iterator[None]:
    """Turn errors of the output's place into an `OutputError` that says what to do.

    With `work`, the folder that is written to, only a full disk is taken for an error of the
    output: others may speak of an input. Libraries raise what they like when the disk is full, so
    the free space decides too.
    """
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        number = error.errno or 0 if isinstance(error, OSError) else 0
        if work and number not in _FULL:
            full = shutil.disk_usage(work).free < _NO_SPACE_LEFT
            number = errno.ENOSPC if full else 0
        if number not in _OBSTACLES:
            raise
        raise OutputError(
            number,
            f"cannot write {product.name} to the folder {product.parent}: {_OBSTACLES[number]} "
            f"({error}); make room or name another place {_OTHER_PLACE}",
        ) from error


def check_place(product: Path, companions: Iterable[str] = ()) -> Record | None:
    """Return the record of what stands at the place of `product`; None without one.

    Raises `OutputError` for what must not be replaced: a folder without a record (it may hold a
    user's data), a file of another product of ours, and a file at the record's place that is JSON,
    but no record of ours.
    """
    try:
        record = read_record(record_path(product))
    except BrokenRecord as error:
        if error.foreign:
            raise _refusal(str(error)) from error
        record = None
    for path in strangers(product, companions, record):
        if path.is_dir() and (path != product or any(path.iterdir())):
            raise _refusal(f"the folder {path} has no record of ours and will not be replaced")
        for owner, _ in owners(path):
            raise _refusal(f"{path} belongs to {owner} and will not be replaced")
    return record


def strangers(product: Path, companions: Iterable[str], record: Record | None) -> list[Path]:
    """Return what stands at the places of a product and its `companions` and is not in `record`."""
    known = record.companions if record else ()
    places = [product.with_name(name) for name in companions if name not in known]
    if record is None:
        places.append(product)
    return [path for path in places if os.path.lexists(path)]


def _refusal(what: str) -> OutputError:
    return OutputError(
        errno.EEXIST,
        f"{what}; move it away, or name another place {_OTHER_PLACE}",
    )


def replace_record(product: Path, old: Record, new: Record) -> bool:
    """Replace the record of `product` if it still is `old`; a best effort.

    Returns False, and leaves all as it is, where another process holds the lock, the folder cannot
    be written, or the record is another one by now.
    """
    try:
        with publishing(product, wait=False):
            if read_record(record_path(product)) != old:
                return False
            pending = temporary(product)
            pending.mkdir()
            write(pending / "record.json", new.to_json())
            (pending / "record.json").replace(record_path(product))
            pending.rmdir()
    except (OSError, BrokenRecord):
        return False
    return True
