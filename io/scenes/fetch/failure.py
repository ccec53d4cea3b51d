"""Why an address gave no file.

Usage: `except FetchError as error: print(error.failures[0].reason)`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Failed", "Failure", "FetchError", "Passing"]


@dataclass(frozen=True)
class Failure:
    """An address that gave no file, without credentials, and why.

    `damaged` tells that there is a file of other bytes than those expected; `unreachable` that
    nothing answered; `passing` that it may be had another time, by the same command.
    """

    address: str
    reason: str
    damaged: bool = False
    unreachable: bool = False
    passing: bool = False


class FetchError(OSError):
    """No address gave the file; the message says which were tried, why they failed, what to do."""

    def __init__(self, name: str, failures: Iterable[Failure], remedy: str = "") -> None:
        """Put the message together from the failures."""
        self.failures = tuple(failures)
        tried = "; ".join(f"{failure.address}: {failure.reason}" for failure in self.failures)
        self._given = (name, self.failures, remedy)
        super().__init__(f"cannot fetch {name}: {tried}" + (f". {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[FetchError], tuple[str, tuple[Failure, ...], str]]:
        """Return what another process makes the same error of."""
        return type(self), self._given

    @property
    def passing(self) -> bool:
        """Whether an address may have the file another time, such as when the network is back."""
        return any(failure.passing for failure in self.failures)


class Failed(Exception):
    """One address has failed for good; becomes a `Failure`."""

    def __init__(
        self,
        reason: str,
        *,
        damaged: bool = False,
        unreachable: bool = False,
        passing: bool = False,
    ) -> None:
        """Say why; credentials and services that are away are `passing`, too."""
        super().__init__(reason)
        self.damaged, self.unreachable, self.passing = damaged, unreachable, passing or unreachable

    def at(self, address: str) -> Failure:
        """Return the failure of an address, which is shown as it is."""
        return Failure(address, str(self), self.damaged, self.unreachable, self.passing)


class Passing(Failed):
    """Another attempt may succeed, after `wait` seconds if the server says so."""

    def __init__(
        self, reason: str, *, wait: float | None = None, unreachable: bool = False
    ) -> None:
        """Say why, and how long to wait."""
        super().__init__(reason, unreachable=unreachable, passing=True)
        self.wait = wait
