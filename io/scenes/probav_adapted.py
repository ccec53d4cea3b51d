"""Writes a Proba-V product again with adapted bands and a cloud mask, everything else as it was.

Usage:
    with AdaptedProduct(Path("PROBAV_L2A_....HDF5"), Path("adapted.HDF5")) as adapted:
        adapted.write(Rows(0, 256), reflectance, probability, classes)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from numpy.typing import NDArray

from scenes import probav_layout as layout
from scenes.grid import Rows
from scenes.hdf5_rows import RowWriter, create_rows
from scenes.probav import ProbaVFormatError, ProbaVProduct, open_probav

__all__ = ["AdaptedProduct"]

# What the mask holds for invalid, clear and cloud.
_STORED = np.array([255, 0, 1], np.uint8)


class AdaptedProduct:
    """A product that is written from rows in order, as a context manager.

    The bands are stored as in the source, with its SCALE, OFFSET and NO_DATA. Raises
    `FileNotFoundError` and `ProbaVFormatError` for a source that is no product, or that holds links
    to other files; `OSError` where the disk is full.
    """

    def __init__(self, source: Path, path: Path) -> None:
        """Take the paths; nothing is opened before the context is entered."""
        self._source, self._path = source, path
        self._stack = contextlib.ExitStack()
        self._bands: list[RowWriter] = []

    def __enter__(self) -> AdaptedProduct:
        """Copy everything but the bands."""
        with contextlib.ExitStack() as stack:
            product = stack.enter_context(open_probav(self._source))
            file = stack.enter_context(h5py.File(self._path, "w-"))
            names = [
                f"{product.level}/{layout.RADIOMETRY}/{band}/{product.kind}"
                for band in layout.BANDS
            ]
            _copy(product, file, {*names, layout.PROBABILITY, layout.CLOUD_MASK})
            self._bands = [_like(file, product.file[name], name) for name in names]
            self._scaling = [_scaling(band.dataset) for band in self._bands]
            like = self._bands[0].dataset
            said = "Probability of cloud, 0-1"
            self._probability = _added(file, layout.PROBABILITY, like, np.float32, -1, said)
            said = "0 clear, 1 cloud, 255 invalid"
            self._mask = _added(file, layout.CLOUD_MASK, like, np.uint8, 255, said)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close both files."""
        self._stack.close()

    def write(
        self,
        rows: Rows,
        reflectance: NDArray[np.float32],
        probability: NDArray[np.float32],
        classes: NDArray[np.uint8],
    ) -> None:
        """Store rows of `(rows, width, 4)` reflectance and `(rows, width)` of the others.

        `classes` are 0 invalid, 1 clear, 2 cloud. Where invalid, the bands hold NO_DATA, the
        probability -1 and the mask 255.
        """
        invalid = classes == 0
        for number, (band, (scale, offset, no_data)) in enumerate(
            zip(self._bands, self._scaling, strict=True)
        ):
            dn = reflectance[..., number] * scale
            dn += offset
            np.rint(dn, out=dn)
            # Invalid pixels may be NaN, which no integer is.
            dn[invalid] = no_data
            band.write(rows, dn.astype(band.dataset.dtype))
        likely = probability.copy()
        likely[invalid] = -1
        self._probability.write(rows, likely)
        self._mask.write(rows, _STORED[classes])


def _scaling(dataset: h5py.Dataset) -> tuple[np.float32, np.float32, float]:
    """Return SCALE, OFFSET and NO_DATA of a band, as it states them or as the manual has them."""
    defaults = {
        layout.SCALE: layout.TOA_SCALE,
        layout.OFFSET: layout.TOA_OFFSET,
        layout.NO_DATA: layout.TOA_NO_DATA,
    }
    scale, offset, no_data = (
        float(np.ravel(dataset.attrs.get(key, default))[0]) for key, default in defaults.items()
    )
    return np.float32(scale), np.float32(offset), no_data


def _copy(product: ProbaVProduct, target: h5py.File, left_out: set[str]) -> None:
    """Copy groups, datasets and attributes of a product but those left out."""
    target.attrs.update(product.file.attrs)
    for name, node in _nodes(product.path, product.file):
        if name in left_out:
            continue
        if isinstance(node, h5py.Group):
            target.require_group(name).attrs.update(node.attrs)
        else:
            product.file.copy(node, target, name)


def _nodes(path: Path, group: h5py.Group) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield every group and dataset below `group` with its full name, groups first.

    Raises `ProbaVFormatError` for links and storage outside of the file.
    """
    for key in group:
        name = f"{group.name}/{key}".lstrip("/")
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ProbaVFormatError(f"{path}: {name} is a link: refused, no product has any")
        node = group[key]
        if isinstance(node, h5py.Dataset) and (node.external or node.is_virtual):
            raise ProbaVFormatError(f"{path}: {name} is stored outside of the file: refused")
        if not isinstance(node, h5py.Group | h5py.Dataset):
            continue
        yield name, node
        if isinstance(node, h5py.Group):
            yield from _nodes(path, node)


def _like(file: h5py.File, source: h5py.Dataset, name: str) -> RowWriter:
    """Create an empty dataset with shape, type and attributes of `source`."""
    dataset = create_rows(file, name, source.shape, source.dtype)
    dataset.attrs.update(source.attrs)
    return RowWriter(dataset)


def _added(
    file: h5py.File, name: str, like: h5py.Dataset, dtype: type, no_data: int, description: str
) -> RowWriter:
    """Create an empty dataset on the grid of `like`."""
    dataset = create_rows(file, name, like.shape, np.dtype(dtype))
    dataset.attrs[layout.NO_DATA] = dtype(no_data)
    dataset.attrs[layout.MAPPING] = like.attrs[layout.MAPPING]
    dataset.attrs["DESCRIPTION"] = np.bytes_(description)
    return RowWriter(dataset)
