"""Where `skysieve cron` keeps what it has to know from run to run; nothing is opened.

Usage: `Place.of(command, state_folder())`
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["STATE", "Place", "state_folder"]

STATE = "SKYSIEVE_STATE"


@dataclass(frozen=True)
class Place:
    """The files of one command in the state folder.

    `lock`, `events` and `found` are there only while it runs; `log` is where its output goes unless
    told otherwise. `quarantine` is one list for all commands: a scene that another command, or
    the same one with another date, has tried in vain is the same scene.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, command: Sequence[str], folder: Path) -> Place:
        """Return the place of a command that is run in the current folder."""
        # Relative paths mean other files elsewhere, so the folder is part of the command.
        text = json.dumps([str(Path.cwd()), *command])
        return cls(folder.absolute(), hashlib.sha256(text.encode()).hexdigest()[:16])

    @property
    def lock(self) -> Path:
        """Held by a run of the command and by its children."""
        return self.folder / f"{self.name}.lock"

    @property
    def events(self) -> Path:
        """What happened to tasks in this run."""
        return self.folder / f"{self.name}.events.jsonl"

    @property
    def found(self) -> Path:
        """What the last look has found."""
        return self.folder / f"{self.name}.found.json"

    @property
    def log(self) -> Path:
        """Where output goes by default."""
        return self.folder / f"{self.name}.log"

    @property
    def quarantine(self) -> Path:
        """The scenes that failed, and those that are not tried any more."""
        return quarantine_list(self.folder)


def quarantine_list(folder: Path) -> Path:
    """Return where the quarantine list of a state folder is."""
    return folder / "quarantine.jsonl"


def state_folder() -> Path:
    """Return the folder that the environment names, else the user's."""
    chosen = os.environ.get(STATE, "")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_state_path

    return user_state_path("skysieve", appauthor=False) / "cron"
