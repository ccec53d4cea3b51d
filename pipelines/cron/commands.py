"""`skysieve cron` and `skysieve quarantine` on the command line.

Usage: `add_commands(subparsers)`
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cron.place import STATE, Place, quarantine_list, state_folder
from pipelines.cron.quarantine import changing, read_list, write_list
from pipelines.product.locks import Busy
from pipelines.settings import RETURN_CODES

if TYPE_CHECKING:
    from pipelines.cron.quarantine import Entry

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add both to the subparsers of `skysieve`."""
    cron = commands.add_parser(
        "cron",
        help="repeat a luigi command until all is complete, and say in one line what came of it",
        description="Exit codes: 0 all is complete, but for scenes in quarantine; 10 another run "
        "of this command is at work; 30 something lacks; 2 no such command.",
    )
    cron.add_argument("--tries", type=_positive, default=3, help="runs of luigi; default: 3")
    cron.add_argument(
        "--pause", type=float, default=60.0, metavar="SECONDS",
        help="between the first and the second try, twice as long each time; default: 60",
    )  # fmt: skip
    cron.add_argument(
        "--patience", type=_positive, default=3, metavar="RUNS",
        help="runs of this command in which a scene fails before it is put in quarantine; "
        "default: 3",
    )  # fmt: skip
    cron.add_argument("--strict", action="store_true", help="exit with 30 for quarantine, too")
    cron.add_argument("--log", type=Path, help="file for luigi's output; default: in the state")
    cron.add_argument(
        "--log-size", type=float, default=10.0, metavar="MB",
        help="a log that grew to this is renamed to FILE.1, that to FILE.2 ...; default: 10",
    )  # fmt: skip
    cron.add_argument(
        "--log-number", type=_positive, default=5, help="renamed logs that are kept; default: 5"
    )
    cron.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- TASK ...", help="as after luigi"
    )
    cron.set_defaults(run=_cron)

    quarantine = commands.add_parser("quarantine", help="list or clear scenes that are left out")
    quarantine.add_argument("action", choices=("list", "clear"))
    quarantine.add_argument(
        "pattern", nargs="?", default="", help="of scenes' paths or names; default for list: all"
    )
    quarantine.add_argument("--all", action="store_true", help="clear all")
    quarantine.set_defaults(run=_quarantine)

    for each in (cron, quarantine):
        each.add_argument(
            "--state", type=Path, metavar="FOLDER",
            help=f"where locks and the quarantine list are; default: {STATE}, else the user's",
        )  # fmt: skip


def _cron(options: argparse.Namespace) -> int:
    from pipelines.cron.run import Options, run

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise ValueError("expected a luigi command after `--`, as in `-- Reprocess --inbox in ...`")
    chosen = Options(
        options.tries, options.pause, options.patience, options.log,
        int(options.log_size * (1 << 20)), options.log_number,
    )  # fmt: skip
    try:
        outcome = run(command, chosen, Place.of(command, options.state or state_folder()))
    except Busy:
        _say("another run of this command is at work: nothing was done")
        return int(RETURN_CODES["already_running"])
    for line in outcome.lines():
        _say(line)
    return outcome.code(options.strict)


def _quarantine(options: argparse.Namespace) -> int:
    path = quarantine_list(options.state or state_folder())
    if options.action == "list":
        for entry in _matching(read_list(path).values(), options.pattern):
            _say(f"{entry.scene}  {entry.times} runs since {entry.since}")
            _say(f"  {entry.title}: {entry.reason}")
        return 0
    if bool(options.pattern) == options.all:
        raise ValueError("expected a pattern of what is to be cleared, or --all")
    if options.all:
        # Also a list that cannot be read.
        write_list(path, [])
        _say("The quarantine list is empty.")
        return 0
    with changing(path) as entries:
        for entry in _matching(entries.values(), options.pattern):
            del entries[entry.task]
            _say(f"cleared  {entry.scene}")
    return 0


def _matching(entries: Iterable[Entry], pattern: str) -> list[Entry]:
    """Return what is in quarantine and has a path or a name like the pattern."""
    return [
        entry
        for entry in entries
        if entry.held
        and any(
            fnmatch.fnmatchcase(text, pattern or "*")
            for text in (entry.scene, Path(entry.scene).name)
        )
    ]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, not {text!r}")
    return int(text)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
