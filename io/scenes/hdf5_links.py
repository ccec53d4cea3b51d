"""Datasets whose bytes lie in the HDF5 file itself, whatever its links say.

Usage: `dataset = own_dataset(file, "LEVEL2A/QUALITY/SM")`

A file can name other files by soft and external links, external storage and virtual datasets
(https://docs.h5py.org/en/stable/high/group.html#soft-links): a product from elsewhere must not read
what its sender has no access to.
"""

from __future__ import annotations

import h5py

__all__ = ["own_dataset"]


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return the dataset, None where no chain of hard links leads to one.

    Raises `ValueError` naming the dataset where it is stored outside of the file.
    """
    node: h5py.Group | h5py.Dataset | None = file
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        node = node[part] if node is not None and isinstance(link, h5py.HardLink) else None
    if not isinstance(node, h5py.Dataset):
        return None
    if node.external or node.is_virtual:
        raise ValueError(f"{name} is stored outside of the file: refused")
    return node
