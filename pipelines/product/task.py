"""The base of every task that makes a product.

Usage: `class ConvertPV(ProductTask): algorithm_version = 1; def output(self): ...; def make(...)`

A subclass says where its product goes, which external files it reads and how the product is
written; whether it is fresh, and that it appears whole, is seen to here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import luigi

from pipelines.product.claims import PathConflict, claim
from pipelines.product.debris import sweep_once
from pipelines.product.freshness import Examination, Survey, fingerprint
from pipelines.product.inputs import ExternalInput, InputChanged, fetched_by
from pipelines.product.record import Description, Record, build_record, readable_record
from pipelines.product.targets import (
    OutputError,
    ProductTarget,
    Workspace,
    check_place,
    explained,
    replace_record,
    strangers,
    workspace,
)
from pipelines.product.watch import Watch
from pipelines.progress import Progress, partly, reporting
from pipelines.settings import time_limit

__all__ = ["ProductTask", "software"]

_log = logging.getLogger("luigi-interface.skysieve")


class ProductTask(luigi.Task):
    """A task with one product, a file or a folder, and a record beside it (`product` + `.json`).

    Files beside the product may belong to it: its companions (a quicklook of a mask). Those that
    `output()` names are asked for; those that the product has once are made again with it.

    `algorithm_version` is raised whenever the same inputs and parameters give other values than
    before. `located` names the parameters that say where inputs or outputs are, or ask for
    companions: they are part of the Luigi task, but not of the fingerprint. Parameters that cannot
    change the product (threads, memory) are declared with `significant=False`, and enter neither.
    To ask for a companion with such a one works as long as all tasks of a graph ask for the same:
    tasks that differ in nothing else are one task for Luigi, which runs the first that it meets.
    """

    algorithm_version: ClassVar[int]
    located: ClassVar[tuple[str, ...]] = ("outfolder",)

    def output(self) -> ProductTarget:
        """Return the product's place, and the companions asked for; no I/O."""
        raise NotImplementedError(f"{self.task_family}.output() says where the product goes")

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the external files that are read, by name; no I/O."""
        return {}

    def make(self, work: Path, progress: Progress) -> Description:
        """Write the product at `work`, which has the target's name, and describe it.

        `companions()` are written beside it: each `name` at `work.with_name(name)`.

        The product depends on `inputs()`, the required tasks and the parameters only: no clock, no
        host and no path goes into it. Raises `ValueError` or `OSError` with a message that names
        the file, what was expected and what to do.
        """
        raise NotImplementedError(f"{self.task_family}.make() writes the product")

    def verify(self, work: Path) -> None:
        """Open what `make` wrote; raise `ValueError` or `OSError` unless it can be read back."""
        if not work.exists():
            raise OutputError(f"{self.task_family} wrote nothing to {work.name}")
        if work.is_file() and not work.stat().st_size:
            raise OutputError(f"{self.task_family} left {work.name} empty")

    def _requires(self) -> list[luigi.Task]:
        """Return what is required, and the tasks that fetch inputs which are fetched.

        These are no part of the fingerprint: an input is what its bytes are, whoever brought them.
        """
        required: list[luigi.Task] = luigi.task.flatten(
            super()._requires()  # type: ignore[no-untyped-call]
        )
        try:
            inputs = self.inputs().values()
        except (OSError, ValueError):
            # The run says it.
            return required
        return [*required, *(task for each in inputs for task in fetched_by(each))]

    def companions(self) -> tuple[str, ...]:
        """Return the companions to write: those asked for, and those that the product has by now.

        Looks at the record. One that is no longer made may be left out: it is then removed.
        """
        record = readable_record(self.product)
        return tuple(
            dict.fromkeys((*self.output().companions, *(record.companions if record else ())))
        )

    def space_needed(self) -> int:
        """Return about how many bytes the product takes, 0 if not known."""
        return 0

    def time_shares(self) -> int:
        """Return for how many times `[skysieve] time_limit` the task may run; 0: without end.

        No I/O beyond that of `inputs()`.
        """
        return 1

    @property
    def worker_timeout(self) -> int | None:  # type: ignore[override]
        """After how many seconds Luigi ends the task; None: after those of `--worker-timeout`."""
        try:
            shares = self.time_shares()
        except (OSError, ValueError):
            # The run says it.
            shares = 1
        return time_limit() * shares or None

    @property
    def product(self) -> Path:
        """Where the product is published."""
        return self.output().path

    def fingerprint(self) -> str:
        """Return the fingerprint of what would be made now; reads the inputs where it must."""
        return fingerprint(Survey().parts(self))

    def complete(self) -> bool:
        """Tell whether the product is there and is what would be made now.

        Inputs that cannot be read make it incomplete: the run then says why. Raises `PathConflict`
        where another task of this graph has the same output, and what `output` raises.
        """
        try:
            return self._is_fresh()
        except Exception as error:
            # Luigi keeps the traceback of an error in here to its log; tell the handlers.
            trigger: Any = self.trigger_event
            trigger(luigi.Event.BROKEN_TASK, self, error)
            raise

    def _is_fresh(self) -> bool:
        target = self.output()
        place = target.path
        sweep_once(place.parent)
        for each in target.places:
            claim(self, each)
        look = Examination(self, target)
        self._seen = look.record.fingerprint if look.record else None
        try:
            reason = next(look.reasons(), None)
        except (OSError, ValueError, InputChanged) as error:
            reason = str(error)
        if reason is not None:
            _log.info("%s will be made: %s", place.name, reason)
            return False
        refreshed = look.refreshed()
        if look.record and refreshed:
            replace_record(place, look.record, refreshed)
        return True

    def run(self) -> None:
        """Make the product and publish it whole, with its record.

        Raises what `make` and `verify` raise, `OutputError` where the product cannot be written,
        `InputChanged` where an input changed meanwhile, and `PathConflict` where another task of
        this graph published at the same place. In all these cases nothing is published.
        """
        place = self.product
        with workspace(place, self.space_needed()) as work:
            look = Examination(self)
            if next(look.reasons(), None) is None:
                # Recovered from a killed maker, or made meanwhile for one who asks for more.
                return
            self._refuse_conflict(look.record, work.recovered)
            companions = self.companions()
            for path in strangers(place, companions, check_place(place, companions)):
                _log.warning("%s has no record of ours and will be replaced", path)
            with explained(place, work.folder), reporting(self) as progress:
                record = self._make(work, progress, look.record)
                before = look.record.fingerprint if look.record else None
                work.publish(record, lambda: self._superseded({before, record.fingerprint}))
                progress(1.0, "published")

    def _make(self, work: Workspace, progress: Progress, known: Record | None) -> Record:
        watch = Watch(self, known)
        with ThreadPoolExecutor(1, "identify") as pool:
            # Hashing runs beside the work; files that have just been written are hashed before it.
            identified = pool.submit(watch.identify)
            if not watch.settled:
                identified.result()
            description = self.make(work.product, partly(progress))
            identified.result()
        self.verify(work.product)
        files = work.settle(self.companions())
        written = {file.companion for file in files if file.size}
        for name in self.output().companions:
            if name not in written:
                raise OutputError(f"{self.task_family} wrote no {name}, or left it empty")
        watch.confirm()
        return build_record(
            self.product.name,
            files,
            description,
            task=task_entry(self),
            parts=watch.parts,
            inputs=watch.identities,
            consumed=watch.consumed,
            software=software(),
        )

    def _refuse_conflict(self, found: Record | None, recovered: bool) -> None:
        """Raise where somebody published here since this task was scheduled."""
        seen = getattr(self, "_seen", found.fingerprint if found else None)
        if found is None or recovered or found.fingerprint == seen:
            return
        if found.fingerprint != self.fingerprint():
            raise PathConflict(self.product, str(self), found.title)

    def _superseded(self, expected: set[str | None]) -> bool:
        """Tell whether another maker has published the same; raise if it was something else.

        `expected` are the fingerprints that the record may have: that of before, and ours.
        """
        look = Examination(self)
        if next(look.reasons(), None) is None:
            return True
        found = look.record
        if found and found.fingerprint not in expected:
            raise PathConflict(self.product, str(self), found.title)
        return False


def task_entry(task: luigi.Task) -> dict[str, object]:
    """Return what a record keeps to build `task` again: class, parameters and current folder.

    Relative paths among the parameters mean files in that folder.
    """
    return {
        "module": task.task_module,
        "family": task.task_family,
        "parameters": task.to_str_params(only_public=True),
        "folder": str(Path.cwd()),
    }


def software() -> str:
    """Return the version of skysieve, "unknown" where it runs without being installed."""
    try:
        return version("skysieve")
    except PackageNotFoundError:
        return "unknown"
