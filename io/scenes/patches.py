"""Reads files of patches that networks learn from, own ones and the published ones.

Usage:
    with open_patches(path, ("PV", "LU")) as patches:
        batch = patches.read(patches.where(Split.TRAIN)[:48])
        batch["PV"]  # (48, 64, 64, 4) float32

`scenes.patches_layout` says how they are laid out, `scenes.patches_writer` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from h5py import h5s, h5t
from numpy.typing import NDArray

from scenes import patches_layout as layout
from scenes.patches_layout import PatchArray, Split
from scenes.patches_writer import PatchWriter, create_patches

__all__ = [
    "PatchArray",
    "PatchFormatError",
    "PatchSet",
    "PatchWriter",
    "Split",
    "create_patches",
    "open_patches",
]

# Limits of what counts as a patch: pixels of an edge, bands, and bytes that are read at once.
_MOST_PIXELS, _MOST_BANDS, _MOST_CHUNK = 4096, 64, 2**28


class PatchFormatError(ValueError):
    """A file that does not hold patches as `scenes.patches_layout` describes them."""


@dataclass(frozen=True)
class PatchSet:
    """An open file of patches; a patch's index is its place in every array and in `origin`.

    `shapes`: of one patch, by array. `bands`: names of the last axis, None if unknown. `origin`: a
    row for each patch, its column "scene" is the row in `scenes`; both None in published files.
    Threads may read at the same time.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    bands: tuple[str, ...] | None
    attributes: Mapping[str, Any]
    origin: pd.DataFrame | None
    scenes: pd.DataFrame | None
    datasets: Mapping[str, h5py.Dataset]

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(next(iter(self.datasets.values())))

    def where(self, split: Split) -> NDArray[np.int64]:
        """Return the indices of a split's patches in order; without splits all are TRAIN."""
        if self.origin is None or self.scenes is None or layout.SPLIT not in self.scenes:
            return np.arange(len(self) if split == Split.TRAIN else 0)
        splits = self.scenes[layout.SPLIT].to_numpy()[self.origin[layout.SCENE].to_numpy()]
        return np.flatnonzero(splits == split)

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return `(len(indices), *shape)` float32 of each array, in the order of `indices`.

        Indices may repeat. Raises `ValueError` for indices that are not there, `PatchFormatError`
        naming file, array and patch where a pixel is NaN or infinite or cannot be read.
        """
        wanted = np.asarray(indices, np.int64)
        if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise ValueError(f"{self.path}: expected indices below {len(self)}, not {indices}")
        return {name: self._read(name, wanted) for name in self.shapes}

    def _read(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read patches one by one, without what h5py's indexing costs each time."""
        shape = self.shapes[name]
        source = self.datasets[name].id
        # Own spaces: a selection belongs to one thread.
        chosen, memory = source.get_space(), h5s.create_simple(shape)
        values = np.empty((len(indices), *shape), np.float32)
        index = -1
        try:
            for place, index in enumerate(indices.tolist()):
                chosen.select_hyperslab((index, *(0 for _ in shape)), (1, *shape))
                source.read(memory, chosen, values[place], h5t.NATIVE_FLOAT)
        except OSError as error:
            raise PatchFormatError(
                f"{self.path}: patch {index} of {name} cannot be read ({error}); make or fetch the "
                "file again"
            ) from error
        # A sum is finite if all its terms are, and takes a quarter of the time.
        with np.errstate(invalid="ignore", over="ignore"):
            total = values.sum()
        if not np.isfinite(total):
            finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
            if not finite.all():
                raise PatchFormatError(
                    f"{self.path}: patch {indices[~finite][0]} of {name} has pixels that are NaN "
                    "or infinite; make the file again without such patches"
                )
        return values


@contextmanager
def open_patches(path: Path, names: Sequence[str]) -> Iterator[PatchSet]:
    """Open a file of patches that has the arrays `names`.

    Raises `FileNotFoundError`, and `PatchFormatError` (a `ValueError`) for a file that is no HDF5,
    truncated or not finished, lacks one of the arrays, holds none or arrays of different lengths or
    of no patch's shape, or stores them elsewhere.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected patches (.hdf5)")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise PatchFormatError(
            f"{path}: not an HDF5 file, or truncated ({error}); make or fetch it again"
        ) from error
    with file:
        try:
            patches = _opened(path, file, names)
        except (OSError, RuntimeError, KeyError, UnicodeError) as error:
            # What h5py raises for metadata that it cannot decode.
            raise PatchFormatError(
                f"{path}: damaged, it cannot be read ({error}); make or fetch it again"
            ) from error
        yield patches


def _opened(path: Path, file: h5py.File, names: Sequence[str]) -> PatchSet:
    attributes = {name: _plain(value) for name, value in file.attrs.items()}
    stated = attributes.pop(layout.FORMAT, None)
    if stated not in (None, layout.FINISHED):
        raise PatchFormatError(
            f"{path}: it says {stated!r}, expected {layout.FINISHED!r}; it was not written to the "
            "end, or by another version: make it again"
        )
    datasets = {name: _array(path, file, name) for name in names}
    lengths = {name: len(dataset) for name, dataset in datasets.items()}
    if len(set(lengths.values())) > 1:
        raise PatchFormatError(f"{path}: expected arrays of one length, found {lengths}")
    length = next(iter(lengths.values()))
    origin, scenes = None, None
    if stated is not None:
        origin, scenes = (_table(path, file, name) for name in (layout.ORIGIN, layout.SCENES))
        _check_tables(path, origin, scenes, length)
    bands = attributes.pop(layout.BANDS, None)
    return PatchSet(
        path=path,
        shapes={name: dataset.shape[1:] for name, dataset in datasets.items()},
        bands=tuple(str(band) for band in bands) if isinstance(bands, list) else None,
        attributes=attributes,
        origin=origin,
        scenes=scenes,
        datasets=datasets,
    )


def _array(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset of patches that lies in `file` itself. Raises `PatchFormatError`."""
    dataset = _dataset(path, file, name)
    edges, bands = dataset.shape[1:3], dataset.shape[3:]
    if (
        dataset.ndim not in (3, 4)
        or not all(0 < edge <= _MOST_PIXELS for edge in edges)
        or not all(0 < count <= _MOST_BANDS for count in bands)
        or dataset.dtype.kind not in "fiu"
    ):
        raise PatchFormatError(
            f"{path}: {name} is {dataset.dtype} of {dataset.shape}, no patches; expected numbers "
            "(patches, height, width[, bands])"
        )
    if not len(dataset):
        raise PatchFormatError(f"{path}: {name} holds no patches; make it from more scenes")
    return dataset


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset all of whose bytes are there, in `file` itself."""
    group, _, key = name.rpartition("/")
    parent = file[group] if group else file
    link = parent.get(key, getlink=True) if key in parent else None
    if link is not None and not isinstance(link, h5py.HardLink):
        raise PatchFormatError(f"{path}: {name} is a link: refused; store the array in the file")
    dataset = parent[key] if link else None
    if not isinstance(dataset, h5py.Dataset):
        found = ", ".join(map(str, list(parent)[:8])) or "nothing"
        raise PatchFormatError(f"{path}: expected the array {name}, found {found}")
    if dataset.is_virtual or dataset.external:
        raise PatchFormatError(f"{path}: {name} is stored outside of the file: refused")
    if dataset.ndim == 0 or dataset.shape is None:
        raise PatchFormatError(f"{path}: {name} is no array")
    chunk = dataset.chunks
    if chunk is None:
        whole = dataset.id.get_storage_size() >= dataset.nbytes
    else:
        if np.prod(chunk, dtype=float) * dataset.dtype.itemsize > _MOST_CHUNK:
            raise PatchFormatError(f"{path}: {name} has chunks of {chunk}: write it with smaller")
        counts = [-(-size // step) for size, step in zip(dataset.shape, chunk, strict=True)]
        whole = dataset.id.get_num_chunks() == np.prod(counts, dtype=float)
    if not whole:
        raise PatchFormatError(
            f"{path}: not all of {name} {dataset.shape} was written; make or fetch the file again"
        )
    return dataset


def _table(path: Path, file: h5py.File, name: str) -> pd.DataFrame:
    """Return a group of columns as a table. Raises `PatchFormatError` for anything else in it."""
    link = file.get(name, getlink=True) if name in file else None
    group = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(group, h5py.Group) or not len(group):
        raise PatchFormatError(f"{path}: expected the group {name} with columns; make it again")
    columns: dict[str, NDArray[Any]] = {}
    for key in group:
        dataset = _dataset(path, file, f"{name}/{key}")
        text = h5py.check_string_dtype(dataset.dtype) is not None
        if dataset.ndim != 1 or not (text or dataset.dtype.kind in "fiu"):
            raise PatchFormatError(f"{path}: {name}/{key} is no column of numbers or text")
        columns[key] = dataset.asstr()[:] if text else dataset[:]
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise PatchFormatError(f"{path}: {name} has columns of different lengths: {lengths}")
    return pd.DataFrame(columns)


def _check_tables(path: Path, origin: pd.DataFrame, scenes: pd.DataFrame, length: int) -> None:
    """Raise `PatchFormatError` unless the tables fit the arrays and each other."""
    missing = [name for name in (layout.NAME, layout.GROUP) if name not in scenes]
    if layout.SCENE not in origin or missing:
        raise PatchFormatError(
            f"{path}: expected the columns origin/{layout.SCENE}, scenes/{layout.NAME} and "
            f"scenes/{layout.GROUP}; make it again"
        )
    if len(origin) != length:
        raise PatchFormatError(f"{path}: {length} patches, but origins of {len(origin)}")
    if not origin[layout.SCENE].isin(range(len(scenes))).all():
        raise PatchFormatError(f"{path}: a patch is of a scene that is not among {len(scenes)}")
    if layout.SPLIT in scenes and not scenes[layout.SPLIT].isin(list(Split)).all():
        raise PatchFormatError(f"{path}: scenes/{layout.SPLIT} has values other than 0, 1, 2")


def _plain(value: Any) -> Any:
    """Return an attribute as Python's text, number or list of them."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
