"""To which product a file belongs: each record is read once, for however many files is asked."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

from pipelines.product import owner
from pipelines.product.files import ProductFile


def test_the_record_of_a_folder_is_read_once(tmp_path, monkeypatch):
    product = tmp_path / "set"
    names = [f"part/{number}.tif" for number in range(30)]
    files = [ProductFile(name, 1, 2, f"{number:064x}") for number, name in enumerate(names)]
    read = Counter()

    def readable_record(path):
        read[path] += 1
        return SimpleNamespace(files=files) if path == product else None

    monkeypatch.setattr(owner, "readable_record", readable_record)
    records = owner.Records()
    for name, file in zip(names, files, strict=True):
        assert list(records.owners(product / name)) == [(product, file)]
    assert read[product] == 1 and set(read.values()) == {1}
    assert list(records.owners(product / "part/other.tif")) == []
    assert list(owner.owners(product / names[3])) == [(product, files[3])]
