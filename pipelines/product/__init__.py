"""Products: what makes them appear whole, and what decides whether they are fresh.

Usage: `from pipelines.product import ProductTask`; everything that a task needs is named here.
"""

from pipelines.product.claims import PathConflict
from pipelines.product.inputs import (
    ExternalInput,
    FileInput,
    InputChanged,
    Member,
    ResolvedInput,
)
from pipelines.product.record import Described, Description
from pipelines.product.targets import OutputError, ProductTarget
from pipelines.product.task import ProductTask, software
from pipelines.progress import Progress, silent

__all__ = [
    "Described",
    "Description",
    "ExternalInput",
    "FileInput",
    "InputChanged",
    "Member",
    "OutputError",
    "PathConflict",
    "ProductTarget",
    "ProductTask",
    "Progress",
    "ResolvedInput",
    "silent",
    "software",
]
