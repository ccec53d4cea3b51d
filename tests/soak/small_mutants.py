"""Tiny files of each input format, changed at random, and processes that read them.

Usage: `with Reader("jp2", folder) as reader: outcome = reader.read(17)`
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import multiprocessing
import random
import resource
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import small_networks
import small_scenes

from models.weights.hdf5 import file_bytes, stored_layers
from models.weights.loading import inspect_weights
from scenes.archive import open_product
from scenes.grid import Rows
from scenes.labels import open_labels
from scenes.landsat import open_scene
from scenes.mtl import read_metadata
from scenes.probav import open_probav
from scenes.probav_layout import BANDS
from scenes.sentinel2 import open_sentinel2

# Seconds and bytes that reading a tiny file may take.
LIMIT, MEMORY = 20.0, 6 << 30
TEXTS = (".txt", ".xml", ".hdr")
REFUSED, EQUAL, DIFFERENT, FOREIGN = "refused", "read equal", "read different", "other error"
CRASHED, HUNG = "crashed", "hung"


@dataclass(frozen=True)
class Format:
    """`make` writes a product into a folder; `read` reads all of it, as bytes.

    `files` are patterns of the files that are changed, in turns; `checked` says that the product
    carries checksums, or that its digest is known.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], bytes]
    files: tuple[str, ...]
    checked: bool = False


def _landsat(folder: Path) -> None:
    scene, *_ = small_scenes.landsat(folder, bands=("B4",))
    codes = np.where(np.arange(small_scenes.SHAPE[1]) < 40, 128, 255).astype(np.uint8)
    stem = scene / f"{small_scenes.LANDSAT}_fixedmask"
    np.tile(codes, (small_scenes.SHAPE[0], 1)).tofile(stem.with_name(f"{stem.name}.img"))
    height, width = small_scenes.SHAPE
    stem.with_name(f"{stem.name}.hdr").write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = 1\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"
    )


def _read_tiff(folder: Path) -> bytes:
    scene = open_scene(folder / small_scenes.LANDSAT, ["B4"])
    with scene.reader(["B4"]) as reader:
        return reader.read("B4", Rows(0, scene.grid.height)).tobytes() + repr(scene.grid).encode()


def _read_mtl(folder: Path) -> bytes:
    return repr(read_metadata(open_product(folder / small_scenes.LANDSAT))).encode()


def _read_envi(folder: Path) -> bytes:
    scene = open_scene(folder / small_scenes.LANDSAT, ["B4"])
    with open_labels(scene, "biome").reader() as read:
        return read(Rows(0, scene.grid.height)).tobytes()


def _read_safe(folder: Path, verify: bool = False) -> bytes:
    (path,) = folder.glob("*.SAFE")
    scene = open_sentinel2(path)
    if verify:
        scene.verify(["B2"])
    with scene.reader(["B2"], 30, 1) as reader:
        out = np.empty((*reader.grid.shape, 1), np.float32)
        invalid = reader.read(Rows(0, len(out)), out)
    return out.tobytes() + invalid.tobytes() + repr(reader.grid).encode()


def _read_probav(folder: Path) -> bytes:
    with open_probav(folder / small_scenes.PROBAV) as product:
        rows = Rows(0, product.grid.height)
        values = [product.reflectance(band, rows).tobytes() for band in BANDS]
        return b"".join([*values, product.status(rows).tobytes(), repr(product.grid).encode()])


def _weights(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    small_networks.write_unet(folder / "six.h5", 6)


def _read_weights(folder: Path) -> bytes:
    path = folder / "six.h5"
    layers = stored_layers(file_bytes(path), path)
    text = repr({name: sorted(each) for name, each in sorted(layers.items())})
    arrays = [layers[name][each] for name in sorted(layers) for each in sorted(layers[name])]
    return b"".join([text.encode(), *(repr(a.shape).encode() + a.tobytes() for a in arrays)])


def _read_registered(folder: Path) -> bytes:
    inspect_weights(folder / "six.h5", sha256=(folder / "digest").read_text())
    return _read_weights(folder)


def _registered(folder: Path) -> None:
    _weights(folder)
    digest = hashlib.sha256((folder / "six.h5").read_bytes()).hexdigest()
    (folder / "digest").write_text(digest)


def _tar(folder: Path) -> bytes:
    """Make a Landsat scene, and return it as a tar archive in its place."""
    scene, *_ = small_scenes.landsat(folder, bands=("B4",))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in sorted(scene.iterdir()):
            info = tarfile.TarInfo(file.name)
            info.size = file.stat().st_size
            archive.addfile(info, io.BytesIO(file.read_bytes()))
    shutil.rmtree(scene)
    return packed.getvalue()


def _landsat_tar(folder: Path) -> None:
    content = _tar(folder)
    (folder / f"{small_scenes.LANDSAT}.tar").write_bytes(content)


def _landsat_tar_gz(folder: Path) -> None:
    content = _tar(folder)
    (folder / f"{small_scenes.LANDSAT}.tar.gz").write_bytes(gzip.compress(content, mtime=0))


def _read_tar(folder: Path) -> bytes:
    (path,) = folder.iterdir()
    scene = open_scene(path, ["B4"])
    with scene.reader(["B4"]) as reader:
        values = reader.read("B4", Rows(0, scene.grid.height)).tobytes()
    digests = scene.product.digests([scene.metadata.files["B4"], scene.metadata.member])
    return values + repr((scene.grid, scene.metadata, digests)).encode()


def _sentinel2_zip(folder: Path) -> None:
    safe, *_ = small_scenes.sentinel2(folder)
    with zipfile.ZipFile(folder / f"{safe.stem}.zip", "w") as archive:
        for file in sorted(file for file in safe.rglob("*") if file.is_file()):
            # ESA's are stored, others deflated. The date is the same each time.
            kind = zipfile.ZIP_STORED if file.suffix == ".jp2" else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            archive.writestr(info, file.read_bytes(), kind)
    shutil.rmtree(safe)


def _read_zip(folder: Path) -> bytes:
    (path,) = folder.iterdir()
    scene = open_sentinel2(path)
    with scene.reader(["B2"], 30, 1) as reader:
        out = np.empty((*reader.grid.shape, 1), np.float32)
        invalid = reader.read(Rows(0, len(out)), out)
        grid = reader.grid
    digests = scene.product.digests(scene.files(["B2"]).values())
    return out.tobytes() + invalid.tobytes() + repr((grid, digests)).encode()


_XML = ("**/MTD_MSIL1C.xml", "**/MTD_TL.xml")
_JP2 = ("**/*_B02.jp2",)
FORMATS = {
    "landsat tiff": Format(_landsat, _read_tiff, ("*/*_B4.TIF",)),
    "landsat tar": Format(_landsat_tar, _read_tar, ("*.tar",)),
    "landsat tar.gz": Format(_landsat_tar_gz, _read_tar, ("*.tar.gz",)),
    "sentinel-2 zip": Format(_sentinel2_zip, _read_zip, ("*.zip",), True),
    "mtl": Format(_landsat, _read_mtl, ("*/*_MTL.txt",)),
    "envi mask": Format(_landsat, _read_envi, ("*/*_fixedmask.img", "*/*_fixedmask.hdr")),
    "jp2": Format(small_scenes.sentinel2, _read_safe, _JP2),
    "jp2 with sums": Format(small_scenes.sentinel2, lambda f: _read_safe(f, True), _JP2, True),
    "safe xml": Format(small_scenes.sentinel2, _read_safe, _XML),
    "safe xml with sums": Format(small_scenes.sentinel2, lambda f: _read_safe(f, True), _XML, True),
    "proba-v hdf5": Format(small_scenes.probav, _read_probav, ("*.HDF5",)),
    "weights": Format(_weights, _read_weights, ("six.h5",)),
    "weights with digest": Format(_registered, _read_registered, ("six.h5",), True),
}  # fmt: skip


def rewritten(content: bytes, dice: random.Random) -> bytes:
    """Return a text with other digits or letters, or with lines taken out, doubled or swapped."""
    lines = content.splitlines(keepends=True)
    place, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    match dice.choice(("sign", "sign", "sign", "remove", "double", "swap")):
        case "sign":
            data = bytearray(content)
            wanted = [n for n, sign in enumerate(data) if chr(sign).isdigit() or sign in b".-eE"]
            for place in dice.sample(wanted, dice.randint(1, 4)):
                data[place] = dice.choice(b"0123456789.-eE")
            return bytes(data)
        case "remove":
            del lines[place]
        case "double":
            lines.insert(other, lines[place])
        case "swap":
            lines[place], lines[other] = lines[other], lines[place]
    return b"".join(lines)


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Return `content` with some bits flipped, bytes put in, taken out or replaced, or cut off."""
    data, size = bytearray(content), len(content)
    # Half of them where headers are.
    place = dice.randrange(size if dice.random() < 0.5 else min(size, 2048))
    length = dice.randint(1, 64)
    match dice.choice(("flip", "flip", "replace", "insert", "remove", "zero", "cut")):
        case "flip":
            for _ in range(dice.randint(1, 8)):
                data[min(place + dice.randrange(64), size - 1)] ^= 1 << dice.randrange(8)
        case "replace":
            data[place : place + length] = dice.randbytes(min(length, size - place))
        case "insert":
            data[place:place] = dice.randbytes(length)
        case "remove":
            del data[place : place + length]
        case "zero":
            data[place : place + length] = bytes(min(length, size - place))
        case "cut":
            del data[dice.randrange(size) :]
    return bytes(data)


def _other(suffix: str, content: bytes, dice: random.Random) -> bytes:
    if suffix in TEXTS and dice.random() < 0.5:
        # Of texts, flipped bits tell little but that they are no texts.
        return rewritten(content, dice)
    if suffix == ".gz" and dice.random() < 0.5:
        # Its checksum finds all else.
        return gzip.compress(mutated(gzip.decompress(content), dice), mtime=0)
    return mutated(content, dice)


class Reader:
    """A process that reads changed files of one format, and another one when it has died."""

    def __init__(self, name: str, folder: Path) -> None:
        """Remember what is read, in a folder of its own."""
        self._name, self._folder = name, folder
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Reader:
        """Write the product."""
        FORMATS[self._name].make(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()
        shutil.rmtree(self._folder)

    def read(self, number: int) -> tuple[str, str]:
        """Return what comes of the mutant of this number: outcome, and the error if there is."""
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            arguments = (self._name, self._folder, other)
            self._process = context.Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
            other.close()
            self._pipe.recv()
        self._pipe.send(number)
        try:
            if self._pipe.poll(LIMIT):
                answer: tuple[str, str] = self._pipe.recv()
                return answer
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._end()
            return CRASHED, f"signal {-code}" if code < 0 else f"exit code {code}"
        self._end()
        return HUNG, ""

    def _end(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None


def _serve(name: str, folder: Path, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    warnings.simplefilter("ignore")
    kind = FORMATS[name]
    # Of one that died, the changed file is still there.
    shutil.rmtree(folder)
    kind.make(folder)
    files = [next(folder.glob(pattern)) for pattern in kind.files]
    whole = [file.read_bytes() for file in files]
    right = kind.read(folder)
    pipe.send("ready")
    while True:
        number = pipe.recv()
        place = number % len(files)
        dice = random.Random(f"{name} {number}")
        changed = whole[place]
        while changed == whole[place]:
            changed = _other(files[place].suffix, whole[place], dice)
        files[place].write_bytes(changed)
        pipe.send(_outcome(kind, folder, right))
        files[place].write_bytes(whole[place])


def _outcome(kind: Format, folder: Path, right: bytes) -> tuple[str, str]:
    try:
        return (EQUAL if kind.read(folder) == right else DIFFERENT), ""
    except (OSError, ValueError) as error:
        if str(folder) not in str(error):
            return FOREIGN, f"names no file: {error}"
        return REFUSED, str(error)
    except Exception as error:
        return FOREIGN, f"{type(error).__name__}: {error}"
