"""Files of S3 buckets, through addresses that boto3 signs: `s3://bucket/key`.

Usage: `address, headers = Signer(S3(region="us-west-2")).sign("s3://usgs-landsat/collection02/...")`

Credentials are those of boto3's own chain: environment, profile, role of the machine. boto3 comes
with the extra `s3`. A signed address stands for the credentials, for an hour: it goes to the
server, never into a message, a note or a log.
Requester pays: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from scenes.fetch.failure import Failed

__all__ = ["S3", "Signer", "why_refused"]

_PAYER = "x-amz-request-payer"
_SECONDS = 3600


@dataclass(frozen=True)
class S3:
    """Where buckets are: `endpoint` (None: Amazon's), `region` (None: boto3's), and who pays.

    `requester_pays` allows that the owner of the credentials is charged for what is sent; without
    it, buckets that ask for that refuse.
    """

    endpoint: str | None = None
    region: str | None = None
    requester_pays: bool = False


class Signer:
    """Signs addresses, with one client made at the first. Threads may share it."""

    def __init__(self, s3: S3) -> None:
        """Keep the options."""
        self._s3 = s3
        self._lock = threading.Lock()
        self._client: Any = None

    def sign(self, address: str) -> tuple[str, dict[str, str]]:
        """Return the address to get, which is secret, and the headers to send with it.

        Raises `Failed` for an address without bucket or key, without boto3 or without credentials.
        """
        bucket, _, key = address.partition("://")[2].partition("/")
        if not bucket or not key:
            raise Failed("expected an address s3://bucket/key")
        asked = {"Bucket": bucket, "Key": key}
        headers = {}
        if self._s3.requester_pays:
            asked["RequestPayer"] = headers[_PAYER] = "requester"
        try:
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise Failed(
                "addresses s3:// need boto3, which comes with the extra s3: "
                "pip install 'skysieve[s3]'"
            ) from error
        try:
            with self._lock:
                self._client = self._client or self._made()
            signed = self._client.generate_presigned_url("get_object", asked, ExpiresIn=_SECONDS)
        except (BotoCoreError, ValueError) as error:
            raise Failed(
                f"boto3 cannot sign for S3 ({type(error).__name__}): check its credentials, "
                "profile and region, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE "
                "set them, and the endpoint"
            ) from error
        return str(signed), headers

    def _made(self) -> Any:
        import boto3
        from botocore.config import Config

        # It writes signatures, and the token of temporary credentials, when it is debugged.
        logging.getLogger("botocore.auth").addFilter(_is_no_secret)
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._s3.endpoint,
            region_name=self._s3.region,
            config=Config(signature_version="s3v4"),
        )


def why_refused(answer: requests.Response) -> str:
    """Return what to do about an answer of S3 that is no file, "" if it is not about access."""
    code, region = answer.status_code, answer.headers.get("x-amz-bucket-region", "")
    signed = parse_qs(urlsplit(str(answer.request.url)).query).get("X-Amz-Credential", [""])[0]
    if code in (301, 400) and re.fullmatch(r"[a-z0-9-]+", region) and f"/{region}/" not in signed:
        return f"the bucket is in the region {region}: set that"
    if code not in (401, 403):
        return ""
    if _PAYER in answer.request.headers:
        return "the credentials were refused, or may not read this"
    return (
        "the credentials were refused or may not read this, or the bucket asks that the requester "
        "pays, which has to be allowed in the settings"
    )


def _is_no_secret(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
