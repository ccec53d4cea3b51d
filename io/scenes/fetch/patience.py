"""How long to try: between attempts, for an answer, for a file.

Usage: `Patience(attempts=2).retrying(time.sleep)(ask)` calls `ask` again when it raises `Passing`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tenacity

from scenes.fetch.failure import Passing

__all__ = ["Patience"]


@dataclass(frozen=True)
class Patience:
    """How long to try one address: seconds, and the number of attempts.

    Between attempts passes `first_wait`, then twice as long each time, with jitter, at most
    `longest_wait`; a server that asks for a longer wait is given up. `connect` and `read` limit the
    silence before a connection and before the next bytes. `whole` limits all that one file takes,
    from all its addresses together; None is no limit.
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 60.0
    connect: float = 10.0
    read: float = 60.0
    whole: float | None = None

    def retrying(self, sleep: Callable[[float], None]) -> tenacity.Retrying:
        """Return what calls a function in as many attempts as it takes, raising what the last did.

        `sleep` is called with the seconds between attempts, and may raise.
        """
        backoff = tenacity.wait_exponential(
            self.first_wait, self.longest_wait
        ) + tenacity.wait_random(0, self.first_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, Passing) else None
            return backoff(state) if asked is None else asked

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            retry=tenacity.retry_if_exception_type(Passing),
            wait=wait,
            sleep=sleep,
            reraise=True,
        )
