"""Names of files and folders in the published benchmarks; nothing is opened.

Usage: `BIOMES[letters(folder.name)]`

Sources: torchgeo/datasets/l8biome.py (folders of biomes); zenodo.org/records/1460961
(Baetens-Hagolle); zenodo.org/records/4172871 (Sentinel-2 Cloud Mask Catalogue) and its
`classification_tags.csv`; github.com/SorourMo/38-Cloud-A-Cloud-Segmentation-Dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "BAETENS_MAP",
    "BAETENS_PARAMETERS",
    "BIOMES",
    "CATALOGUE_MASKS",
    "CATALOGUE_SCENE",
    "CATALOGUE_SHADOWS",
    "CATALOGUE_SUBSCENES",
    "CATALOGUE_TAGS",
    "SURFACES",
    "letters",
]

# In a scene's folder of Baetens-Hagolle: the classes, and what the authors' program was told.
BAETENS_MAP = "Classification/classification_map.tif"
BAETENS_PARAMETERS = "Classification/used_parameters.json"

# In the folder of the catalogue; the columns of the table name a scene as its files are named.
CATALOGUE_MASKS, CATALOGUE_SUBSCENES = "masks", "subscenes"
CATALOGUE_TAGS = "classification_tags.csv"
CATALOGUE_SCENE, CATALOGUE_SHADOWS = "scene", "shadows_marked"

# Biomes of L8 Biome by the letters of their folders: torchgeo's "grass_crops", others' "GrassCrops"
# and "Snow-Ice".
BIOMES: Mapping[str, str] = MappingProxyType(
    {
        name.replace("_", ""): name
        for name in (
            "barren",
            "forest",
            "grass_crops",
            "shrubland",
            "snow_ice",
            "urban",
            "water",
            "wetlands",
        )
    }
)
# Landscapes of simulated scenes, words in the names of their folders.
SURFACES = frozenset(
    {"mixed", "crop", "forest", "desert", "urban", "mountain", "snow", "coast", "water"}
)


def letters(name: str) -> str:
    """Return the letters of a name, in lower case."""
    return "".join(sign for sign in name.lower() if sign.isalpha())
