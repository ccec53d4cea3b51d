"""Parts data into training, validation and test by groups of scenes, never within a group.

Usage: `split_groups({"199031 2016-06-20": 120, "012005 2014-03-21": 80}, seed=123)`
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["split_groups"]


def split_groups(
    weights: Mapping[str, int],
    *,
    seed: int,
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    strata: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Return the split of each group: 0 training, 1 validation, 2 test.

    `weights` are patches by group. Which group goes where depends on the seed and on the groups'
    names and weights, not on their order. The `shares` of all patches, which sum to 1, are met as
    well as exchanging groups allows, and a split with a share gets one group at least. Of one group
    all is training, of two the second is validation. With `strata`, a name by group, each stratum
    that is large enough to give every split a group (1 / the smallest share) is split by itself;
    the groups of all others then fill what is missing. Groups without patches are training.

    Raises `ValueError` for negative weights or shares, shares that do not sum to 1, and groups
    without a stratum.
    """
    if len(shares) != 3 or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(f"expected three shares from 0 to 1 that sum to 1, not {tuple(shares)}")
    if any(weight < 0 for weight in weights.values()):
        raise ValueError(f"expected numbers of patches, not {min(weights.values())}")
    if strata is not None and (missing := sorted(set(weights) - set(strata))):
        raise ValueError(f"no stratum for the groups {', '.join(missing[:8])}")
    drawn = sorted(
        (name for name, weight in weights.items() if weight),
        key=lambda name: (hashlib.sha256(f"{seed} {name}".encode()).digest(), name),
    )
    members = defaultdict(list)
    for name in drawn:
        members[strata[name] if strata else ""].append(name)
    used = [split for split, share in enumerate(shares) if share]
    enough = 1 / min(shares[split] for split in used) - 1e-6
    found: dict[str, int] = {}
    rest: list[str] = []
    for stratum in sorted(members):
        names = members[stratum]
        if len(names) < enough:
            rest += names
            continue
        total = sum(weights[name] for name in names)
        found |= _divide({n: weights[n] for n in names}, [s * total for s in shares], used)
    wanted = [share * sum(weights.values()) for share in shares]
    for name, split in found.items():
        wanted[split] -= weights[name]
    # In the order that was drawn, not by strata.
    left = {name: weights[name] for name in drawn if name in set(rest)}
    found |= _divide(left, wanted, used, fill=not found)
    return {name: found.get(name, used[0]) for name in weights}


def _divide(
    weights: Mapping[str, int], wanted: Sequence[float], used: Sequence[int], *, fill: bool = True
) -> dict[str, int]:
    """Return the split of each group, so that sums of weights come near those `wanted`.

    `used` are the splits that there are; with `fill`, none of them stays without a group as long as
    there are enough.
    """
    missing = list(wanted)
    found: dict[str, int] = {}
    for name, weight in weights.items():
        split = max(used, key=lambda each: (missing[each], -each))
        found[name] = split
        missing[split] -= weight
    least = 1 if fill else 0
    for split in used[: len(weights)] if fill else ():
        if split not in found.values():
            counts = {each: list(found.values()).count(each) for each in used}
            # Of a split with groups to spare and, where there is none, of the last one.
            giver = max((each for each in used if counts[each]), key=lambda s: (counts[s] > 1, s))
            name = min((n for n, s in found.items() if s == giver), key=lambda n: weights[n])
            found[name] = split
            missing[giver] += weights[name]
            missing[split] -= weights[name]
    for _ in range(4 * len(weights)):
        if not _exchange(weights, found, missing, used, least):
            break
    return found


def _exchange(
    weights: Mapping[str, int],
    found: dict[str, int],
    missing: list[float],
    used: Sequence[int],
    least: int,
) -> bool:
    """Move one group, or swap two, where that helps most; tell whether any helped.

    What helps is a smaller sum of the squares of `missing`. Changes `found` and `missing`; leaves
    `least` groups to each split.
    """
    best, chosen = 1e-6, None
    for a in used:
        for b in used:
            # From a split with too much to one with too little, a weight that is about `ideal`.
            ideal = (missing[b] - missing[a]) / 2
            if ideal <= 0:
                continue
            givers = [n for n, s in found.items() if s == a]
            takers = [None, *(n for n, s in found.items() if s == b)]
            takers.sort(key=lambda n: 0 if n is None else weights[n])
            if len(givers) <= least:
                # A swap leaves their number as it is, a move does not.
                takers.remove(None)
            if not givers or not takers:
                continue
            back = np.array([0 if n is None else weights[n] for n in takers])
            for name in givers:
                place = int(np.searchsorted(back, weights[name] - ideal))
                for other in takers[max(0, place - 1) : place + 1]:
                    moved = weights[name] - (0 if other is None else weights[other])
                    gain = 2 * moved * (2 * ideal - moved)
                    if gain > best:
                        best, chosen = gain, (name, other, a, b, moved)
    if chosen is None:
        return False
    name, other, a, b, moved = chosen
    found[name] = b
    if other is not None:
        found[other] = a
    missing[a] += moved
    missing[b] -= moved
    return True
