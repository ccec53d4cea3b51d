"""Products at addresses that follow from their ids, at services without a catalogue.

Usage: `TemplateSource("mirror", "https://host/{id}.tar").find("LC08_L1TP_195025_...")`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote

from scenes.fetch.address import scheme, shown
from scenes.fetch.failure import Failed
from scenes.product_names import product_of
from scenes.sources.listing import RemoteFile, RemoteProduct
from scenes.sources.naming import check_name

__all__ = ["TemplateSource", "fields_of"]

_FIELDS = frozenset(
    "id file sensor level year month day path row collection tile utm latitude_band square "
    "resolution".split()
)
_SCHEMES = ("https", "http", "s3")
_BUNDLES = (".tar", ".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True)
class TemplateSource:
    """Addresses by `pattern`, whose fields stand in braces.

    Fields are `id`, and what is in the id: `year`, `month`, `day`, `sensor`, `level`; of Landsat
    `path`, `row`, `collection`; of Sentinel-2 `tile` and its parts `utm`, `latitude_band`,
    `square`; of Proba-V `tile`, `resolution`. `{file}` is the name of a file within the product.

    Raises `ValueError` for another field, another scheme, and a pattern with neither `id` nor
    `file`. Whether a product is there is not known before it is fetched.
    """

    name: str
    pattern: str

    def __post_init__(self) -> None:
        """Check the pattern."""
        used = self._fields()
        if scheme(self.pattern) not in _SCHEMES or not used & {"id", "file"} or used - _FIELDS:
            raise ValueError(
                f"{self.name}: expected a pattern that begins with https://, http:// or s3:// and "
                f"holds {{id}} or {{file}}, perhaps {', '.join(sorted(_FIELDS - {'id', 'file'}))}, "
                f"not {shown(self.pattern)!r}"
            )

    def find(self, product_id: str) -> RemoteProduct | None:
        """Return the one file of a product; None for an id that lacks a field of the pattern.

        None too for a pattern by file: call `files` there.
        """
        if "file" in self._fields():
            return None
        address = self._address(product_id)
        if address is None:
            return None
        # What follows a "?" may be secret.
        name = shown(address).rpartition("/")[2]
        bundle = name.lower().endswith(_BUNDLES)
        file = RemoteFile(check_name(name), (address,), bundle=bundle)
        return RemoteProduct(fields_of(product_id)["id"], self.name, (file,))

    def files(self, product_id: str, names: Iterable[str]) -> RemoteProduct | None:
        """Return the files called `names` of a product, by a pattern that holds `{file}`.

        None for an id that lacks a field of the pattern, and without `{file}` in it. Raises
        `ValueError` for names that are none of files within a product.
        """
        if "file" not in self._fields() or self._address(product_id) is None:
            return None
        try:
            made = tuple(
                RemoteFile(name, (self._address(product_id, name) or "",))
                for name in map(check_name, dict.fromkeys(names))
            )
        except Failed as failed:
            raise ValueError(f"{self.name}: {failed}") from failed
        return RemoteProduct(fields_of(product_id)["id"], self.name, made)

    def _fields(self) -> set[str]:
        try:
            parts = list(Formatter().parse(self.pattern))
        except ValueError as error:
            raise ValueError(
                f"{self.name}: {shown(self.pattern)!r} is no pattern: {error}"
            ) from error
        # "{id!r}" and "{id:>9}" are taken for fields of these names, which there are not.
        return {
            f"{field}{conversion or ''}{form}" for _, field, form, conversion in parts
            if field is not None
        }  # fmt: skip

    def _address(self, product_id: str, file: str = "") -> str | None:
        known = fields_of(product_id) | {"file": file}
        if not self._fields() <= known.keys():
            return None
        # Keys of S3 are written as they are; in other addresses what is no letter is escaped.
        plain = scheme(self.pattern) == "s3"
        return self.pattern.format(**{k: v if plain else quote(v) for k, v in known.items()})


def fields_of(product_id: str) -> dict[str, str]:
    """Return what is in the id of a product, by field; only `id` where it is of no known form."""
    name = product_of(product_id)
    if name is None:
        return {"id": product_id.removesuffix(".SAFE")}
    found = {
        "id": name.id,
        "sensor": name.platform,
        "level": name.level,
        "year": f"{name.day:%Y}",
        "month": f"{name.day:%m}",
        "day": f"{name.day:%d}",
        "path": f"{name.path:03d}" if name.path else "",
        "row": f"{name.row:03d}" if name.row else "",
        "collection": f"{name.collection:02d}" if name.collection else "",
        "tile": name.tile,
        "resolution": name.resolution,
    }
    if name.family == "sentinel2":
        found |= {"utm": name.tile[:2], "latitude_band": name.tile[2], "square": name.tile[3:]}
    return {field: value for field, value in found.items() if value}
