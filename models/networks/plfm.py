"""The three networks of PLFM: a branch over time, a branch from SAR, and the head that merges them.

Usage: `merged = build_head(width=32)(keras.ops.concatenate([series_image, radar_image], -1))`

Sebastianelli et al. 2022, https://arxiv.org/abs/2106.12226, with the widths of its
published code (alessandrosebastianelli/PLFM-Clouds-Removal).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from models.networks.convlstm import build_series
from models.networks.pix2pix import STRIDE, build_judge, build_pix2pix

__all__ = [
    "COLOURS", "HEAD_WIDTH", "JUDGE_WIDTH", "RADAR_WIDTH", "SERIES_WIDTHS", "STEPS", "STRIDE",
    "build_head", "build_radar_branch", "build_radar_judge", "build_series_branch",
]  # fmt: skip

# models/models_config.py, models/convLSTM.py, models/cGAN.py and models/headPLFM.py there.
STEPS = 3
COLOURS = 3
_RADAR = 1
SERIES_WIDTHS = (128, 64, 32)
RADAR_WIDTH = 128
JUDGE_WIDTH = 128
HEAD_WIDTH = 32


def build_series_branch(widths: Sequence[int] = SERIES_WIDTHS) -> keras.Model:
    """Return the branch over time, `(n, 3, height, width, 3)` -> `(n, height, width, 3)`, 0-1.

    Raises what `build_series` raises.
    """
    return build_series(COLOURS, widths=widths, steps=STEPS)


def build_radar_branch(width: int = RADAR_WIDTH) -> keras.Model:
    """Return the branch from SAR, `(n, height, width, 1)` -> `(n, height, width, 3)`, 0-1.

    The published one reads VV three times. Raises what `build_pix2pix` raises.
    """
    return build_pix2pix(_RADAR, COLOURS, width=width)


def build_radar_judge(width: int = JUDGE_WIDTH) -> keras.Model:
    """Return what tells images from those of the branch: of image and SAR, `(n, h, w, 4)`, 0-1.

    Raises what `build_judge` raises.
    """
    return build_judge(COLOURS + _RADAR, width=width)


def build_head(width: int = HEAD_WIDTH) -> keras.Model:
    """Return the head, `(n, height, width, 6)` -> `(n, height, width, 3)`, 0-1.

    It reads the image of the branch over time, then that of the branch from SAR. (Published: the
    second and the head itself go from -1 to 1, the first and the target from 0 to 1; here all are
    0-1 outside, -1 to 1 inside.) Raises what `build_pix2pix` raises.
    """
    return build_pix2pix(2 * COLOURS, COLOURS, width=width)
