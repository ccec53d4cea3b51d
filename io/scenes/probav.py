"""Proba-V L2A and L3 products: reads them by windows, writes L2A.

Usage:
    with open_probav(path) as product:
        red = product.reflectance("RED", Rows(0, 512))

Manual: PROBA-V Products User Manual, publications.vito.be/2017-1333-probav-products-user-manual.pdf
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scenes import probav_layout as layout
from scenes.grid import Affine, Grid, Rows
from scenes.hdf5_links import own_dataset

_CHUNK = 256
# Bytes of chunks that each dataset keeps: a row of chunks of the widest products, so that rows read
# or written in order are inflated and deflated once. HDF5's own megabyte holds half of one.
_CHUNK_CACHE = 16 * 2**20


class ProbaVFormatError(ValueError):
    """A file that is not a Proba-V product as the manual describes it."""


@dataclass(frozen=True)
class ProbaVImage:
    """The content of an L2A product, in memory.

    `toa`: by band, `(height, width)` float32 TOA reflectance, NaN = no data. `status`: SM,
    `(height, width)` uint16. `angles`: degrees by name (`probav_layout.ANGLES`), NaN = no data.
    `cloud_fraction`: float32 in [0, 1], NaN = unlabelled. `contour`: `(points, 2)` longitude and
    latitude. `start` and `end` are UTC.
    """

    grid: Grid
    toa: Mapping[str, NDArray[np.float32]]
    status: NDArray[np.uint16]
    start: datetime
    end: datetime
    reference: str
    description: str
    angles: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    contour: NDArray[np.float64] | None = None
    cloud_fraction: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ProbaVProduct:
    """An open product. `level` is "LEVEL2A" or "LEVEL3", `kind` "TOA" or "TOC"."""

    path: Path
    file: h5py.File
    level: str
    kind: str
    grid: Grid
    start: datetime
    end: datetime

    def reflectance(self, band: str, rows: Rows) -> NDArray[np.float32]:
        """Return `(len(rows), width)` float32 reflectance of `band`, NaN = no data."""
        return self._physical(f"{self.level}/{layout.RADIOMETRY}/{band}/{self.kind}", rows)

    def angle(self, name: str, rows: Rows) -> NDArray[np.float32]:
        """Return `(len(rows), width)` float32 degrees of an angle of `layout.ANGLES`, or NaN."""
        return self._physical(f"{self.level}/{layout.ANGLES[name]}", rows)

    def status(self, rows: Rows) -> NDArray[np.uint16]:
        """Return the status map SM, `(len(rows), width)` uint16; decode with `decode_status`."""
        name = f"{self.level}/{layout.QUALITY}"
        with _explained(self.path, name):
            data = self._dataset(name)[rows.start : rows.stop]
            return np.asarray(data, dtype=np.uint16)

    def cloud_fraction(self, rows: Rows) -> NDArray[np.float32]:
        """Return the soft cloud fraction of a converted product with labels, NaN = unlabelled."""
        with _explained(self.path, layout.CLOUD_FRACTION):
            stored = self._dataset(layout.CLOUD_FRACTION)[rows.start : rows.stop]
        data = np.asarray(stored, np.float32)
        return np.where(data < 0, np.float32(np.nan), data)

    def _dataset(self, name: str) -> h5py.Dataset:
        return _safe_dataset(self.path, self.file, name)

    def _physical(self, name: str, rows: Rows) -> NDArray[np.float32]:
        """Return (DN - OFFSET) / SCALE, with the attributes of the dataset."""
        with _explained(self.path, name):
            dataset = self._dataset(name)
            raw = np.asarray(dataset[rows.start : rows.stop])
            scale, offset = (
                float(np.ravel(dataset.attrs.get(key, default))[0])
                for key, default in ((layout.SCALE, 1.0), (layout.OFFSET, 0.0))
            )
            values = (raw.astype(np.float32) - np.float32(offset)) / np.float32(scale)
            if layout.NO_DATA in dataset.attrs:
                values[raw == np.ravel(dataset.attrs[layout.NO_DATA])[0]] = np.nan
            elif raw.dtype == np.uint8:
                values[raw == layout.ANGLE_NO_DATA] = np.nan
            return values


@contextmanager
def open_probav(
    path: Path, pixel_reference: layout.PixelReference | None = None
) -> Iterator[ProbaVProduct]:
    """Open a Proba-V L2A or L3 product for reading.

    `pixel_reference` says whether MAPPING locates the "centre" or the "corner" of the upper-left
    pixel; None takes the centre, and the corner for products of the published Landsat converter.
    Raises `FileNotFoundError`, and `ProbaVFormatError` (a `ValueError`) for a file that is no
    HDF5, has no bands, or stores them outside itself.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a Proba-V product (.HDF5)")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE)
    except OSError as error:
        raise ProbaVFormatError(f"{path}: not an HDF5 file, or truncated ({error})") from error
    with file:
        yield _opened(path, file, pixel_reference)


def _opened(
    path: Path, file: h5py.File, pixel_reference: layout.PixelReference | None
) -> ProbaVProduct:
    with _explained(path):
        level = next((name for name in layout.LEVELS if name in file), None)
        if level is None:
            raise ProbaVFormatError(
                f"{path}: expected a group {' or '.join(layout.LEVELS)} of a Proba-V product, "
                f"found {', '.join(list(file)[:8]) or 'nothing'}"
            )
        radiometry = file.get(f"{level}/{layout.RADIOMETRY}/RED")
        kind = next((k for k in ("TOA", "TOC") if radiometry is not None and k in radiometry), None)
        if kind is None:
            raise ProbaVFormatError(f"{path}: {level} has no reflectance in {layout.RADIOMETRY}")
        red = _safe_dataset(path, file, f"{level}/{layout.RADIOMETRY}/RED/{kind}")
        if pixel_reference is None:
            corner = layout.CORNER_MARK in file.attrs
            pixel_reference = "corner" if corner else layout.PIXEL_REFERENCE
        grid = _read_mapping(path, red, pixel_reference)
        start, end = (_read_time(path, file, keys) for keys in (layout.START, layout.END))
        return ProbaVProduct(path, file, level, kind, grid, start, end)


@contextmanager
def _explained(path: Path, name: str = "its metadata") -> Iterator[None]:
    """Say of a file that is damaged inside what h5py says in errors that name no file."""
    try:
        yield
    except (KeyError, RuntimeError, IndexError) as error:
        raise ProbaVFormatError(f"{path}: damaged inside ({error}): fetch it again") from error
    except OSError as error:
        if error.errno:
            # The disk's or the network's fault, not the file's.
            raise
        raise OSError(
            f"{path}: {name} cannot be read ({error}): it is damaged, fetch it again"
        ) from error


def write_probav(path: Path, image: ProbaVImage) -> None:
    """Write `image` as an L2A product; `path` must not exist.

    Raises `ValueError` where an array has another shape than the grid, or for a missing band.
    """
    arrays: dict[str, NDArray[Any]] = {**image.toa, **image.angles, "SM": image.status}
    missing = set(layout.BANDS) - set(image.toa)
    wrong = {name: a.shape for name, a in arrays.items() if a.shape != image.grid.shape}
    if missing or wrong:
        raise ValueError(
            f"{path.name}: expected the bands {', '.join(layout.BANDS)} and arrays of "
            f"{image.grid.shape}; missing {sorted(missing)}, other shapes {wrong}"
        )
    root = layout.LEVELS[0]
    # Without creation order: with it, HDF5 stores the clock in every object.
    with h5py.File(path, "w-") as file:
        _write_root(file, image)
        group = file.create_group(root)
        for band in layout.BANDS:
            dataset = _create(group, f"{layout.RADIOMETRY}/{band}/TOA", encode_toa(image.toa[band]))
            dataset.attrs.update(_scaling(layout.TOA_SCALE, layout.TOA_NO_DATA))
            dataset.attrs["UNITS"] = np.bytes_("TOA_REFLECTANCE")
            dataset.attrs["DESCRIPTION"] = np.bytes_(f"Top-of-atmosphere reflectance, {band}")
        _create(group, layout.QUALITY, image.status)
        for name, degrees in image.angles.items():
            scale = layout.ZENITH_SCALE if name.endswith("ZA") else layout.AZIMUTH_SCALE
            dataset = _create(group, layout.ANGLES[name], _encode_angle(degrees, scale))
            dataset.attrs.update(_scaling(scale, layout.ANGLE_NO_DATA))
            dataset.attrs["UNITS"] = np.bytes_("DEGREES")
        if image.contour is not None:
            group[layout.CONTOUR] = image.contour
        group.require_group(layout.GEOMETRY).attrs.update(_corner_centres(image.grid))
        if image.cloud_fraction is not None:
            fraction = np.where(
                np.isnan(image.cloud_fraction), np.float32(-1), image.cloud_fraction
            )
            _create(file, layout.CLOUD_FRACTION, fraction.astype(np.float32))
        mapping = _mapping(image.grid)
        for name in _dataset_names(file):
            if name != f"{root}/{layout.CONTOUR}":
                file[name].attrs[layout.MAPPING] = mapping


def encode_toa(reflectance: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return `max(round(reflectance * 2000), 0)` as int16, and NO_DATA (-1) where it is NaN."""
    invalid = np.isnan(reflectance)
    scaled = np.rint(np.where(invalid, 0, reflectance) * np.float32(layout.TOA_SCALE))
    stored = np.clip(scaled, 0, np.iinfo(np.int16).max).astype(np.int16)
    stored[invalid] = layout.TOA_NO_DATA
    return stored


def encode_status(
    classes: Mapping[str, NDArray[np.bool_]],
    land: NDArray[np.bool_],
    good: Mapping[str, NDArray[np.bool_]],
    covered: NDArray[np.bool_],
) -> NDArray[np.uint16]:
    """Return SM, `(height, width)` uint16.

    `classes` maps names of `probav_layout.STATUS` to disjoint masks, the rest is clear; `land` is
    bit 3; `good` maps each band to its radiometric quality, `covered` holds for all bands.
    """
    status = np.zeros(land.shape, np.uint16)
    for name, mask in classes.items():
        status[mask] = layout.STATUS[name]
    status |= land.astype(np.uint16) << layout.LAND_BIT
    for band, bit in layout.QUALITY_BIT.items():
        status |= good[band].astype(np.uint16) << bit
        status |= covered.astype(np.uint16) << (bit + layout.COVERAGE_SHIFT)
    return status


def decode_status(status: NDArray[np.uint16]) -> dict[str, NDArray[np.bool_]]:
    """Return masks by name: the classes of `probav_layout.STATUS`, "land", and "good BLUE" etc."""
    classes = status & layout.STATUS_MASK
    masks = {name: classes == code for name, code in layout.STATUS.items()}
    masks["land"] = status >> layout.LAND_BIT & 1 == 1
    masks |= {f"good {band}": status >> bit & 1 == 1 for band, bit in layout.QUALITY_BIT.items()}
    return masks


def _safe_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset whose bytes lie in `file` itself and whose shape a product can have."""
    try:
        dataset = own_dataset(file, name)
    except ValueError as error:
        raise ProbaVFormatError(f"{path}: {error}") from error
    if dataset is None:
        raise ProbaVFormatError(f"{path}: expected the dataset {name}, and there is none")
    if dataset.ndim != 2 or not 0 < dataset.size <= layout.MOST_PIXELS:
        raise ProbaVFormatError(f"{path}: {name} has the shape {dataset.shape}, no product's")
    return dataset


def _read_mapping(path: Path, dataset: h5py.Dataset, reference: layout.PixelReference) -> Grid:
    """Return the grid that the MAPPING attribute of `dataset` describes."""
    try:
        words = [w.decode() if isinstance(w, bytes) else w for w in dataset.attrs[layout.MAPPING]]
        x, y, dx, dy = (float(word) for word in words[3:7])
    except (KeyError, ValueError, TypeError) as error:
        raise ProbaVFormatError(
            f"{path}: expected {layout.MAPPING} of {dataset.name} to hold 9 texts, with ULX, ULY "
            f"and the pixel's size from the fourth on ({error})"
        ) from error
    transform = Affine(dx, 0, x, 0, -dy, y)
    if reference == "centre":
        transform *= Affine.translation(-0.5, -0.5)
    return Grid(dataset.shape, transform, "EPSG:4326")


def _read_time(path: Path, file: h5py.File, keys: tuple[str, str]) -> datetime:
    """Return the UTC time in two root attributes, or in the one of the published converter."""
    published = keys[0].removeprefix("OBSERVATION_")

    def text(key: str) -> str:
        value = np.ravel(file.attrs[key])[0]
        return value.decode() if isinstance(value, bytes) else str(value)

    try:
        words = f"{text(keys[0])} {text(keys[1])}" if keys[0] in file.attrs else text(published)
        return datetime.fromisoformat(words.strip()).replace(tzinfo=UTC)
    except (KeyError, ValueError) as error:
        raise ProbaVFormatError(
            f"{path}: expected {keys[0]} (YYYY-MM-DD) and {keys[1]} (HH:MM:SS) as root attributes "
            f"({error})"
        ) from error


def _write_root(file: h5py.File, image: ProbaVImage) -> None:
    """Write the root attributes of a product."""
    for (date, time), when in ((layout.START, image.start), (layout.END, image.end)):
        utc = when.astimezone(UTC)
        file.attrs[date] = np.array([utc.strftime("%Y-%m-%d")], "S")
        file.attrs[time] = np.array([utc.strftime("%H:%M:%S")], "S")
    file.attrs[layout.WKT] = np.array([layout.WGS84_WKT], "S")
    file.attrs["PRODUCT_REFERENCE"] = np.array([image.reference], "S")
    file.attrs["DESCRIPTION"] = np.array([image.description], "S")
    t = image.grid.transform
    words = " ".join(repr(float(v)) for v in (t.c, t.a, t.b, t.f, t.d, t.e))
    file.create_group("crs").attrs["GeoTransform"] = np.array([words], "S")


def _create(group: h5py.Group, name: str, data: NDArray[Any]) -> h5py.Dataset:
    """Create a compressed dataset with chunks never larger than the data."""
    chunks = tuple(min(_CHUNK, length) for length in data.shape)
    return group.create_dataset(
        name, data=data, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True
    )


def _scaling(scale: float, no_data: int) -> dict[str, np.float32]:
    """Return the attributes of physical value = (DN - OFFSET) / SCALE."""
    return {
        layout.SCALE: np.float32(scale),
        layout.OFFSET: np.float32(layout.TOA_OFFSET),
        layout.NO_DATA: np.float32(no_data),
    }


def _encode_angle(degrees: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    invalid = np.isnan(degrees)
    stored = np.rint(np.where(invalid, 0, degrees) * scale).astype(np.uint8)
    stored[invalid] = layout.ANGLE_NO_DATA
    return stored


def _mapping(grid: Grid) -> NDArray[np.bytes_]:
    """Return the MAPPING attribute; see `probav_layout.PIXEL_REFERENCE`."""
    x, y = grid.transform * (0.5, 0.5)
    size = (grid.transform.a, -grid.transform.e)
    numbers = [repr(float(v)) for v in (x, y, *size)]
    return np.array(["Geographic Lat/Lon", "0.5", "0.5", *numbers, "WGS84", "Degrees"], "S")


def _corner_centres(grid: Grid) -> dict[str, np.float64]:
    """Return the GEOMETRY attributes: longitude and latitude of the corner pixels' centres."""
    corners = {
        "TOP_LEFT": (0.5, 0.5),
        "TOP_RIGHT": (grid.width - 0.5, 0.5),
        "BOTTOM_LEFT": (0.5, grid.height - 0.5),
        "BOTTOM_RIGHT": (grid.width - 0.5, grid.height - 0.5),
    }
    return {
        f"{corner}_{axis}": np.float64(value)
        for corner, position in corners.items()
        for axis, value in zip(("LONGITUDE", "LATITUDE"), grid.transform * position, strict=True)
    }


def _dataset_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None
    )
    return names
