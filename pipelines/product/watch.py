"""The inputs of one run, watched from before they are read until the record is written.

Usage: `watch = Watch(task, record)`, `watch.identify()` beside the work, `watch.confirm()` after it
"""

from __future__ import annotations

import time
from typing import Any

import luigi

from pipelines.product.difference import difference
from pipelines.product.digests import Stamp, stamp
from pipelines.product.freshness import (
    Survey,
    consumed,
    fingerprint,
    is_product,
    readable_record,
    required,
)
from pipelines.product.inputs import InputChanged
from pipelines.product.record import Identity, Record

__all__ = ["Watch"]


class Watch:
    """What a task reads: external inputs, and the products of the tasks that it requires.

    `parts`, `identities` and `consumed` are for the record. `settled` is False where an input is so
    young that a change could hide: identify it before it is read, not beside.
    """

    def __init__(self, task: Any, known: Record | None) -> None:
        """Note the stamps of all inputs, before they are read.

        `known` is the record of an older product, whose digests may still hold. Raises what
        `ExternalInput.resolve` raises: `FileNotFoundError`, `OSError` or `ValueError`.
        """
        self._task = task
        self._known = known.inputs if known else {}
        self._stamps: dict[str, dict[str, Stamp]] = {}
        now = time.time_ns()
        for name, source in task.inputs().items():
            members = source.resolve().members
            self._stamps[name] = {key: stamp(member.file) for key, member in members.items()}
        self.settled = all(
            found.is_settled(now) for stamps in self._stamps.values() for found in stamps.values()
        )
        self.consumed = consumed(task)
        self.parts: dict[str, Any] = {}
        self.identities: dict[str, Identity] = {}

    def identify(self) -> None:
        """Identify everything that enters the fingerprint; may run beside the work."""
        survey = Survey(self._known)
        self.parts = survey.parts(self._task)
        self.identities = survey.identities

    def confirm(self) -> None:
        """Raise `InputChanged` unless all inputs are what they were before they were read."""
        for name, stamps in self._stamps.items():
            members = self.identities[name].members
            for key, seen in members.items():
                size, mtime_ns = stamps.get(key, (None, None))
                if seen.size != size or seen.mtime_ns not in (None, mtime_ns):
                    raise InputChanged(_message(self._task, f"{seen.file} has changed"))
        survey = Survey(self.identities)
        parts = survey.parts(self._task)
        if fingerprint(parts) != fingerprint(self.parts):
            changes = "; ".join(difference(self.parts, parts))
            raise InputChanged(_message(self._task, changes))
        if consumed(self._task) != self.consumed:
            raise InputChanged(_message(self._task, "a required product was made anew"))
        self._confirm_required(self._task, parts)
        self.identities = survey.identities

    def _confirm_required(self, task: luigi.Task, parts: Any) -> None:
        """Refuse required products that were made from other inputs than those of now."""
        for name, each in required(task).items():
            if not is_product(each):
                self._confirm_required(each, parts["requires"][name])
                continue
            record = readable_record(each.product)
            if record and record.fingerprint != fingerprint(parts["requires"][name]):
                changes = "; ".join(difference(record.parts, parts["requires"][name]))
                raise InputChanged(_message(self._task, changes))


def _message(task: Any, what: str) -> str:
    return (
        f"{task.product.name} was not published, because an input changed while it was made: "
        f"{what}; run the command again when the inputs are complete"
    )
