"""Products that appear whole: temporary folder, publication under a lock, and recovery.

Usage: `with workspace(product) as work: write(work.product); work.publish(record, fresh)`

Beside a product `X` live its record `X.json` and, only while somebody works on it,
`.X.skysieve-<hex>/` (a temporary folder, which its maker keeps locked) and `.X.skysieve-lock`:

    .X.skysieve-<hex>/lock         held by the maker while it lives
                      new/X        the product while it is written
                      record.json  the new record, complete before anything is published
                      old.json     the old record, taken away first
                      old/X        the old product, if it or the new one is a folder

Publication renames: the old record away, the product in, the new record in. Whatever moment a maker
dies at, this folder holds all that is needed to finish the step or to undo it (`debris.recover`).
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import luigi

from pipelines.product.debris import debris, publishing, recover, temporary
from pipelines.product.digests import YOUNG_NS
from pipelines.product.freshness import record_path
from pipelines.product.locks import hold
from pipelines.product.record import BrokenRecord, ProductFile, Record, product_files, read_record

__all__ = [
    "OutputError",
    "ProductTarget",
    "Workspace",
    "replace_record",
    "workspace",
]


class OutputError(OSError):
    """The product cannot be written at its place; the message says why and what to do."""


class ProductTarget(luigi.Target):
    """A product, a file or a folder, with its record beside it."""

    def __init__(self, path: str | Path) -> None:
        """Name the place; nothing is looked at."""
        self.path = Path(path)

    @property
    def record(self) -> Path:
        """Where the record is."""
        return record_path(self.path)

    def exists(self) -> bool:
        """Tell whether product and record are there; whether they are fresh only the task knows."""
        return self.path.exists() and self.record.exists()

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

    def settle(self) -> list[ProductFile]:
        """Flush the product to disk and return its files.

        Their modification times are set back a little: then even a file system with coarse clocks
        shows every later change. Raises `OSError` where nothing was written.
        """
        root = self.product
        files = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        settled = time.time_ns() - YOUNG_NS - YOUNG_NS // 2
        for path in files or [root]:
            _fsync(path)
            os.utime(path, ns=(settled, settled))
        for folder, _, _ in os.walk(root):
            _fsync(Path(folder))
        return product_files(root)

    def publish(self, record: Record, superseded: Callable[[], bool]) -> bool:
        """Put product and record in their places, under the target's lock.

        `superseded` is asked under the lock; where it says True (another maker was first, and its
        product is fresh), ours is left in the temporary folder and False is returned.

        Raises `OutputError` where a folder that is no product of ours stands in the way.
        """
        place, new = self.target, self.product
        pending = self.folder / "record.json"
        with publishing(place):
            if superseded():
                return False
            old = check_place(place)
            _write(pending, record.to_json())
            if new.is_dir() and place.is_dir():
                _keep_others(place, new, old)
            if record_path(place).exists():
                record_path(place).replace(self.folder / "old.json")
            if os.path.lexists(place) and (new.is_dir() or place.is_dir()):
                (self.folder / "old").mkdir()
                place.rename(self.folder / "old" / place.name)
            new.replace(place)
            _fsync(place.parent)
            shutil.rmtree(self.folder / "old", ignore_errors=True)
            pending.replace(record_path(place))
            _fsync(place.parent)
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
            f"({error}); make room or name another place with --outfolder",
        ) from error


def check_place(product: Path) -> Record | None:
    """Return the record of what stands at the place of `product`; None without one.

    Raises `OutputError` for what must not be replaced: a folder without a record (it may hold a
    user's data), and a file at the record's place that is JSON, but no record of ours.
    """
    try:
        record = read_record(record_path(product))
    except BrokenRecord as error:
        if error.foreign:
            raise OutputError(
                errno.EEXIST, f"{error}; move it away, or name another place with --outfolder"
            ) from error
        record = None
    if record is None and product.is_dir() and any(product.iterdir()):
        raise OutputError(
            errno.EEXIST,
            f"the folder {product} has no record of ours and will not be replaced; move it away, "
            "or name another place with --outfolder",
        )
    return record


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
            _write(pending / "record.json", new.to_json())
            (pending / "record.json").replace(record_path(product))
            pending.rmdir()
    except (OSError, BrokenRecord):
        return False
    return True


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


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder; they do it by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
