"""Is a product what would be made now? Fingerprints, and their comparison in words.

Usage: `reason = next(Examination(task).reasons(), None)`; None means fresh

A product is fresh when it exists, its record's fingerprint is that of what would be made now, its
bytes are those that the record speaks of, and it has the companions that are asked for. The
fingerprint is the SHA-256 of the task's *parts*: its family, algorithm version, significant
parameters, the identities of its external inputs, and the same of every required task. No path, no
time and no host is in it, and no companion.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import luigi

from pipelines.product.difference import difference, without_inputs
from pipelines.product.digests import Seen
from pipelines.product.inputs import ExternalInput, asked_of, identify
from pipelines.product.record import (
    BrokenRecord,
    Identity,
    Record,
    canonical_sha256,
    read_record,
    readable_record,
    record_path,
)
from pipelines.product.targets import ProductTarget

__all__ = [
    "Examination",
    "Survey",
    "consumed",
    "fingerprint",
    "is_product",
    "products",
    "readable_record",
    "record_path",
    "required",
    "skeleton",
]

fingerprint = canonical_sha256


def required(task: luigi.Task) -> dict[str, luigi.Task]:
    """Return the tasks that `task` requires by name: the keys of a dict, otherwise "0", "1", ..."""
    wanted = task.requires()
    if isinstance(wanted, Mapping):
        return {
            f"{name}.{number}" if len(tasks) > 1 else str(name): each
            for name, value in wanted.items()
            for tasks in [luigi.task.flatten(value)]
            for number, each in enumerate(tasks)
        }
    return {str(number): each for number, each in enumerate(luigi.task.flatten(wanted))}


def skeleton(task: luigi.Task) -> dict[str, Any]:
    """Return the parts of `task` that need no look at a file: all but the inputs' identities.

    Raises `TypeError` for a task that is neither a product nor a wrapper of products.
    """
    return Survey(identified=False).parts(task)


class Survey:
    """One look at a task and all that it requires, each task and input once.

    `known` are identities from the record of the product examined, by place in the graph. After
    `parts`, `identities` holds those found, and `gone` the places of inputs that are there no
    longer and were taken from a record.
    """

    def __init__(
        self, known: Mapping[str, Identity] | None = None, *, identified: bool = True
    ) -> None:
        """Start with what is known; with `identified` off, inputs are left out of the parts."""
        self._known = known or {}
        self._identified = identified
        self._seen: dict[str, dict[str, Any]] = {}
        self.identities: dict[str, Identity] = {}
        self.gone: list[str] = []

    def parts(self, task: luigi.Task, place: str = "") -> dict[str, Any]:
        """Return the parts of `task`.

        Raises what `ExternalInput.resolve` raises, `InputChanged`, and `TypeError` for a task that
        is neither a product nor a wrapper of products.
        """
        if task.task_id not in self._seen:
            self._seen[task.task_id] = self._parts(task, place)
        return self._seen[task.task_id]

    def _parts(self, task: luigi.Task, place: str) -> dict[str, Any]:
        parts: dict[str, Any] = {"task": task.task_family}
        if is_product(task):
            parts["version"] = task.algorithm_version
            parts["parameters"] = significant(task)
            if self._identified:
                parts["inputs"] = {
                    name: self._identify(task, name, source, place).parts
                    for name, source in task.inputs().items()
                }
        elif not isinstance(task, luigi.WrapperTask):
            raise TypeError(
                f"{task} is neither a ProductTask nor a WrapperTask, so what it makes cannot be "
                "identified; name files that no task makes in inputs()"
            )
        parts["requires"] = {
            name: self.parts(each, f"{place}{name}/") for name, each in required(task).items()
        }
        return parts

    def _identify(self, task: Any, name: str, source: ExternalInput, place: str) -> Identity:
        try:
            identity = identify(source, self._candidates(task, name, place))
        except (OSError, ValueError):
            known = self._candidates(task, name, place)
            gone = next((each for each in known if _is_gone(source, each)), None)
            if gone is None:
                raise
            identity = gone
            self.gone.append(place + name)
        self.identities[place + name] = identity
        return identity

    def _candidates(self, task: Any, name: str, place: str) -> Iterator[Identity]:
        """Yield recorded identities: of the product examined, then of the product required."""
        if place + name in self._known:
            yield self._known[place + name]
        if place:
            record = readable_record(task.product)
            if record is not None and name in record.inputs:
                yield record.inputs[name]


class Examination:
    """The question whether the product at `path` is what `task` would make now.

    `target` defaults to the task's own. After all `reasons` were asked for and there were none,
    `record` is the product's record and `survey.gone` names inputs that are gone. Companions that
    the product has and the task does not ask for are no reason.
    """

    def __init__(self, task: Any, target: ProductTarget | None = None) -> None:
        """Read the record."""
        self.task = task
        self._target: ProductTarget = target or task.output()
        self.path = self._target.path
        self.survey = Survey()
        self.record: Record | None = None
        self._broken: str | None = None
        try:
            self.record = read_record(record_path(self.path))
        except BrokenRecord as error:
            self._broken = str(error)

    def reasons(self) -> Iterator[str]:
        """Yield in words, cheapest first, why the product is not fresh; nothing where it is.

        Nothing is hashed before task, versions and parameters of the whole graph were compared.
        Raises what `ExternalInput.resolve` raises.
        """
        record = self.record
        if not self.path.exists():
            yield f"{self.path} is not there"
            return
        if record is None:
            yield self._broken or f"{self.path} has no record"
            return
        known = list(difference(without_inputs(record.parts), skeleton(self.task)))
        yield from known
        for name in self._target.companions:
            if name not in record.companions:
                yield f"{name} was not made with it"
        damage = record.damage(self.path)
        if damage:
            yield damage
        self.survey = Survey(record.inputs)
        parts = self.survey.parts(self.task)
        changes = [line for line in difference(record.parts, parts) if line not in known]
        yield from changes
        if not (known or changes) and fingerprint(parts) != record.fingerprint:
            yield "the record's fingerprint is not that of its parts"
        yield from _remade(self.task, record.consumed)

    def refreshed(self) -> Record | None:
        """Return the record with present stamps where they differ from its own, else None.

        Only after `reasons` has yielded nothing.
        """
        if self.record is None:
            return None
        then, now = self.record.inputs, self.survey.identities
        seen_again = all(now[place] is then.get(place) for place in now)
        if seen_again and not self.record.is_touched(self.path):
            return None
        refreshed = self.record.with_stamps(self.path, dict(then) | dict(now))
        return refreshed if refreshed.item != self.record.item else None


def significant(task: Any) -> dict[str, str]:
    """Return the parameters that can change the product, serialized, by name."""
    return {
        name: parameter.serialize(getattr(task, name))
        for name, parameter in _parameters(task.__class__)
    }


@cache
def _parameters(kind: Any) -> list[tuple[str, luigi.Parameter]]:
    return [
        (name, parameter)
        for name, parameter in kind.get_params()
        if parameter.significant and name not in kind.located
    ]


def is_product(task: object) -> TypeGuard[Any]:
    """Tell whether `task` is a `ProductTask`, which makes a product with a record."""
    return hasattr(task, "algorithm_version")


def products(task: luigi.Task) -> Iterator[tuple[str, Any]]:
    """Yield place and task of every product that `task` requires, directly or not, each once."""
    seen = {task.task_id}
    waiting = [("", task)]
    while waiting:
        place, current = waiting.pop()
        for name, each in required(current).items():
            if each.task_id in seen:
                continue
            seen.add(each.task_id)
            waiting.append((f"{place}{name}/", each))
            if is_product(each):
                yield place + name, each


def consumed(task: luigi.Task) -> dict[str, str]:
    """Return the digest of every product that `task` requires, directly or not, by place.

    A product that was deleted, which nothing stale needed, is left out.
    """
    records = {place: readable_record(each.product) for place, each in products(task)}
    return {place: record.product_digest for place, record in records.items() if record}


def _remade(task: luigi.Task, digests: Mapping[str, str]) -> Iterator[str]:
    """Yield the required products that were made anew with other bytes than those that were read.

    Equal settings give equal bytes, except in training: there a second run gives other weights.
    """
    for place, each in products(task):
        record = readable_record(each.product) if place in digests else None
        if record is None or record.product_digest == digests[place]:
            continue
        ours = not list(difference(without_inputs(record.parts), skeleton(each)))
        if ours and each.product.exists():
            yield f"{each.product} is not the one that was read: it was made anew"


def _is_gone(source: ExternalInput, then: Identity) -> bool:
    """Tell whether an input that was recorded is there no longer, in whole or in part.

    In part means that files were deleted and those that are left did not change. What was never
    read is not gone.
    """
    if then.asked not in ("", asked_of(source)):
        return False
    path = os.path.abspath(source.path)  # noqa: PTH100 - no I/O
    if not os.path.lexists(path):  # noqa: PTH110 - no Path method before Python 3.12
        return Path(path).name == Path(then.path).name
    if path != then.path:
        return False
    missing: list[Seen] = [seen for seen in then.members.values() if seen.is_gone()]
    return bool(missing) and all(
        seen.holds() for seen in then.members.values() if seen not in missing
    )
