"""Weights from a file into a network, or an error that says why not.

Usage: `model = network_for(Path("cloud_detection_l8.hdf5"))`

Layers are matched by name. Keras's own readers match them by order, or skip what they do not find,
so that a network can stay partly random; here every weight of the network comes from the file, and
every weight of the file goes into the network. No code, graph or optimiser is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from models.weights.hdf5 import Layers, file_bytes, stored_layers
from models.weights.registry import ROLES, Role

if TYPE_CHECKING:
    import keras

__all__ = ["WeightsSummary", "inspect_weights", "load_weights", "network_for", "require"]

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
# The first convolution and the last layer of each architecture.
_ENDS = {
    "unet": ("input_conv_1", "linear_model"),
    "logistic": ("pixel_logistic", "pixel_logistic"),
    "generator": ("generator_block_1_conv_1", "out_generator"),
    "discriminator": ("d_layer_1_conv2d", "conv1x1"),
    "dsen2cr": ("dsen2cr_head", "dsen2cr_tail"),
    "convlstm": ("lstm_1_input", "series_image"),
    "pix2pix": ("down_1_conv", "last_conv"),
    "judge": ("judge_1_conv", "judge_last"),
}
_NORMALISING = {
    "unet": "normalization",
    "logistic": "normalization",
    "generator": "normalization_gen_in",
    "discriminator": "normalization_gen_in",
    "dsen2cr": "dsen2cr_scaling",
    "convlstm": "normalization",
    "pix2pix": "normalization",
    "judge": "normalization",
}
# Names that the published training code gives, and ours: IPL-UV/pvl8dagans, dagans/cloud_model.py.
_ALIASES = {"normalization_cloud": "normalization"}
# Filters of the widest layer, or bands, of networks that are built for a file; and residual blocks.
_WIDEST, _DEEPEST = 2048, 128
# Of the blocks of DSen2-CR (`models.networks.dsen2cr.block_names`), and its published scale.
_BLOCK = re.compile(r"block_([1-9]\d*)(?:_by_(\d[\d.e-]*))?_conv_1")
_RESIDUAL_SCALE = 0.1
_SPREAD = "dsen2cr_spread"


@dataclass(frozen=True)
class WeightsSummary:
    """What network a file holds weights of.

    `architecture` is "unet", "logistic", "generator", "discriminator", "dsen2cr", or of PLFM
    "convlstm", "pix2pix" or "judge"; `bands` are those of the input; `width` is the number of
    filters of the first convolution, `depth` that of the convolutions with stride 2 in a
    discriminator, and of the residual blocks in a dsen2cr (else 0). `normalisation` is "batch",
    "instance" or "none". Of a dsen2cr, `outputs` are the bands that it reconstructs, which its
    input begins with, `spread` tells whether it says how far off it may be, and `residual_scale` is
    what each block's share is multiplied by. `widths` are the filters of each layer of a convlstm,
    of which the first is `width`.
    """

    architecture: str
    bands: int
    width: int
    depth: int
    normalisation: Literal["batch", "instance", "none"]
    outputs: int = 0
    spread: bool = False
    residual_scale: float = 0.0
    widths: tuple[int, ...] = ()

    @property
    def sar(self) -> int:
        """Bands of SAR that a dsen2cr reads, else 0."""
        return self.bands - self.outputs if self.outputs else 0

    def __str__(self) -> str:
        """Say it in words."""
        if self.architecture == "dsen2cr":
            kind = _kind(self.architecture, self.bands) + (" with spread" if self.spread else "")
            by = self.residual_scale
            scaled = "" if by == _RESIDUAL_SCALE else f" scaled by {by:g}"
            return f"{kind} ({self.depth} blocks of {self.width} features{scaled})"
        inside = "no" if self.normalisation == "none" else self.normalisation
        kind = _kind(self.architecture, self.bands)
        return f"{kind} (width {self.width}, {inside} normalisation)"


def _kind(architecture: str, bands: int) -> str:
    return f"a {architecture} for {bands} band{'s' if bands != 1 else ''}"


def inspect_weights(path: Path, *, sha256: str | None = None) -> WeightsSummary:
    """Return what network the file is for, told from its layers; no Keras is imported.

    `sha256` is the hexadecimal digest that the file must have, where known. Raises
    `FileNotFoundError`, and `ValueError` for another digest, a file that is not of a known network
    or one that is not to be trusted (`stored_layers`).
    """
    return _summary_of_file(_read(path, sha256), path)


def require(path: Path, role: Role, bands: int, *, sha256: str | None = None) -> WeightsSummary:
    """Return what `inspect_weights` does, of weights for this `role` and these `bands`.

    Raises what `inspect_weights` raises, and `ValueError` for weights of another network.
    """
    found = inspect_weights(path, sha256=sha256)
    if found.architecture not in ROLES[role] or found.bands != bands:
        wanted = _kind(role, bands)
        raise ValueError(f"{path} holds {found}; expected {wanted}: give the weights of such a one")
    return found


def load_weights(model: keras.Model, path: Path, *, sha256: str | None = None) -> None:
    """Put the weights of a file into `model`.

    `sha256` is the hexadecimal digest that the file must have, where known. `model` is unchanged
    unless all weights fit. Raises `FileNotFoundError`, and `ValueError` for another digest, what
    `inspect_weights` refuses, another architecture, number of bands, width or normalisation, and
    for layers that are missing, left over, or of other shapes.
    """
    _fill(model, _read(path, sha256), path)


def network_for(path: Path, *, sha256: str | None = None) -> keras.Model:
    """Return the network that the file is for, loaded.

    Architecture, bands, width, depth and normalisation are those of the file. Raises what
    `load_weights` raises.
    """
    layers = _read(path, sha256)
    found = _summary_of_file(layers, path)
    doubled = min(found.depth, 99) if found.architecture == "discriminator" else 0
    times = 8 if found.architecture in ("pix2pix", "judge") else 4
    widest = max(found.bands, *(times * width for width in (found.width, *found.widths)))
    if max(widest, found.width * 2**doubled) > _WIDEST or found.depth > _DEEPEST:
        raise ValueError(f"{path} holds {found}, larger than any network of ours")
    model = _build(found)
    _fill(model, layers, path)
    return model


def _build(summary: WeightsSummary) -> keras.Model:
    # Keras takes seconds to import, and a file that is refused needs none of it.
    if summary.architecture == "unet":
        from models.networks.unet import build_unet

        return build_unet(summary.bands, width=summary.width)
    if summary.architecture == "logistic":
        from models.networks.logistic import build_logistic

        return build_logistic(summary.bands)
    if summary.architecture == "generator":
        from models.networks.generator import build_generator

        return build_generator(
            summary.bands, width=summary.width, normalisation=summary.normalisation
        )
    if summary.architecture == "dsen2cr":
        from models.networks.dsen2cr import build_dsen2cr

        return build_dsen2cr(
            summary.outputs,
            summary.sar,
            blocks=summary.depth,
            features=summary.width,
            residual_scale=summary.residual_scale,
            spread=summary.spread,
        )
    if summary.architecture == "convlstm":
        from models.networks.convlstm import build_series

        return build_series(summary.bands, widths=summary.widths)
    if summary.architecture == "pix2pix":
        from models.networks.pix2pix import build_pix2pix

        return build_pix2pix(summary.bands, width=summary.width)
    if summary.architecture == "judge":
        from models.networks.pix2pix import build_judge

        return build_judge(summary.bands, width=summary.width)
    from models.networks.discriminator import build_discriminator

    return build_discriminator(summary.bands, width=summary.width, depth=summary.depth)


def _read(path: Path, sha256: str | None) -> Layers:
    contents = file_bytes(path)
    if sha256 is not None:
        found = hashlib.sha256(contents).hexdigest()
        if found != sha256.lower():
            raise ValueError(
                f"{path} has the SHA-256 {found}; expected {sha256.lower()}: it is damaged or "
                "another file, fetch it again"
            )
    return {
        _ALIASES.get(name, name): arrays for name, arrays in stored_layers(contents, path).items()
    }


def _summary_of_file(layers: Layers, path: Path) -> WeightsSummary:
    summary = _summary(
        {
            name: {variable: array.shape for variable, array in arrays.items()}
            for name, arrays in layers.items()
        }
    )
    if summary is None:
        raise ValueError(
            f"{path} holds no network that is known here (layers {_some(layers)}): expected the "
            f"weights of a {', '.join(_ENDS)}"
        )
    return summary


def _summary(shapes: Shapes) -> WeightsSummary | None:
    """Return what network has layers of these names and shapes, None where none is known."""
    for architecture, (first, last) in _ENDS.items():
        if first not in shapes or last not in shapes:
            continue
        kernels = [s for s in shapes.get(_NORMALISING[architecture], {}).values() if len(s) == 4]
        biases = [s for s in shapes[first].values() if len(s) == 1]
        if len(kernels) != 1 or kernels[0] != (1, 1, *kernels[0][2:3] * 2) or len(biases) != 1:
            return None
        if architecture == "dsen2cr":
            return _dsen2cr(shapes, kernels[0][3], *biases[0])
        if architecture == "convlstm":
            widths = _cells(shapes)
            return WeightsSummary(architecture, kernels[0][3], widths[0], 0, "batch", widths=widths)
        if any("_in_" in name and name.startswith("generator_block") for name in shapes):
            normalisation: Literal["batch", "instance", "none"] = "instance"
        else:
            normalisation = "batch" if any("_bn" in name for name in shapes) else "none"
        depth = sum(name.startswith("d_layer_") and "_conv2d" in name for name in shapes)
        return WeightsSummary(architecture, kernels[0][3], *biases[0], depth, normalisation)
    return None


def _cells(shapes: Shapes) -> tuple[int, ...]:
    """Return the filters of each convolutional LSTM: a quarter of what its gates have."""
    widths = []
    for number in range(1, len(shapes) + 1):
        own = shapes.get(f"lstm_{number}_input", {})
        if not own:
            break
        widths.append(sum(shape[0] // 4 for shape in own.values() if len(shape) == 1))
    return tuple(widths)


def _dsen2cr(shapes: Shapes, bands: int, features: int) -> WeightsSummary | None:
    """Return the summary of a DSen2-CR, None where blocks, scales or bands make none."""
    blocks = [found for name in shapes if (found := _BLOCK.fullmatch(name))]
    outputs = [s[0] for s in shapes[_ENDS["dsen2cr"][1]].values() if len(s) == 1]
    try:
        scales = {float(found[2] or _RESIDUAL_SCALE) for found in blocks} or {_RESIDUAL_SCALE}
    except ValueError:
        return None
    numbers = sorted(int(found[1]) for found in blocks)
    if (
        len(scales) != 1
        or numbers != list(range(1, len(numbers) + 1))
        or len(outputs) != 1
        or bands - outputs[0] not in (0, 2)
    ):
        return None
    return WeightsSummary(
        "dsen2cr", bands, features, len(blocks), "none", outputs[0], _SPREAD in shapes, scales.pop()
    )


def _fill(model: keras.Model, layers: Layers, path: Path) -> None:
    variables = {
        layer.name: {weight.name: weight for weight in layer.weights}
        for layer in model.layers
        if layer.weights
    }
    expected = _summary(
        {
            name: {variable: tuple(weight.shape) for variable, weight in weights.items()}
            for name, weights in variables.items()
        }
    )
    if expected is not None:
        found = _summary_of_file(layers, path)
        if found != expected:
            raise ValueError(f"{path} holds {found}; expected {expected}: give its weights")
    missing, extra = variables.keys() - layers.keys(), layers.keys() - variables.keys()
    if missing or extra:
        wrong = [f"lacks {_some(missing)}"] if missing else []
        wrong += [f"has {_some(extra)} besides"] if extra else []
        raise ValueError(
            f"{path} holds other layers than the network {model.name}: it {' and '.join(wrong)}; "
            "give the weights of this very network"
        )
    pairs = []
    for name, weights in variables.items():
        arrays = layers[name]
        # Keras 3 numbers the variables of a layer in the order of `layer.weights`.
        numbers = [str(number) for number in range(len(weights))]
        keys = numbers if set(arrays) == set(numbers) else list(weights)
        if set(arrays) != set(keys):
            raise ValueError(
                f"{path} holds {_some(arrays)} of layer {name}; expected {_some(weights)}: give "
                "the weights of this very network"
            )
        for key, (variable, weight) in zip(keys, weights.items(), strict=True):
            if arrays[key].shape != tuple(weight.shape):
                raise ValueError(
                    f"{path} holds {name}/{variable} of shape {arrays[key].shape}; expected "
                    f"{tuple(weight.shape)}: give the weights of this very network"
                )
            pairs.append((weight, arrays[key]))
    for weight, values in pairs:
        weight.assign(np.asarray(values))


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    shown = ", ".join(listed[:5])
    return f"{shown} and {len(listed) - 5} more" if len(listed) > 5 else shown
