"""The task of a `luigi` command line, for commands of our own.

Usage: `with given_task(["Reprocess", "--inbox", "in", ...]) as task: task.complete()`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser

__all__ = ["given_task", "with_module"]


def with_module(command: Sequence[str]) -> list[str]:
    """Return what follows `luigi`, with `--module pipelines` where no module is named."""
    named = any(word.split("=")[0] == "--module" for word in command)
    return list(command) if named else ["--module", "pipelines", *command]


@contextmanager
def given_task(command: Sequence[str]) -> Iterator[Any]:
    """Build the task of a command line; settings that it makes hold within the block.

    Raises `LookupError` where there is no such module or task, `luigi.parameter.ParameterException`
    and `ValueError` for parameters that cannot be, and `SystemExit` for unknown options.
    """
    with ExitStack() as stack:
        try:
            parsed = CmdlineParser.global_instance(with_module(command))
            task = stack.enter_context(parsed).get_task_obj()
        except (ImportError, luigi.task_register.TaskClassException) as error:
            raise LookupError(f"there is no task {' '.join(command)}: {error}") from error
        yield task
