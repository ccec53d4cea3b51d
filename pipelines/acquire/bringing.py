"""The files of a product from the first source that has them. No task.

Usage: `notes = bring(name, parts, read_notes(place), progress)`
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pipelines.acquire.notes import Notes
from pipelines.acquire.parts import Parts
from pipelines.acquire.sources import OpenSource, patience, sources
from pipelines.progress import Progress
from scenes.fetch.failure import Failure, FetchError
from scenes.fetch.many import fetch_all
from scenes.fetch.rate import Rate
from scenes.landsat_layout import file_endings
from scenes.product_names import ProductName, landsat_file
from scenes.sources.listing import RemoteFile, RemoteProduct
from scenes.unpack import unpack

__all__ = ["bring", "bundle_of", "told_in_bytes", "unpack_whole"]

_log = logging.getLogger("luigi-interface.skysieve")
# What a product that came packed may hold at most: some times a whole one.
_MOST_BYTES, _MOST_FILES = 20 << 30, 5000


def bring(
    name: ProductName, parts: Parts, notes: Notes, progress: Progress, *, every: bool = False
) -> Notes:
    """Fetch the parts of a product, or `every` file of it that is not there.

    Returns the notes with the files that came. Raises `FetchError` where no source gave it, naming
    each that was asked and why not, and `OSError` where it cannot be written.
    """
    failures: list[Failure] = []
    remedies: list[str] = []
    for source in sources(name.family):
        progress(0.0, f"asking {source.name}")
        try:
            product = source.product(name, _usual(name, parts, every=every))
            if product is None:
                failures.append(Failure(source.name, "it does not have this product"))
                continue
            files = _chosen(product, name, parts, notes, every=every)
            return _fetched(source, files, name, notes, progress, every=every)
        except (FetchError, ValueError) as error:
            passing = isinstance(error, FetchError) and error.passing
            failures.append(Failure(source.name, _reason(error), passing=passing))
            remedies.append(source.remedy)
    if notes.place.is_dir() and not any(notes.place.iterdir()):
        notes.place.rmdir()
    by_hand = (
        f"Or put the product at {notes.place}, or name a folder that has it in archives of "
        "[acquire]"
    )
    raise FetchError(
        name.id,
        failures or [Failure("[acquire]", f"no source is set for {name.family}")],
        ". ".join([*filter(None, dict.fromkeys(remedies)), by_hand]),
    )


def _reason(error: FetchError | ValueError) -> str:
    """Return why a source gave nothing, without what to do, which is said once for all."""
    if isinstance(error, FetchError) and error.failures:
        return "; ".join(f"{each.address}: {each.reason}" for each in error.failures)
    return str(error)


def _usual(name: ProductName, parts: Parts, *, every: bool) -> list[str]:
    """Return what the files are usually called, as far as the id tells it."""
    if name.family != "landsat":
        return []
    if not every:
        return [landsat_file(name.id, part) for part in parts.matches]
    bands = ("MTL", *file_endings(name.collection))
    return [*(landsat_file(name.id, band) for band in bands), f"{name.id}_ANG.txt"]


def _chosen(
    product: RemoteProduct, name: ProductName, parts: Parts, notes: Notes, *, every: bool
) -> list[RemoteFile]:
    """Return what is to be fetched. Raises `FetchError` where a part is not among the files."""
    bundle = next((file for file in product.files if file.bundle), None)
    single = [file for file in product.files if not file.bundle]
    found = parts.find(file.name for file in single)
    lacking = parts.without(found).matches
    if bundle is not None and (lacking or every):
        return [bundle]
    if lacking:
        raise FetchError(
            product.id, [Failure(product.source, f"it lists no file for {', '.join(lacking)}")]
        )
    # A Proba-V product is one file, whatever lies beside it at its source.
    if every and name.family != "probav":
        return [file for file in single if not notes.holds(file.name)]
    return [file for file in single if file.name in found.values()]


def _fetched(
    source: OpenSource,
    files: Sequence[RemoteFile],
    name: ProductName,
    notes: Notes,
    progress: Progress,
    *,
    every: bool,
) -> Notes:
    """Fetch the files, unpack one that is the whole product, and note them."""
    place = notes.place
    packed = [file for file in files if file.bundle]
    folder = place
    # A product that is one file has its own name here, whatever the source calls it.
    if packed or name.family == "probav":
        folder = place.parent
        files = [_beside(place, file) for file in files]
    fetch_all(
        files,
        folder,
        session=source.session,
        connections=source.settings.connections,
        progress=told_in_bytes(progress),
        patience=patience(),
        remedy=source.remedy,
    )
    if packed:
        _compare(bundle_of(place), packed[0], source.name)
        progress(0.9, "unpacking")
        taken = unpack_whole(
            bundle_of(place), place, choose=lambda member: _within(member, name),
            most_bytes=_MOST_BYTES, most_files=_MOST_FILES,
        )  # fmt: skip
        # They are noted as they are proved: each at its first use.
        names = tuple(path.relative_to(place).as_posix() for path in taken)
        return replace(notes, whole=True, packed={packed[0].name: names})
    for file in files:
        if file.checksum is not None:
            notes = notes.noted(file.name, file.checksum.algorithm, source.name)
    if not every:
        return notes
    return replace(notes, whole=True, packed={"": tuple(file.name for file in files)})


def unpack_whole(
    archive: Path,
    folder: Path,
    *,
    choose: Callable[[str], str | None] | None,
    most_bytes: int,
    most_files: int,
) -> list[Path]:
    """Unpack an archive, which goes then, and return the files.

    Raises `FetchError` for one that is damaged or not to be trusted, which goes too: it would be
    taken for the right one again. Where the disk is full it stays, and `OSError` is raised.
    """
    try:
        taken = unpack(archive, folder, choose=choose, most_bytes=most_bytes, most_files=most_files)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        archive.unlink(missing_ok=True)
        raise FetchError(folder.name, [Failure(archive.name, str(error))]) from error
    archive.unlink()
    return taken


def bundle_of(place: Path) -> Path:
    """Return where the archive of a product lies until it is unpacked."""
    return place.with_name(f".{place.name}.bundle")


def _compare(archive: Path, file: RemoteFile, source: str) -> None:
    """Say so where the sum of an archive is another; its members have to prove themselves."""
    if file.checksum is not None and file.checksum.found(archive) != file.checksum.digest:
        _log.warning(
            "the %s of %s is not what %s says of it; its files are looked at one by one",
            file.checksum.algorithm,
            file.name,
            source,
        )


def _beside(place: Path, file: RemoteFile) -> RemoteFile:
    """Return a file with its name beside the place: hidden for an archive, which goes again.

    What a service says of an archive may be of what it keeps, not of what it packs to send: its
    sum is compared afterwards.
    """
    if file.bundle:
        return replace(file, name=bundle_of(place).name, checksum=None)
    return replace(file, name=place.name)


def _within(member: str, name: ProductName) -> str:
    """Return the path of a member within the product, without the folder that holds it all."""
    path = PurePosixPath(member)
    if name.family == "landsat":
        return path.name
    if path.parts[0].endswith(".SAFE") or path.parts[0] == name.id:
        return PurePosixPath(*path.parts[1:]).as_posix()
    return path.as_posix()


def told_in_bytes(progress: Progress) -> Callable[[int, int], None]:
    """Return what tells a progress in bytes as one in shares, with rate and time left."""
    rate = Rate()

    def told(done: int, total: int) -> None:
        rate.add(time.monotonic(), done)
        progress(0.9 * done / total if total else 0.0, rate.text(total or None))

    return told
