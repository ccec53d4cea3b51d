"""What came of a run of `skysieve cron`: an exit code, and lines for the mail that cron sends.

Usage: `for line in outcome.lines(): ...`; `sys.exit(outcome.code(strict=False))`
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.settings import RETURN_CODES

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How many tasks are complete or in quarantine, and what lacks.

    `failed` are tasks with their reasons, `waiting` those that lack without having failed. `error`
    says why nothing could be told, `stopped` is the signal that ended the run.
    """

    family: str
    complete: int
    failed: tuple[str, ...]
    waiting: tuple[str, ...]
    held: int
    tries: int
    seconds: float
    log: str
    error: str
    stopped: signal.Signals | None

    def code(self, strict: bool) -> int:
        """Return 0 where nothing lacks but what is in quarantine, with `strict` nothing at all.

        Otherwise that of a failed task; after a signal 128 and its number, as a shell has it.
        """
        if self.stopped:
            return 128 + self.stopped
        lacks = self.failed or self.waiting or self.error or (strict and self.held)
        return int(RETURN_CODES["task_failed"]) if lacks else 0

    def lines(self) -> Iterator[str]:
        """Yield the summary, and a line for each task that lacks."""
        every = self.complete + len(self.failed) + len(self.waiting) + self.held
        parts = [
            "not known what lacks" if self.error else f"{self.complete} of {every} complete",
            *([f"{len(self.failed)} failed"] if self.failed else []),
            *([f"{len(self.waiting)} not run"] if self.waiting else []),
            *([f"{self.held} in quarantine"] if self.held else []),
            f"{self.tries} {'try' if self.tries == 1 else 'tries'}",
            f"{self.seconds:.0f} s",
            *([f"stopped by {self.stopped.name}"] if self.stopped else []),
        ]
        yield f"{self.family}: {', '.join(parts)}"
        if self.error:
            yield self.error
        yield from self.failed
        yield from (f"{each}: was not run, see {self.log}" for each in self.waiting)
