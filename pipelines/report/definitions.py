"""What the numbers of an evaluation are called, and how they are defined and printed.

Usage: `shown(DEFINITIONS["f1"], 0.913)` is "91.3"
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = [
    "DEFINITIONS",
    "HOW",
    "KINDS",
    "MINUS",
    "THIN",
    "Definition",
    "definition",
    "name_of_kind",
    "name_of_task",
    "name_of_value",
    "shown",
    "shown_interval",
]

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Definition:
    """A number: its name, the letters it goes by, formula, a line of meaning.

    `unit` is "%" for shares, "points" for differences of shares, "m" for metres, "dB", "°", "rad",
    "" for a number as it is; of the last four `digits` decimals are printed. `signed` numbers are
    printed with their sign. `best` is the number of a perfect mask, None where there is none.
    """

    name: str
    letters: str
    formula: str
    meaning: str
    unit: Literal["%", "points", "m", "dB", "°", "rad", ""] = "%"
    best: float | None = 1.0
    signed: bool = False
    digits: int = 3

    @property
    def label(self) -> str:
        """The name with the letters, "Overall accuracy (OA)"."""
        return f"{self.name} ({self.letters})" if self.letters else self.name


# Formulas are those of models.metrics.confusion, in the letters of a 2 x 2 table.
DEFINITIONS: Mapping[str, Definition] = MappingProxyType(
    {
        "overall_accuracy": Definition(
            "Overall accuracy",
            "OA",
            "(TP + TN) / (TP + FP + FN + TN)",
            "Share of the pixels that are right. High by itself where one class is rare.",
        ),
        "balanced_accuracy": Definition(
            "Balanced accuracy",
            "BOA",
            "½ (PA + specificity)",
            "Of this class against the rest, as in OmniCloudMask; 50 % is what a constant answer "
            "has.",
        ),
        "producers_accuracy": Definition(
            "Producer's accuracy",
            "PA",
            "TP / (TP + FN)",
            "Share of the true cloud that is found, also called recall.",
        ),
        "users_accuracy": Definition(
            "User's accuracy",
            "UA",
            "TP / (TP + FP)",
            "Share of what the mask calls cloud that is cloud, also called precision.",
        ),
        "f1": Definition(
            "F1", "", "2 TP / (2 TP + FP + FN)", "Harmonic mean of producer's and user's accuracy."
        ),
        "iou": Definition(
            "Intersection over union", "IoU", "TP / (TP + FP + FN)", "Overlap of the two clouds."
        ),
        "kappa": Definition(
            "Kappa",
            "",
            "(OA − e) / (1 − e), e = ((TP+FP)(TP+FN) + (FN+TN)(FP+TN)) / n²",
            "Cohen's: what is left of the overall accuracy beyond chance; 1 is perfect.",
            unit="",
        ),
        "cad": Definition(
            "Cloud amount difference",
            "CAD",
            "(TP + FP) / n − (TP + FN) / n of each scene",
            "Cloud fraction of the mask minus that of the truth, the signed mean over scenes; "
            "above 0 the mask has too much cloud.",
            unit="points",
            best=0.0,
            signed=True,
        ),
        "cad_absolute": Definition(
            "Absolute cloud amount difference",
            "|CAD|",
            "|(TP + FP) / n − (TP + FN) / n| of each scene",
            "The same without its sign, the mean over scenes: errors of two signs do not cancel.",
            unit="points",
            best=0.0,
        ),
        "specificity": Definition(
            "Specificity",
            "",
            "TN / (FP + TN)",
            "Share of the true clear that is called clear: the producer's accuracy of the rest.",
        ),
        "omission": Definition(
            "Omission", "", "FN / (TP + FN) = 1 − PA", "Share of the true cloud missed.", best=0.0
        ),
        "commission": Definition(
            "Commission",
            "",
            "FP / (TP + FP) = 1 − UA",
            "Share of what the mask calls cloud that is none. Not the false-alarm rate, which some "
            "papers call so.",
            best=0.0,
        ),
        "false_alarm_rate": Definition(
            "False-alarm rate",
            "",
            "FP / (FP + TN) = 1 − specificity",
            "Share of the true clear that is called cloud.",
            best=0.0,
        ),
        "macro_recall": Definition(
            "Macro recall",
            "",
            "mean of PA over the classes",
            "Of a task of several classes, each counting alike.",
        ),
        "prevalence": Definition(
            "Prevalence", "", "(TP + FN) / n", "Share of cloud in the truth.", best=None
        ),
        "boundary_distance_m": Definition(
            "Distance of boundaries",
            "",
            "½ (mean from truth to mask + mean from mask to truth)",
            "Between the boundaries of true and predicted cloud in a scene; undefined where either "
            "has none.",
            unit="m",
            best=0.0,
        ),
        "over_segmentation": Definition(
            "Over-segmentation",
            "",
            "1 − |T ∩ P| / |T|",
            "Of a true object T and the predicted object P that overlaps it most; 0 is best.",
            unit="",
            best=0.0,
        ),
        "under_segmentation": Definition(
            "Under-segmentation", "", "1 − |T ∩ P| / |P|", "Of the same objects.", unit="", best=0.0
        ),
        "average_precision": Definition(
            "Average precision",
            "AP",
            "Σ (PA − PA before) UA",
            "Over falling thresholds of the probability, in bins of 1/1000.",
            unit="",
        ),
        "roc_auc": Definition(
            "Area under ROC",
            "AUC",
            "∫ PA d(false-alarm rate)",
            "How often a cloud pixel has a higher probability than a clear one, ties half.",
            unit="",
        ),
        "brier": Definition(
            "Brier score",
            "",
            "mean of (probability − fraction of cloud)²",
            "0 is perfect.",
            unit="",
            best=0.0,
        ),
        "ece": Definition(
            "Expected calibration error",
            "ECE",
            "Σ (pixels of the bin / all) |observed − predicted|",
            "In 15 bins of equal mass.",
            unit="",
            best=0.0,
        ),
        "ece_null": Definition(
            "Null level of the ECE",
            "ECE₀",
            "ECE of perfect calibration",
            "What it shows by chance with as many independent units as there are groups: an ECE up "
            "to it says nothing against the calibration.",
            unit="",
            best=None,
        ),
    }
)

THIN: Mapping[str, str] = MappingProxyType(
    {"cloud": "thin as cloud", "ignored": "thin ignored", "clear": "thin as clear"}
)
HOW: Mapping[str, str] = MappingProxyType(
    {"pooled": "pooled", "mean": "mean of scenes", "worst decile": "worst decile"}
)
# Heading of a stratification, and what its values are.
KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "stratum": ("Stratum of the scene", "as the data set or the user names them"),
        "surface": ("Surface", "class of the ground"),
        "edge": ("Distance from the edge of cloud", "in pixels, to the truth's nearest cloud edge"),
        "mixed": ("Pure and mixed pixels", "mixed: a true cloud fraction of 0.05 to 0.95"),
        "tau": ("Optical thickness of cloud", "τ, without unit"),
        "cloud type": ("Type of cloud", "of the simulator"),
        "height": ("Height of cloud", "in km"),
        "sun elevation": ("Elevation of the sun", "in degrees"),
        "cover class": ("Cloud cover of the scene", "share of cloud in the truth"),
        "snow": ("Snow", "in the truth"),
    }
)
_TASKS: Mapping[str, str] = MappingProxyType(
    {"cloud": "cloud or not", "valid": "invalid (cloud or shadow) or valid"}
)


def definition(score: str) -> Definition:
    """Return what a score is; one that is not known goes by its name, without a unit."""
    return DEFINITIONS.get(score) or Definition(
        score.replace("_", " ").capitalize(), "", "", "", unit="", best=None
    )


def name_of_kind(kind: str) -> tuple[str, str]:
    """Return the heading of a stratification, and what its values are."""
    return KINDS.get(kind, (kind[:1].upper() + kind[1:], ""))


def name_of_task(task: str) -> str:
    """Return a task in words."""
    one = task.removeprefix("class: ")
    return _TASKS.get(task, f"{one} or the rest" if one != task else task)


def name_of_value(value: str) -> str:
    """Return a stratum as it is printed: "<= 1" with one sign, "1-2" with a dash."""
    signs = value.replace("<=", "≤").replace(">=", "≥")
    return re.sub(r"(?<=\d)-(?=\d)", "–", signs)


def shown(what: Definition, number: float, *, difference: bool = False) -> str:
    """Return a number as it is printed: shares in per cent without the sign, one decimal.

    Differences have their sign. Raises `ValueError` for NaN, which is to be said in words.
    """
    if math.isnan(number):
        raise ValueError("a number that is undefined cannot be printed as one: say so in words")
    signed = difference or what.signed
    if what.unit == "m":
        text = f"{number:+.0f}" if signed else f"{number:.0f}"
    elif what.unit in ("%", "points"):
        text = f"{100 * number:+.1f}" if signed else f"{100 * number:.1f}"
    else:
        text = f"{number:{'+' if signed else ''}.{what.digits}f}"
    # No "-0.0", nor "+0.0".
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def shown_interval(what: Definition, low: float, high: float, *, difference: bool = False) -> str:
    """Return an interval as it is printed, "[91.2, 95.1]"; "" where an end is NaN."""
    if math.isnan(low) or math.isnan(high):
        return ""
    ends = (shown(what, end, difference=difference) for end in (low, high))
    return "[{}, {}]".format(*ends)
