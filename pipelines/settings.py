"""Settings of a machine or a cluster, from Luigi's configuration file.

Usage: `skysieve().threads`; in `luigi.cfg`, section `[skysieve]`

Luigi finds `luigi.cfg` in the current folder, or where `LUIGI_CONFIG_PATH` says. So that the plain
command works from any folder, `fill_in` sets what no configuration sets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import luigi
from luigi.configuration import get_config

__all__ = ["fill_in", "share_cores", "skysieve", "threads", "time_limit", "workers"]

# Luigi exits 0 when a task fails unless these are set; the values are those of its documentation:
# https://luigi.readthedocs.io/en/stable/configuration.html#retcode
RETURN_CODES = {
    "already_running": "10",
    "missing_data": "20",
    "not_run": "25",
    "task_failed": "30",
    "scheduling_error": "35",
    "unhandled_exception": "40",
}
_SCHEDULER_OPTIONS = ("--scheduler-host", "--scheduler-url", "--scheduler-port")
_SCHEDULER_SETTINGS = (
    ("core", "default_scheduler_host"),
    ("core", "default_scheduler_url"),
    ("core", "default_scheduler_port"),
    ("core", "scheduler_host"),
    ("core", "scheduler_url"),
    ("core", "scheduler_port"),
)


class skysieve(luigi.Config):  # noqa: N801 - the name of the section
    """Settings shared by all tasks; none of them changes a product."""

    events: str = luigi.Parameter(
        default="",
        description="file to which every event of a task is appended as a JSON line; {host} in it "
        "is the name of this machine",
    )
    progress: str = luigi.ChoiceParameter(
        default="auto",
        choices=["auto", "bar", "lines", "off"],
        description="how progress is shown; auto: a bar in a terminal with one worker, else lines",
    )
    threads: int = luigi.IntParameter(
        default=0,
        description="threads that one task may use; 0: the cores it may run on, divided by the "
        "number of worker processes (--workers)",
    )
    time_limit: int = luigi.IntParameter(
        default=0,
        description="seconds after which a task that makes a product is ended and has failed, as a "
        "damaged file may keep its reader for ever; what reads many scenes has as many for each, "
        "trainings have no limit; 0: none",
    )


def time_limit() -> int:
    """Return the seconds that a task may take, 0 where there is no limit."""
    return max(0, int(skysieve().time_limit))


def threads() -> int:
    """Return the number of threads that one task may use, at least 1.

    Worker processes of one command share the cores: tasks that run at once do not fight for them.
    """
    wanted = int(skysieve().threads)
    return wanted if wanted > 0 else max(1, _cores() // max(1, workers()))


def workers() -> int:
    """Return how many tasks this command may run at once, 1 where no command line says it."""
    from luigi.interface import core

    return int(core().workers)


def share_cores() -> None:
    """See to it that each task that starts lets TensorFlow use `threads()` only.

    TensorFlow reads its variables when it is first used, and cannot be told later; those that are
    set already stay.
    """
    luigi.Task.event_handler(luigi.Event.START)(_limit_threads)


def _limit_threads(task: luigi.Task) -> None:
    if threads() < _cores():
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ.setdefault(name, str(threads()))


def _cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fill_in(arguments: Sequence[str] | None = None) -> None:
    """Set exit codes and the local scheduler in Luigi's configuration where nothing sets them.

    `arguments` are those of the command line (default: this process's). The local scheduler is
    left alone where these or the configuration name a central one.
    """
    config = get_config()
    for name, code in RETURN_CODES.items():
        if not config.has_option("retcode", name):
            config.set("retcode", name, code)
    if config.has_option("core", "local_scheduler") or _names_scheduler(
        sys.argv[1:] if arguments is None else arguments
    ):
        return
    config.set("core", "local_scheduler", "true")


def _names_scheduler(arguments: Sequence[str]) -> bool:
    config = get_config()
    given = any(each.split("=")[0] in _SCHEDULER_OPTIONS for each in arguments)
    return given or any(config.has_option(*setting) for setting in _SCHEDULER_SETTINGS)
