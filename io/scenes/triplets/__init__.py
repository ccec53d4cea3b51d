"""Triplets of patches of one place: Sentinel-1, cloud-free Sentinel-2, cloudy Sentinel-2.

Usage:
    triplets = find_sen12mscr(Path("SEN12MSCR"))
    patches = open_triplets(triplets)
    patches.read(patches.where(Split.TEST)[:8])["cloudy"]  # (8, 256, 256, 13) float32
"""

from scenes.patches_layout import Split
from scenes.triplets.list import read_list
from scenes.triplets.patches import TripletSet, open_triplets
from scenes.triplets.sen12mscr import find_sen12mscr
from scenes.triplets.triplet import Triplet

__all__ = ["Split", "Triplet", "TripletSet", "find_sen12mscr", "open_triplets", "read_list"]
