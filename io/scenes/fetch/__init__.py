"""Files from the network or a mirror, whole and verified: the one home of HTTP.

Usage: `fetch(["https://example.org/a.h5", "mirror/a.h5"], Path("a.h5"), sha256=..., size=...)`
"""

from scenes.fetch.failure import Failure, FetchError
from scenes.fetch.fetching import Fetched, fetch
from scenes.fetch.transfer import Patience, open_session

__all__ = ["Failure", "FetchError", "Fetched", "Patience", "fetch", "open_session"]
