"""The tables of an evaluation: their columns, and reading them.

Usage: `tables = Tables.read(Path("evaluation"))`

An evaluation is of one or more detectors, each on the same scenes or on some of them. Tables are
files of parquet, one for each field of `Tables`, called after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import pandas as pd

from models.metrics.joint import MASK_NAMES, THIN_AS, TRUTH_NAMES

__all__ = ["COLUMNS", "Kind", "Tables", "is_simulated"]

Kind: TypeAlias = Literal["text", "whole number", "number", "flag"]

_KEYS: Mapping[str, Kind] = {"detector": "text", "scene": "text"}
_CELLS: Mapping[str, Kind] = dict.fromkeys(("tp", "fp", "fn", "tn"), "whole number")
_RESULT: Mapping[str, Kind] = {
    "score": "text",
    "number": "number",
    "low": "number",
    "high": "number",
    "groups": "whole number",
}

# The columns that each table must have; more of them do no harm (strata, in `scenes`).
COLUMNS: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        # Pixels of each truth and mask class, whole (kind "all") and cut into strata.
        "counts": {
            **_KEYS,
            "kind": "text",
            "value": "text",
            "truth": "text",
            "mask": "text",
            "pixels": "whole number",
        },
        # Pixels by probability of cloud, bins of 1/1000; of detectors that have one.
        "histogram": {
            **_KEYS,
            "truth": "text",
            "bin": "whole number",
            "pixels": "whole number",
        },
        "scenes": {
            **_KEYS,
            "group": "text",
            "stratum": "text",
            "pixel_size_m": "number",
            "sun_elevation_deg": "number",
            "brier_sum": "number",
            "brier_pixels": "number",
            "boundary_distance_m": "number",
            "over_segmentation": "number",
            "under_segmentation": "number",
            "objects": "number",
            "ignored_share": "number",
            "truth_kind": "text",
            "mask_kind": "text",
            "agreement": "flag",
            "told_by_truth": "text",
            "told_by_mask": "text",
            "truth_sha256": "text",
            "image": "text",
        },
        # Cloud against clear, thin as cloud, after the mask's clouds were widened by `metres`.
        "dilation": {**_KEYS, "metres": "number", **_CELLS},
        "scores": {
            "detector": "text",
            "task": "text",
            "thin": "text",
            "kind": "text",
            "value": "text",
            "how": "text",
            **_RESULT,
            "undefined": "whole number",
            "too_few": "flag",
        },
        # Paired: `detector` minus `than`, on the same groups.
        "differences": {
            "detector": "text",
            "than": "text",
            "task": "text",
            "thin": "text",
            **_RESULT,
            "too_few": "flag",
        },
        "curves": {"detector": "text", "threshold": "number", **_CELLS},
        "calibration": {
            "detector": "text",
            "bin": "whole number",
            "predicted": "number",
            "observed": "number",
            "pixels": "whole number",
        },
    }
)
_NEVER_EMPTY = ("counts", "scenes", "scores")
_REMEDY = "run the evaluation again with this version, or give the folder that it wrote"


_CHOICES: Mapping[tuple[str, str], frozenset[str]] = {
    ("counts", "truth"): frozenset(TRUTH_NAMES),
    ("counts", "mask"): frozenset(MASK_NAMES) | frozenset(TRUTH_NAMES),
    ("histogram", "truth"): frozenset({"clear", "cloud"}),
    ("scores", "thin"): frozenset(THIN_AS),
    ("scores", "how"): frozenset({"pooled", "mean", "worst decile"}),
    ("differences", "thin"): frozenset(THIN_AS),
}


def is_simulated(truth_kind: str) -> bool:
    """Tell whether a kind of truth comes from the simulator, whatever product carries it."""
    return truth_kind.split(" ")[0] == "simulated"


@dataclass(frozen=True)
class Tables:
    """The tables of one evaluation, with the columns of `COLUMNS`.

    Raises `ValueError` where a column is missing or of another type, where a class or a choice is
    unknown, where there is no scene or no score, where a table names a detector that `scenes` does
    not, and where simulated and real truth are mixed: their scores stand in separate reports.
    """

    counts: pd.DataFrame
    histogram: pd.DataFrame
    scenes: pd.DataFrame
    dilation: pd.DataFrame
    scores: pd.DataFrame
    differences: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame

    def __post_init__(self) -> None:
        """Check the tables."""
        for field in fields(self):
            _check(getattr(self, field.name), field.name, f"the table {field.name}")
        for field in fields(self):
            self._check_detectors(field.name)
        kinds = set(self.scenes["truth_kind"])
        if len({is_simulated(kind) for kind in kinds}) > 1:
            raise ValueError(
                f"the scenes have truth of {', '.join(sorted(kinds))}: a simulated score is no "
                "expected real accuracy, so evaluate simulated and real scenes apart"
            )

    @classmethod
    def read(cls, folder: Path) -> Tables:
        """Read the tables of a folder.

        Raises `FileNotFoundError` for a missing file, and `ValueError` for one that is no parquet
        or does not hold what `COLUMNS` says; all name the file.
        """
        frames = {}
        for field in fields(cls):
            path = folder / f"{field.name}.parquet"
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing: expected the tables {', '.join(COLUMNS)} of an evaluation "
                    f"as .parquet in that folder; {_REMEDY}"
                )
            try:
                frame = pd.read_parquet(path)
            except (ValueError, OSError) as error:
                raise ValueError(
                    f"{path} cannot be read as parquet ({error}): expected the table "
                    f"{field.name} of an evaluation; {_REMEDY}"
                ) from error
            _check(frame, field.name, str(path))
            frames[field.name] = frame
        return cls(**frames)

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors, in the order of `scenes`."""
        return tuple(dict.fromkeys(self.scenes["detector"]))

    @property
    def simulated(self) -> bool:
        """Whether the truth is the simulator's."""
        return all(is_simulated(kind) for kind in self.scenes["truth_kind"])

    def agreement(self, detector: str | None = None) -> bool:
        """Tell whether all numbers (of one detector) are of agreement, not of accuracy."""
        scenes = self.scenes
        chosen = scenes if detector is None else scenes[scenes["detector"] == detector]
        return bool(chosen["agreement"].all())

    def _check_detectors(self, table: str) -> None:
        frame: pd.DataFrame = getattr(self, table)
        columns = ["detector", "than"] if table == "differences" else ["detector"]
        for column in columns:
            strange = sorted(set(frame[column]) - set(self.detectors))
            if strange:
                raise ValueError(
                    f"the table {table} has results of {', '.join(strange)}, but the table scenes "
                    f"knows {', '.join(self.detectors)} only: give tables of one evaluation"
                )


def _check(frame: pd.DataFrame, table: str, where: str) -> None:
    """Raise `ValueError` unless `frame` has the columns of `table`; `where` names it."""
    columns = COLUMNS[table]
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{where} lacks {', '.join(missing)}: expected the columns {', '.join(columns)}, "
            f"found {', '.join(map(str, frame.columns)) or 'none'}; {_REMEDY}"
        )
    if frame.empty:
        if table in _NEVER_EMPTY:
            raise ValueError(
                f"{where} has no rows: expected at least one scene with truth and mask; {_REMEDY}"
            )
        return
    for name, kind in columns.items():
        if not _is(frame[name], kind):
            raise ValueError(
                f"{where} has {frame[name].dtype} in the column {name}: expected a {kind} in each "
                f"row; {_REMEDY}"
            )
        choices = _CHOICES.get((table, name))
        strange = set() if choices is None else set(frame[name]) - choices
        if choices is not None and strange:
            raise ValueError(
                f"{where} has {', '.join(sorted(strange))} in the column {name}: expected one of "
                f"{', '.join(sorted(choices))}; {_REMEDY}"
            )
        if kind == "whole number" and (frame[name] < 0).any():
            raise ValueError(f"{where} has negative numbers in the column {name}; {_REMEDY}")


def _is(column: pd.Series, kind: Kind) -> bool:
    """Tell whether a column holds one kind of value; numbers may be NaN, the others not."""
    types = pd.api.types
    if kind == "text":
        return all(isinstance(value, str) for value in column)
    if kind == "flag":
        return types.is_bool_dtype(column) and not column.isna().any()
    if kind == "whole number":
        return types.is_integer_dtype(column) and not column.isna().any()
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
