"""One run of `skysieve cron`: `luigi`, again and again, until all is complete or patience ends.

Usage: `outcome = run(command, options, Place.of(command, state_folder()))`
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines.command_line import with_module
from pipelines.cron.child import Children, Log
from pipelines.cron.look import USAGE, Found, read_found
from pipelines.cron.outcome import Outcome
from pipelines.cron.place import Place
from pipelines.cron.quarantine import QUARANTINE, Entry, changing
from pipelines.cron.reasons import Reason, read_reasons, reason_among
from pipelines.events import CRON_EVENTS
from pipelines.product.locks import exclusive

__all__ = ["Options", "run"]

_LOOK = "from pipelines.cron.look import main; main()"
_LUIGI = "from luigi.cmdline import luigi_run; luigi_run()"
# A crash of one task is none of the others, and our lock is better than that of Luigi.
_ALWAYS = ("--worker-force-multiprocessing", "--no-lock")
# Seconds; each pause is twice the one before.
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True)
class Options:
    """How often and how patiently a command is repeated, and where its output goes.

    `pause` is in seconds, that after the first try; `patience` in runs; `log_size` in bytes.
    """

    tries: int = 3
    pause: float = 60.0
    patience: int = 3
    log: Path | None = None
    log_size: int = 10 << 20
    log_number: int = 5


def run(command: Sequence[str], options: Options, place: Place) -> Outcome:
    """Repeat a `luigi` command until its task is complete, with a growing pause between tries.

    Raises `Busy` where another run of the command is at work, `ValueError` for a command that
    cannot be built, and `OSError` where state or log cannot be written.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(place.lock, wait=False, inherited=True):
        log = Log(options.log or place.log, options.log_size, options.log_number)
        try:
            with Children(log) as children:
                return _Run(list(command), options, place, log, children).whole()
        finally:
            log.close()
            for path in (place.events, place.found):
                path.unlink(missing_ok=True)


class _Run:
    """A run of one command, under its lock."""

    def __init__(
        self, command: list[str], options: Options, place: Place, log: Log, children: Children
    ) -> None:
        """Begin, without what a killed run has left."""
        self._command, self._options, self._place = with_module(command), options, place
        self._log, self._children = log, children
        self._begun = time.monotonic()
        self._known: dict[str, None] = {}
        place.events.unlink(missing_ok=True)

    def whole(self) -> Outcome:
        """Look, and try until nothing lacks."""
        options, tries = self._options, 0
        found = self._look()
        while not (found.is_complete or tries >= options.tries or self._children.stopped):
            if tries:
                self._children.pause(min(options.pause * 2 ** (tries - 1), _LONGEST_PAUSE))
            if self._children.stopped:
                break
            tries += 1
            code = self._run(f"try {tries} of {options.tries}", _LUIGI, [*self._command, *_ALWAYS])
            self._say(f"luigi ended with {code}")
            found = self._look(found)
        outcome = self._outcome(found, tries)
        for line in outcome.lines():
            self._say(line)
        return outcome

    def _look(self, before: Found | None = None) -> Found:
        """Return what the command has done by now; after a signal what was known before."""
        found = self._place.found
        found.unlink(missing_ok=True)
        code = self._run("look", _LOOK, [str(found), *self._command])
        if self._children.stopped:
            return before or Found("luigi", error="stopped before it began")
        if code == USAGE and before is None:
            said = read_found(found).error if found.exists() else ""
            raise ValueError(
                said
                or f"no command for luigi, as {self._log.baseFilename} says: "
                f"{shlex.join(self._command)}"
            )
        if code:
            reason = f"the look at what lacks ended with {code}; see {self._log.baseFilename}"
            return Found(before.family if before else "luigi", error=reason)
        looked = read_found(found)
        self._known |= dict.fromkeys((*looked.complete, *(each.task for each in looked.lacking)))
        return looked

    def _run(self, what: str, code: str, arguments: Sequence[str]) -> int:
        self._say(f"{what}: {shlex.join(arguments)}")
        environment = {
            CRON_EVENTS: str(self._place.events),
            QUARANTINE: str(self._place.quarantine),
        }
        return self._children.run(code, arguments, environment)

    def _outcome(self, found: Found, tries: int) -> Outcome:
        reasons = read_reasons(self._place.events)
        stopped = self._children.stopped
        # A run that was cut short says nothing of the scenes.
        entered = set() if stopped or found.error else self._remember(found, reasons)
        failed, waiting = [], []
        for each in found.lacking:
            reason = reason_among(reasons, each.all)
            note = " (not tried again: in quarantine)" if each.task in entered else ""
            if reason:
                failed.append(f"{each.title}: {reason.message}{note}")
            else:
                waiting.append(each.title)
        return Outcome(
            found.family,
            complete=len(self._known.keys() - {each.task for each in found.lacking}),
            failed=tuple(failed),
            waiting=tuple(waiting),
            held=len(found.held),
            tries=tries,
            seconds=time.monotonic() - self._begun,
            log=self._log.baseFilename,
            error=found.error,
            stopped=stopped,
        )

    def _remember(self, found: Found, reasons: dict[str, Reason]) -> set[str]:
        """Bring the quarantine list up to date; return the ids of what has just entered it."""
        entered = set()
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        with changing(self._place.quarantine) as entries:
            for task in found.complete:
                entries.pop(task, None)
            for each in found.lacking:
                reason = reason_among(reasons, each.own)
                if reason is None or reason.passing or not each.patient:
                    continue
                before = entries.get(each.task)
                entry = Entry(
                    each.task, each.title, each.scene, each.stamp, reason.message, now, 1, False
                )
                if before and before.stamp == each.stamp:
                    entry = replace(entry, since=before.since, times=before.times + 1)
                if entry.times >= self._options.patience:
                    entry = replace(entry, held=True)
                    entered.add(each.task)
                entries[each.task] = entry
        return entered

    def _say(self, text: str) -> None:
        self._log.line(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} skysieve cron: {text}")
