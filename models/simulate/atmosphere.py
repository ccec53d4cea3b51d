"""What the air does: molecules, aerosol, ozone and water vapour between the ground and a sensor.

Usage: `air = Atmosphere(recipe)`; `air.above(rho, band, haze, mu_sun, mu_view)`
"""

from __future__ import annotations

import numpy as np

from models.simulate.fields import Floats, PowerField, Window, stream
from models.simulate.recipe import SceneRecipe
from models.simulate.spectra import Band

__all__ = ["Atmosphere", "rayleigh_thickness"]

# Phase function of molecules towards the sensor, as the simulator's specification takes it.
_RAYLEIGH_PHASE = 1.2
# Single-scattering albedo times phase function of continental aerosol towards a nadir sensor.
_AEROSOL_PHASE = 0.3
# Share of the scattered light that is lost to the direct-plus-diffuse beam: half for molecules, a
# sixth for forward-scattering aerosol (two-stream, Meador and Weaver 1980).
_RAYLEIGH_LOSS, _AEROSOL_LOSS = 0.5, 0.16


def rayleigh_thickness(wavelength: float) -> float:
    """Return the molecular optical thickness at sea level; `wavelength` in micrometres.

    J. E. Hansen and L. D. Travis, Light scattering in planetary atmospheres, Space Science Reviews
    16, 1974, equation 2.30.
    """
    inverse = wavelength**-2
    return 0.008569 * inverse**2 * (1 + 0.0113 * inverse + 0.00013 * inverse**2)


class Atmosphere:
    """The air over one scene: haze that varies over 10-50 km and a load of vapour."""

    def __init__(self, recipe: SceneRecipe) -> None:
        """Draw aerosol (median 0.12 at 0.55 um, 0.02-1), Angstrom exponent (0-1.8) and vapour."""
        rng = stream(recipe.sky_seed, "atmosphere")
        self.aerosol = float(np.clip(np.exp(rng.normal(np.log(0.12), 0.6)), 0.02, 1.0))
        self.angstrom = float(rng.uniform(0, 1.8))
        self._vapour = float(rng.uniform(0.93, 0.98))
        self._field = PowerField(
            recipe.sky_seed, "haze", 3.0, outer=recipe.scale * float(rng.uniform(350, 1700))
        )

    def haze(self, window: Window) -> Floats:
        """Return the aerosol's optical thickness at 0.55 um, `(height, width)` float32, 0.01-2."""
        field = self._field.smooth(window)
        haze = self.aerosol * np.exp(np.float32(0.35) * np.clip(field, -2.5, 2))
        return np.asarray(haze, np.float32)

    def path(self, band: Band, haze: Floats, mu_sun: float, mu_view: float) -> Floats:
        """Return the reflectance of the air itself, `(height, width)` float32."""
        geometry = 1 / (4 * mu_sun * mu_view)
        molecules = rayleigh_thickness(band.wavelength) * _RAYLEIGH_PHASE
        aerosol = self._aerosol_scale(band) * _AEROSOL_PHASE
        return np.float32(geometry * molecules) + np.float32(geometry * aerosol) * haze

    def above(
        self, ground: Floats, band: Band, haze: Floats, mu_sun: float, mu_view: float
    ) -> Floats:
        """Return the reflectance seen above the clear air over `ground`, before ozone.

        `ground` and `haze` are `(height, width)` float32; `mu_sun` and `mu_view` the cosines of the
        zenith angles. path + T ground / (1 - S ground), with T over both paths.
        """
        molecules, aerosol = rayleigh_thickness(band.wavelength), self._aerosol_scale(band)
        slant = 1 / mu_sun + 1 / mu_view
        through = np.exp(np.float32(-_AEROSOL_LOSS * aerosol * slant) * haze)
        through *= np.float32(np.exp(-_RAYLEIGH_LOSS * molecules * slant) * self._gas(band))
        # Spherical albedo of the air from below, first order in the thickness.
        back = np.float32(0.85 * molecules + 0.15 * aerosol * self.aerosol)
        seen: Floats = through * ground / (1 - back * ground)
        seen += self.path(band, haze, mu_sun, mu_view)
        return seen

    def _aerosol_scale(self, band: Band) -> float:
        return float((band.wavelength / 0.55) ** -self.angstrom)

    def _gas(self, band: Band) -> float:
        return self._vapour if band.vapour < 1 else 1.0
