"""What a file of weights of our own says of itself: its network, its first layer, its digest.

Usage: `network_file(folder / "unet.weights.h5").summary.bands`
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.weights.hdf5 import file_bytes, stored_layers
from models.weights.loading import WeightsSummary, inspect_weights
from models.weights.registry import NAME, ROLES, SUFFIX

__all__ = ["NetworkFile", "network_file"]

# The fixed first layer of the networks that can be registered.
_FIXED = {
    "unet": "normalization",
    "logistic": "normalization",
    "generator": "normalization_gen_in",
    "dsen2cr": "dsen2cr_scaling",
    "convlstm": "normalization",
    "pix2pix": "normalization",
}


@dataclass(frozen=True)
class NetworkFile:
    """What a file of weights says of itself.

    The first layer computes `factor * x + added`, one number of each for each band. `graph` is the
    description for the fast runtime beside it, "" where there is none.
    """

    file: str
    sha256: str
    size: int
    summary: WeightsSummary
    parameters: int
    factor: tuple[float, ...]
    added: tuple[float, ...]
    graph: str = ""
    graph_sha256: str = ""

    @property
    def name(self) -> str:
        """The name of the file without its suffix, under which it can be registered."""
        return self.file.removesuffix(SUFFIX)


def network_file(path: Path) -> NetworkFile:
    """Return what the file says of itself, and of `<name>.npz` where that lies beside it.

    Raises what `inspect_weights` raises, and `ValueError` for a discriminator and for a file whose
    name, without `.weights.h5`, is none that weights can be registered under.
    """
    name = path.name.removesuffix(SUFFIX)
    if name == path.name or not NAME.fullmatch(name):
        raise ValueError(
            f"{path}: expected a name of letters, digits, _ and - that ends in {SUFFIX}"
        )
    contents = file_bytes(path)
    digest = hashlib.sha256(contents).hexdigest()
    summary = inspect_weights(path, sha256=digest)
    if summary.architecture not in _FIXED:
        raise ValueError(f"{path} holds {summary}; expected a {' or a '.join(ROLES)}")
    layers = stored_layers(contents, path)
    # Keras 3 numbers them: the kernel, then the bias.
    kernel, bias = (layers[_FIXED[summary.architecture]][number] for number in ("0", "1"))
    graph = path.with_name(f"{name}.npz")
    described = graph.is_file()
    return NetworkFile(
        path.name,
        digest,
        len(contents),
        summary,
        sum(array.size for arrays in layers.values() for array in arrays.values()),
        tuple(kernel[0, 0].diagonal().tolist()),
        tuple(bias.tolist()),
        graph.name if described else "",
        hashlib.sha256(graph.read_bytes()).hexdigest() if described else "",
    )
