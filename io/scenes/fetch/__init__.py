"""Files from the network or a mirror, whole and verified: the one home of HTTP.

Usage: `fetch(["https://example.org/a.h5", "mirror/a.h5"], Path("a.h5"), checksum=..., size=...)`
"""

from scenes.fetch.access import Access, open_session
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failure, FetchError
from scenes.fetch.fetching import Fetched, fetch
from scenes.fetch.many import fetch_all
from scenes.fetch.patience import Patience
from scenes.fetch.rate import Rate
from scenes.fetch.s3 import S3
from scenes.fetch.stopping import Stop, Stopped
from scenes.fetch.tokens import Tokens

__all__ = [
    "S3",
    "Access",
    "Checksum",
    "Failure",
    "FetchError",
    "Fetched",
    "Patience",
    "Rate",
    "Stop",
    "Stopped",
    "Tokens",
    "fetch",
    "fetch_all",
    "open_session",
]
