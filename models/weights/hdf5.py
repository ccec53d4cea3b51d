"""The arrays in a file of weights, read without trusting it.

Usage: `layers = stored_layers(file_bytes(path), path)`

The file may come from anywhere. Nothing is read but arrays of numbers; whatever leads out of the
file, runs code of others (filters) or claims to be vast is refused. Two layouts are known: that of
Keras 2 (`.h5`, `.hdf5`; arrays by layer and by name) and that of Keras 3 (`.weights.h5`; arrays by
layer and by number).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["Layers", "file_bytes", "stored_layers"]

# Arrays, float32, by layer and by variable: "kernel", or "0" in files of Keras 3. Only layers with
# arrays are in it.
Layers = dict[str, dict[str, NDArray[np.float32]]]

# Far above any network here: the published ones have 0.1 million values in 1.4 MB.
_MOST_BYTES = 1 << 30
_MOST_VALUES = 100_000_000
_MOST_OBJECTS = 10_000
_MOST_AXES = 5
# Deflate, shuffle, Fletcher32: what HDF5 itself brings along. Others load code of plug-ins.
_FILTERS = {1, 2, 3}


class _RefusedError(ValueError):
    """What stands in the file is not what weights are."""


def file_bytes(path: Path) -> bytes:
    """Return the contents of `path`.

    So its digest and its arrays are of the same bytes. Raises `FileNotFoundError` where there is no
    file, and `ValueError` for one of more than 1 GiB.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file: expected weights, .h5, .hdf5 or .weights.h5")
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes: expected weights of at most {_MOST_BYTES}")
    return path.read_bytes()


def stored_layers(contents: bytes, path: Path) -> Layers:
    """Return the arrays of the file with these contents; `path` names it in messages.

    Raises `ValueError` where it is not HDF5, is damaged or cut off, holds links, data outside of
    itself or filters of plug-ins, objects or arrays beyond bounds (10,000 objects, 100 million
    values, 5 axes), or weights that are not finite floats.
    """
    try:
        with h5py.File(io.BytesIO(contents), "r") as file:
            return _read(file)
    except _RefusedError as error:
        raise ValueError(f"{path} {error}: fetch or make the weights again") from error
    # What h5py raises on damaged files.
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{path} is no HDF5 file of weights, or damaged or cut off ({error}): "
            "fetch or make the weights again"
        ) from error


def _read(file: Any) -> Layers:
    datasets = dict(_datasets(file))
    if sum(dataset.size for dataset in datasets.values()) > _MOST_VALUES:
        raise _RefusedError(f"claims to hold more than {_MOST_VALUES} values")
    layers: Layers = {}
    for names, dataset in datasets.items():
        place = _place(names, file)
        if place is None:
            continue
        layer, variable = place
        if variable in layers.setdefault(layer, {}):
            raise _RefusedError(f"holds {variable} of layer {layer} twice")
        layers[layer][variable] = _values(dataset)
    if not layers:
        raise _RefusedError("holds no weights of layers")
    return layers


def _datasets(file: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each array of the file with the names that lead to it, after a look at all objects."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), file["/"])]
    seen = {_address(file["/"])}
    while waiting:
        names, group = waiting.pop()
        for name in group:
            if len(seen) > _MOST_OBJECTS:
                raise _RefusedError(f"holds more than {_MOST_OBJECTS} objects")
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                raise _RefusedError(f"holds a link, {group.name}/{name}, to another place")
            member = group[name]
            if _address(member) in seen:
                raise _RefusedError(f"holds {member.name} under two names")
            seen.add(_address(member))
            if isinstance(member, h5py.Group):
                waiting.append(((*names, name), member))
            elif isinstance(member, h5py.Dataset):
                _check_storage(member)
                yield (*names, name), member
            else:
                raise _RefusedError(f"holds {member.name}, which is neither a group nor an array")


def _address(member: Any) -> int:
    return int(h5py.h5o.get_info(member.id).addr)


def _check_storage(dataset: Any) -> None:
    """Refuse an array that lies elsewhere, needs plug-ins, or has an absurd shape."""
    properties = dataset.id.get_create_plist()
    if dataset.is_virtual or properties.get_external_count():
        raise _RefusedError(f"holds {dataset.name}, whose values lie in other files")
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise _RefusedError(f"holds {dataset.name}, packed by filters that are not HDF5's own")
    if dataset.shape is None or len(dataset.shape) > _MOST_AXES:
        raise _RefusedError(f"holds {dataset.name} of shape {dataset.shape}")
    if max(dataset.size, math.prod(dataset.chunks or ())) > _MOST_VALUES:
        raise _RefusedError(f"claims to hold {dataset.name} of shape {dataset.shape}")


def _place(names: tuple[str, ...], file: Any) -> tuple[str, str] | None:
    """Return the layer and the variable that an array is, or None for others' (optimisers')."""
    if isinstance(file.get("layers"), h5py.Group):
        if len(names) != 4 or names[0] != "layers" or names[2] != "vars":
            return None
        # The groups are named after the kinds of layers, conv2d_3; the names are attributes.
        attributes = file["layers"][names[1]]["vars"].attrs
        name = attributes.get("name")
        if not isinstance(name, str):
            raise _RefusedError("lacks the names of layers (written by an old Keras 3)")
        return name, names[3]
    if "model_weights" in file:
        if names[0] != "model_weights":
            return None
        names = names[1:]
    if len(names) < 2 or names[0] in {"optimizer_weights", "top_level_model_weights"}:
        return None
    return names[0], names[-1].split(":")[0]


def _values(dataset: Any) -> NDArray[np.float32]:
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
        raise _RefusedError(f"holds {dataset.name} of type {dataset.dtype}, not float")
    if dataset.size and not dataset.id.get_storage_size():
        raise _RefusedError(f"holds {dataset.name} without values")
    with np.errstate(over="ignore"):
        values = np.asarray(dataset[()], np.float32)
    if not np.isfinite(values).all():
        raise _RefusedError(f"holds NaN or infinite weights in {dataset.name}")
    return values
