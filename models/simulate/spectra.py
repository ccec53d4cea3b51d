"""Reflectances of the earth's surfaces at six wavelengths, and the sensors' bands on them.

All spectra stand at the nodes `NODES` (micrometres); a band is a weighted sum of the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.simulate.fields import Floats, stream

__all__ = ["BANDS", "NODES", "SPECTRA", "Band", "scene_spectra", "texture_deviation"]

NODES = (0.482, 0.561, 0.655, 0.865, 1.61, 2.2)

# Typical values in blue, green, red, NIR, 1.6 and 2.2 um, of the orders found in the ECOSTRESS and
# USGS spectral libraries; the second number is the relative standard deviation within the class.
SPECTRA: Mapping[str, tuple[tuple[float, ...], float]] = {
    "forest": ((0.03, 0.05, 0.03, 0.25, 0.12, 0.05), 0.20),
    "crop": ((0.04, 0.08, 0.05, 0.40, 0.20, 0.09), 0.10),
    "dry soil": ((0.11, 0.17, 0.22, 0.30, 0.38, 0.32), 0.10),
    "sand": ((0.20, 0.30, 0.38, 0.46, 0.55, 0.50), 0.07),
    "salt": ((0.50, 0.55, 0.58, 0.60, 0.50, 0.35), 0.06),
    "urban": ((0.13, 0.15, 0.16, 0.20, 0.22, 0.20), 0.25),
    "burnt": ((0.05, 0.06, 0.07, 0.12, 0.18, 0.17), 0.15),
    "clear water": ((0.025, 0.02, 0.01, 0.003, 0.001, 0.001), 0.05),
    "turbid water": ((0.06, 0.10, 0.09, 0.04, 0.003, 0.002), 0.10),
    "fresh snow": ((0.95, 0.94, 0.92, 0.85, 0.10, 0.08), 0.05),
    "old snow": ((0.75, 0.72, 0.70, 0.60, 0.09, 0.05), 0.08),
}
# How far a scene's spectra depart from the table: overall and from the first to the last node.
_SCALE, _TILT = 0.20, 0.10
# Snow cannot be scaled up by a fifth: no surface here reflects more than this.
_BRIGHTEST = 0.98


@dataclass(frozen=True)
class Band:
    """A band of a sensor: its centre in micrometres, weights of the six nodes, and group.

    `vapour` is the transmission of water vapour over two paths in a mean atmosphere, `ozone` that
    of ozone; `cloud` names how clouds scatter there: "visible", "1.6", "2.2".
    """

    wavelength: float
    nodes: tuple[float, ...]
    ozone: float = 1.0
    vapour: float = 1.0
    cloud: str = "visible"
    absorption: float = 0.0


# OLI centres: Landsat 8 Data Users Handbook, LSDS-1574. Proba-V centres and widths:
# SNAP's reader (BLUE 462/48, RED 655.5/81, NIR 843/142, SWIR 1599/70 nm). Proba-V's RED and NIR are
# more than twice as wide as OLI's B4 and B5, so RED takes a part of the red edge and of the green,
# and NIR a part of the edge and of the water vapour band at 0.82 um.
BANDS: Mapping[str, Band] = {
    "B1": Band(0.443, (1.25, -0.25, 0, 0, 0, 0)),
    "B2": Band(0.482, (1, 0, 0, 0, 0, 0)),
    "B3": Band(0.561, (0, 1, 0, 0, 0, 0), ozone=0.97),
    "B4": Band(0.655, (0, 0, 1, 0, 0, 0), ozone=0.97),
    "B5": Band(0.865, (0, 0, 0, 1, 0, 0)),
    "B6": Band(1.609, (0, 0, 0, 0, 1, 0), cloud="1.6"),
    "B7": Band(2.201, (0, 0, 0, 0, 0, 1), cloud="2.2"),
    "B8": Band(0.590, (0.1, 0.45, 0.45, 0, 0, 0), ozone=0.97),
    "BLUE": Band(0.462, (1.1, -0.1, 0, 0, 0, 0)),
    "RED": Band(0.656, (0, 0.05, 0.93, 0.02, 0, 0), ozone=0.97),
    "NIR": Band(0.843, (0, 0, 0.04, 0.96, 0, 0), vapour=0.955),
    "SWIR": Band(1.599, (0, 0, 0, 0.02, 0.98, 0), cloud="1.6"),
}


def scene_spectra(seed: int) -> dict[str, Floats]:
    """Return the `(6,)` float32 spectra of one scene: the table's, scaled and tilted per class.

    Scale within +-20 %, tilt within +-10 % at the ends of the spectrum.
    """
    rng = stream(seed, "spectra")
    ends = np.linspace(-1, 1, len(NODES))
    scene = {}
    for name, (values, _) in SPECTRA.items():
        scale, tilt = rng.uniform(-_SCALE, _SCALE), rng.uniform(-_TILT, _TILT)
        spectrum = np.array(values) * (1 + scale) * (1 + tilt * ends)
        scene[name] = np.minimum(spectrum, _BRIGHTEST).astype(np.float32)
    return scene


def texture_deviation(name: str) -> float:
    """Return the relative standard deviation of the class `name`, 0.05-0.25."""
    return SPECTRA[name][1]
