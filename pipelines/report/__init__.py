"""The report of an evaluation as one HTML page, from its tables. No Luigi.

Usage: `write_report(path, Tables.read(folder), title="...", gallery={}, provenance=[])`

It imports pandas and matplotlib: tasks import it in `make`.
"""

from pipelines.report.page import write_report
from pipelines.report.schema import Tables

__all__ = ["Tables", "write_report"]
