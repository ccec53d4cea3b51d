"""Secrets are taken out of what is written down about tasks.

Usage: `redacted({"message": "https://me:word@host/a?sig=1"})` is {"message": "https://host/a"}
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from luigi.configuration import get_config

__all__ = ["redacted"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
# Settings of a source that let somebody in, and the variables that stand for them (see
# `pipelines.acquire.sources`).
_SETTINGS = ("token", "password", "totp")
_VARIABLE = re.compile(r"(SKYSIEVE_.*_(TOKEN|PASSWORD|TOTP)|AWS_(SECRET|SESSION).*)")
# Shorter ones would hide words that have nothing to do with them.
_SHORTEST = 4
_HIDDEN = "***"


def redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with texts that hold no secrets.

    Addresses lose user, password, query and fragment; values of secret settings and of variables
    become `***`.
    """
    secrets = _secrets()
    return {
        key: _redacted(text, secrets) if isinstance(text, str) else text
        for key, text in values.items()
    }


def _redacted(text: str, secrets: Sequence[str]) -> str:
    if "://" in text:
        from scenes.fetch.address import shown

        text = _ADDRESS.sub(lambda found: shown(found[0]), text)
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets() -> list[str]:
    """Return the values that are secret here, longest first: one may be part of another."""
    config = get_config()
    # As they are, like `pipelines.acquire.sources` reads them: a "%" is no interpolation.
    found = {
        str(text)
        for section in config.sections()
        if section.startswith("source.")
        for key, text in config.items(section, raw=True)
        if key in _SETTINGS
    }
    found |= {value for name, value in os.environ.items() if _VARIABLE.fullmatch(name)}
    return sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True)
