"""What `--split` says: the shares of data for training, validation and test.

Usage: `parse_shares("60/20/20")` is `(0.6, 0.2, 0.2)`
"""

from __future__ import annotations

__all__ = ["parse_shares"]


def parse_shares(text: str) -> tuple[float, float, float]:
    """Return the shares, which sum to 1, of "60/20/20"; raises `ValueError` for other texts."""
    try:
        train, validation, test = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        train = validation = test = -1.0
    if min(train, validation, test) < 0 or abs(train + validation + test - 1) > 1e-6:
        raise ValueError(
            "expected a --split of three percentages that sum to 100, training/validation/test, "
            f"such as 60/20/20, not {text!r}"
        )
    return train, validation, test
