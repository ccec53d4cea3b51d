"""Writes patches of many scenes to one HDF5 file, scene by scene; `scenes.patches` reads it.

Usage:
    with create_patches(path, {"PV": PatchArray((64, 64, 4))}, bands=BANDS, attributes={}) as out:
        scene = out.add_scene(name="LC08_...", group="199031 2016-06-20")
        out.add(scene, {"PV": patches}, row=rows, column=columns)
        out.assign({"199031 2016-06-20": Split.TRAIN})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from scenes import patches_layout as layout
from scenes.patches_layout import PatchArray, Split

__all__ = ["PatchWriter", "create_patches"]

_COLUMN_CHUNK = 4096


class PatchWriter:
    """Appends patches to an open file; keeps the table of scenes until it is finished."""

    def __init__(self, file: h5py.File, arrays: Mapping[str, PatchArray]) -> None:
        """Create an empty dataset for each of `arrays`."""
        self._file = file
        self._arrays = {
            name: file.create_dataset(
                name, (0, *a.shape), a.dtype, maxshape=(None, *a.shape), chunks=(1, *a.shape)
            )
            for name, a in arrays.items()
        }
        self._columns: dict[str, h5py.Dataset] = {}
        self._scenes: list[dict[str, str | int | float]] = []
        self._splits: Mapping[str, Split] | None = None
        self._length = 0

    def __len__(self) -> int:
        """Return the number of patches so far."""
        return self._length

    def add_scene(self, **columns: str | int | float) -> int:
        """Add a row to the table of scenes and return its number.

        `name`, of which there is one each, and `group`, what is never parted by a split, are
        needed; all scenes have the same columns. Raises `ValueError` otherwise.
        """
        missing = {layout.NAME, layout.GROUP} - set(columns)
        other = set(columns) ^ set(self._scenes[0]) if self._scenes else {layout.SPLIT} & {*columns}
        if missing or other:
            raise ValueError(
                f"a scene needs a name and a group, and the columns of those before it: missing "
                f"{sorted(missing)}, or not in both {sorted(other)}"
            )
        if any(columns[layout.NAME] == scene[layout.NAME] for scene in self._scenes):
            raise ValueError(f"the scene {columns[layout.NAME]} was added before")
        self._scenes.append(dict(columns))
        return len(self._scenes) - 1

    def add(
        self, scene: int, arrays: Mapping[str, NDArray[np.generic]], **origin: NDArray[np.generic]
    ) -> None:
        """Append `n` patches of a scene: `(n, *shape)` of each array, `(n,)` of each origin.

        Origins are numbers, stored as int64 or float64, as they came first. Raises `ValueError`
        for other arrays, columns, shapes or lengths than before, and for pixels that are NaN or
        infinite.
        """
        if not 0 <= scene < len(self._scenes):
            raise ValueError(f"there is no scene {scene}: add it first")
        count = self._checked(arrays, origin)
        columns = {layout.SCENE: np.full(count, scene), **origin}
        if not self._columns:
            self._columns = {name: self._column(name, v) for name, v in columns.items()}
        end = self._length + count
        new = {**arrays, **columns}
        for name, dataset in {**self._arrays, **self._columns}.items():
            dataset.resize(end, axis=0)
            if count:
                dataset[self._length : end] = new[name]
        self._length = end

    def assign(self, splits: Mapping[str, Split]) -> None:
        """Give each scene the split of its group. Raises `ValueError` for a group without one."""
        missing = sorted({str(scene[layout.GROUP]) for scene in self._scenes} - set(splits))
        if missing:
            raise ValueError(f"no split for the groups {', '.join(missing[:8])}")
        self._splits = splits

    def finish(self) -> None:
        """Write the table of scenes and mark the file as whole. Raises `ValueError` if empty."""
        if not self._length:
            raise ValueError(f"{self._file.filename}: no patch was added; nothing to learn from")
        group = self._file.create_group(layout.SCENES)
        for name in self._scenes[0]:
            group[name] = _stored([scene[name] for scene in self._scenes])
        if self._splits is not None:
            numbers = [int(self._splits[str(scene[layout.GROUP])]) for scene in self._scenes]
            group[layout.SPLIT] = np.array(numbers, np.int8)
        self._file.attrs[layout.FORMAT] = layout.FINISHED

    def _checked(
        self, arrays: Mapping[str, NDArray[np.generic]], origin: Mapping[str, NDArray[np.generic]]
    ) -> int:
        """Return the number of patches in arguments of `add`; raises as it does."""
        known = set(self._columns) - {layout.SCENE} if self._columns else set(origin)
        if set(arrays) != set(self._arrays) or set(origin) != known or layout.SCENE in origin:
            raise ValueError(
                f"expected the arrays {sorted(self._arrays)} and the origins {sorted(known)}, "
                f"not {sorted(arrays)} and {sorted(origin)}"
            )
        count = min(len(a) for a in arrays.values())
        expected = {name: (count, *d.shape[1:]) for name, d in self._arrays.items()}
        expected |= {name: (count,) for name in origin}
        for name, values in {**arrays, **origin}.items():
            if values.shape != expected[name]:
                raise ValueError(f"expected {name} of {expected[name]}, not {values.shape}")
        for name, values in arrays.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{name} has pixels that are NaN or infinite: leave them out")
        return count

    def _column(self, name: str, values: NDArray[np.generic]) -> h5py.Dataset:
        dtype = np.float64 if values.dtype.kind == "f" else np.int64
        return self._file.create_dataset(
            f"{layout.ORIGIN}/{name}", (0,), dtype, maxshape=(None,), chunks=(_COLUMN_CHUNK,)
        )


@contextmanager
def create_patches(
    path: Path,
    arrays: Mapping[str, PatchArray],
    *,
    bands: Sequence[str],
    attributes: Mapping[str, str | int | float],
) -> Iterator[PatchWriter]:
    """Create a file of patches; `path` must not exist.

    `arrays` by name, `bands` the names of their last axis, `attributes` of the root. The file
    counts as whole where the context ends without an exception. Equal content gives equal bytes.

    Raises `ValueError` where no patch was added, `OSError` where the file cannot be written.
    """
    # Without creation order: with it, HDF5 stores the clock in every object.
    with h5py.File(path, "w-") as file:
        file.attrs[layout.FORMAT] = layout.UNFINISHED
        file.attrs[layout.BANDS] = _stored(list(bands))
        for name, value in attributes.items():
            file.attrs[name] = value
        writer = PatchWriter(file, arrays)
        file.flush()
        yield writer
        writer.finish()


def _stored(values: Sequence[str | int | float]) -> NDArray[np.generic]:
    """Return a column as an array: text as UTF-8 of one length."""
    if any(isinstance(value, str) for value in values):
        encoded = [str(value).encode() for value in values]
        longest = max(1, *(len(text) for text in encoded))
        return np.array(encoded, h5py.string_dtype("utf-8", longest))
    return np.asarray(values)
