"""The files of a product from the first source that has them. No task.

Usage: `notes = bring(name, parts, read_notes(place), progress)`
"""

from __future__ import annotations

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
from scenes.product_names import ProductName, landsat_file
from scenes.sources.listing import RemoteFile, RemoteProduct
from scenes.unpack import unpack

__all__ = ["bring", "bundle_of", "told_in_bytes"]

_log = logging.getLogger("luigi-interface.skysieve")
# What a product that came packed may hold at most: some times a whole one.
_MOST_BYTES, _MOST_FILES = 20 << 30, 5000


def bring(
    name: ProductName, parts: Parts, notes: Notes, progress: Progress, *, every: bool = False
) -> Notes:
    """Fetch the parts of a product that are not there, `every` file of it if asked for.

    Returns the notes with the files that came. Raises `FetchError` where no source gave it, naming
    each that was asked and why not, and `OSError` where it cannot be written.
    """
    failures: list[Failure] = []
    remedies: list[str] = []
    for source in sources(name.family):
        progress(0.0, f"asking {source.name}")
        try:
            product = source.product(name, _usual(name, parts))
            if product is None:
                failures.append(Failure(source.name, "it does not have this product"))
                continue
            files = _chosen(product, parts, notes, every=every)
            return _fetched(source, files, name, notes, progress, every=every)
        except FetchError as error:
            failures.append(Failure(source.name, str(error), passing=error.passing))
            remedies.append(source.remedy)
    if notes.place.is_dir() and not any(notes.place.iterdir()):
        notes.place.rmdir()
    raise FetchError(
        name.id,
        failures or [Failure("[acquire]", f"no source is set for {name.family}")],
        ". ".join(
            [*filter(None, dict.fromkeys(remedies))]
            + [
                f"Or put the product at {notes.place}, or name a folder that has it in archives of "
                "[acquire]"
            ]  # fmt: skip
        ),
    )


def _usual(name: ProductName, parts: Parts) -> list[str]:
    """Return what the files of the parts are usually called, as far as the id tells it."""
    if name.family != "landsat":
        return []
    return [landsat_file(name.id, part) for part in parts.matches]


def _chosen(product: RemoteProduct, parts: Parts, notes: Notes, *, every: bool) -> list[RemoteFile]:
    """Return what is to be fetched. Raises `FetchError` where a part is not among the files."""
    bundle = next((file for file in product.files if file.bundle), None)
    if every and bundle is None:
        return [file for file in product.files if not notes.holds(file.name)]
    by_name = {file.name: file for file in product.files if not file.bundle}
    found = parts.find(by_name)
    lacking = [part for part in parts.matches if part not in found]
    if lacking and bundle is not None:
        return [bundle]
    if lacking:
        raise FetchError(
            product.id,
            [Failure(product.source, f"it lists no file for {', '.join(lacking)}")],
        )
    return [by_name[each] for each in found.values() if not notes.holds(each)]


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
    # A product that is one file has its own name here, whatever the source calls it.
    single = name.family == "probav"
    if packed or single:
        folder = place.parent
        files = [_beside(place, file) for file in files]
    else:
        folder = place
    fetch_all(
        files,
        folder,
        session=source.session,
        connections=source.settings.connections,
        progress=told_in_bytes(progress),
        patience=patience(),
        remedy=source.remedy,
    )
    if not packed:
        for file in files:
            if file.checksum is not None:
                notes = notes.noted(file.name, file.checksum.algorithm, source.name)
        return replace(notes, whole=notes.whole or every)
    archive = folder / files[0].name
    _compare(archive, packed[0], source.name)
    progress(0.9, "unpacking")
    try:
        unpack(
            archive, place, choose=lambda member: _within(member, place),
            most_bytes=_MOST_BYTES, most_files=_MOST_FILES,
        )  # fmt: skip
    except ValueError as error:
        raise FetchError(name.id, [Failure(source.name, str(error))]) from error
    finally:
        # A damaged one would be taken for the product again.
        archive.unlink(missing_ok=True)
    return replace(notes, whole=True)


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


def _within(member: str, place: Path) -> str | None:
    """Return the path of a member within the product: without the folder that holds it all."""
    path = PurePosixPath(member)
    inside = path.relative_to(path.parts[0]) if path.parts[0] == place.name else path
    return inside.as_posix() if inside.parts else None


def told_in_bytes(progress: Progress) -> Callable[[int, int], None]:
    """Return what tells a progress in bytes as one in shares, with rate and time left."""
    rate = Rate()

    def told(done: int, total: int) -> None:
        rate.add(time.monotonic(), done)
        progress(0.9 * done / total if total else 0.0, rate.text(total or None))

    return told
