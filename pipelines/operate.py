"""The command `skysieve`, for operators; products are made by `luigi` only.

Usage: `skysieve status out/`, `skysieve why out/scene_333M.HDF5`, `skysieve clean out/ --yes`,
`skysieve metrics events.jsonl --out skysieve.prom`
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import luigi
from luigi.task_register import Register

from pipelines.acquire.leftovers import Leftover, leftovers
from pipelines.command_line import given_task
from pipelines.cron.commands import add_commands
from pipelines.event_log import Run, last_runs, read_events
from pipelines.metrics import write_metrics
from pipelines.product import ProductTarget, software
from pipelines.product.debris import Debris, debris
from pipelines.product.files import file_path
from pipelines.product.freshness import Examination
from pipelines.product.inputs import InputChanged
from pipelines.product.owner import owners
from pipelines.product.record import (
    BrokenRecord,
    Record,
    read_record,
    readable_record,
    record_path,
)
from pipelines.product.unreferenced import unreferenced

__all__ = ["Verdict", "examine", "main"]

FRESH, STALE, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Verdict:
    """What is found out about one product: its state, and why in words.

    `state` is "fresh", "input gone" (fresh as far as can be told), "stale" or "unknown" (the task
    cannot be built, or its input cannot be read).
    """

    product: Path
    state: str
    reasons: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code that says so."""
        return {"stale": STALE, "unknown": ERROR}.get(self.state, FRESH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 all is fresh, 1 something is stale, 2 an error.

    `cron` has codes of its own.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (OSError, ValueError) as error:
        return _fail(str(error))


def examine(product: Path, command: Sequence[str] = ()) -> Verdict:
    """Compare `product` with what its task, or that of the `luigi` command line, would make now.

    Raises `FileNotFoundError` where there is no record, and `BrokenRecord` where it is none.
    """
    record = read_record(record_path(product))
    if record is None:
        raise FileNotFoundError(f"{product} has no record ({record_path(product).name})")
    with _at_home(record, bool(command)) as here:
        try:
            task = _from_command(command) if command else _from_record(record)
            asked = task.output().companions
            look = Examination(task, ProductTarget(here / product, asked))
            reasons = tuple(look.reasons())
        except (OSError, ValueError, InputChanged, LookupError) as error:
            return Verdict(product, "unknown", (str(error),))
    if reasons:
        return Verdict(product, "stale", reasons)
    if look.survey.gone:
        gone = [f"input gone: {record.inputs[place].path}" for place in look.survey.gone]
        return Verdict(product, "input gone", tuple(gone))
    return Verdict(product, "fresh")


def products_in(path: Path) -> Iterator[Path]:
    """Yield the products at or below `path`, those within folder products included."""
    if path.is_file():
        yield path.with_name(path.stem) if _is_record(path) else _owner(path)
        return
    if _is_record(record_path(path)):
        yield path
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            record = Path(folder, name)
            if name.endswith(".json") and _is_record(record):
                yield record.with_name(record.stem)


def _owner(path: Path) -> Path:
    """Return the product that the file at `path` is, lies in or stands beside, as records say."""
    return next((product for product, _ in owners(path)), path)


def orphans_in(path: Path) -> Iterator[Path]:
    """Yield the records below `path` whose product is gone, after the companions it left."""
    for product in products_in(path):
        if os.path.lexists(product):
            continue
        record = read_record(record_path(product))
        for file in record.files if record else ():
            if file.companion is not None and file.damage(product) is None:
                yield file_path(product, file.name)
        yield record_path(product)


def debris_in(path: Path) -> Iterator[Debris | Leftover]:
    """Yield what killed makers and killed fetches left at or below `path`."""
    for folder, folders, _ in os.walk(path):
        left: list[Debris | Leftover] = [*debris(Path(folder)), *leftovers(Path(folder))]
        for found in left:
            with suppress(ValueError):
                folders.remove(found.path.name)
            if _is_dead(found):
                yield found


def runs_in(paths: Sequence[Path], events: Sequence[Path]) -> Iterator[Run]:
    """Yield what is running or has failed of what makes products at or below `paths`.

    Tasks without a product are among them. Left out is a failure whose product was published since.
    Raises `OSError` where a file of events cannot be read.
    """
    roots = [path.absolute() for path in paths]
    for run in last_runs(read_events(events)):
        if run.state == "success":
            continue
        if run.product is not None:
            if not any(run.product.is_relative_to(root) for root in roots):
                continue
            record = readable_record(run.product)
            since = datetime.fromisoformat(record.created) if record else None
            if run.state == "failure" and since and since > run.time:
                continue
        yield run


def _is_dead(found: Debris | Leftover) -> bool:
    try:
        return found.is_dead()
    except OSError:
        return False


def _status(options: argparse.Namespace) -> int:
    code = FRESH
    for path in options.paths:
        _expect(path)
        for product in products_in(path):
            verdict = examine(product)
            code = max(code, verdict.code)
            _say(f"{verdict.state:10}  {product}")
            for reason in verdict.reasons:
                _say(f"{'':10}    {reason}")
        for found in debris_in(path):
            _say(f"{'debris':10}  {found.path}")
    for run in runs_in(options.paths, options.events):
        code = max(code, STALE if run.state == "failure" else FRESH)
        _say(f"{'failed' if run.state == 'failure' else 'running':10}  {run.title}")
        _say(f"{'':10}    {_told(run)}")
    return code


def _told(run: Run) -> str:
    when = run.time.astimezone().isoformat(" ", "seconds")
    if run.state == "failure":
        return f"{run.task}, {when} on {run.host}: {run.message}"
    unsure = "" if run.sure else ", not known whether it still lives"
    return f"{run.task}, since {when} on {run.host}, process {run.pid}{unsure}"


def _metrics(options: argparse.Namespace) -> int:
    write_metrics(options.out, read_events(options.events))
    return FRESH


def _why(options: argparse.Namespace) -> int:
    verdict = examine(_owner(options.product), options.command)
    if verdict.state == "unknown":
        return _fail("; ".join(verdict.reasons))
    _say(f"{verdict.product} is {'stale' if verdict.state == 'stale' else 'fresh'}")
    for reason in verdict.reasons:
        _say(f"  {reason}")
    return verdict.code


def _clean(options: argparse.Namespace) -> int:
    for path in options.paths:
        _expect(path)
        for found in debris_in(path):
            if not options.yes:
                _say(f"would clear  {found.path}")
            elif found.clear():
                _say(f"cleared  {found.path}")
        for orphan in list(orphans_in(path)):
            if options.yes:
                orphan.unlink(missing_ok=True)
            _say(f"{'removed' if options.yes else 'would remove'}  {orphan} (its product is gone)")
    if options.unreferenced:
        _clean_unreferenced(options.paths, really=options.yes)
    if not options.yes:
        _say("Nothing was changed; repeat with --yes to do it.")
    return 0


def _clean_unreferenced(paths: Sequence[Path], *, really: bool) -> None:
    """Remove what nothing refers to; what was made from others first shows these the next time."""
    products = dict.fromkeys(product for path in paths for product in products_in(path))
    for found in unreferenced(products):
        if not really:
            said = "would remove"
        else:
            said = "removed" if found.remove() else "kept, as it has changed"
        _say(
            f"{said}  {found.product} ({found.size:,} bytes; all that it was made from is gone, "
            "and nothing here was made from it)"
        )


def _from_record(record: Record) -> Any:
    """Build the task that made the product. Raises `LookupError` where its class is gone."""
    entry = record.task
    try:
        importlib.import_module(entry["module"])
        kind = Register.get_task_cls(entry["family"])
        known = {name for name, _ in kind.get_params()}
        values = {name: text for name, text in entry["parameters"].items() if name in known}
        return kind.from_str_params(values)
    except (ImportError, luigi.task_register.TaskClassException) as error:
        raise LookupError(f"the task {record.title} cannot be built: {error}") from error
    except luigi.parameter.ParameterException as error:
        raise LookupError(f"the task {record.title} has other parameters now: {error}") from error


def _from_command(command: Sequence[str]) -> Any:
    """Build the task of a `luigi` command line."""
    with given_task(command) as task:
        return task


@contextmanager
def _at_home(record: Record, stay: bool) -> Iterator[Path]:
    """Work in the folder where the product was made: relative parameters mean files there.

    Yields the folder in which we were.
    """
    here = Path.cwd()
    home = Path(record.task["folder"])
    if home.is_dir() and not stay:
        os.chdir(home)
    try:
        yield here
    finally:
        os.chdir(here)


def _is_record(path: Path) -> bool:
    try:
        return read_record(path) is not None
    except (BrokenRecord, OSError):
        return False


def _expect(path: Path) -> None:
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{path} does not exist")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _fail(message: str) -> int:
    sys.stderr.write(f"skysieve: {message}\n")
    return ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skysieve",
        description="Look after the products that `luigi --module pipelines ...` makes.",
    )
    parser.add_argument("--version", action="version", version=f"skysieve {software()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    status = commands.add_parser(
        "status",
        help="say which products are fresh, and which are not (exit code 1 if any is stale or has "
        "failed, 2 if any cannot be looked at)",
    )
    status.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="product or folder")
    status.add_argument(
        "--events",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="file of events ([skysieve] events): say also what is running and what has failed; "
        "may be given several times, as for several hosts",
    )
    status.set_defaults(run=_status)

    why = commands.add_parser(
        "why", help="say which part of a product's fingerprint differs (exit code 1 if any)"
    )
    why.add_argument("product", type=Path, metavar="PRODUCT")
    why.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="TASK ...",
        help="a task with its options, as for luigi; default: the one that made the product",
    )
    why.set_defaults(run=_why)

    clean = commands.add_parser("clean", help="remove what killed runs left behind")
    clean.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder")
    clean.add_argument("--yes", action="store_true", help="do it; otherwise it is only shown")
    clean.add_argument(
        "--unreferenced",
        action="store_true",
        help="also products of whose inputs nothing is left, and from which nothing below PATH was "
        "made: look at the list before you say --yes",
    )
    clean.set_defaults(run=_clean)

    add_commands(commands)
    metrics = commands.add_parser("metrics", help="count the events of tasks for Prometheus")
    metrics.add_argument("events", nargs="+", type=Path, metavar="EVENTS", help="file of events")
    metrics.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="file to write, such as tasks.prom"
    )
    metrics.set_defaults(run=_metrics)
    return parser


if __name__ == "__main__":
    sys.exit(main())
