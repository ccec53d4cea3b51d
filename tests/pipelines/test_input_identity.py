"""What is read of one path depends on who asks: identities are not taken for each other's."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.product import ExternalInput, FileInput, digests, inputs
from pipelines.product.freshness import Examination
from pipelines.scene_input import LandsatInput


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No digest is known from another test."""
    monkeypatch.setattr(inputs, "MEMO", digests.Memo())


@pytest.mark.parametrize(
    ("before", "now"),
    [(("B2",), ("B2", "B3")), (("B2", "B3"), ("B2",)), (("B2",), ("B3",))],
)
def test_other_bands_of_a_scene_that_has_not_changed(
    small: ModuleType, age: Callable[..., None], tmp_path: Path,
    before: tuple[str, ...], now: tuple[str, ...],
) -> None:  # fmt: skip
    scene, *_ = small.landsat(tmp_path)
    age(scene)
    known = inputs.identify(LandsatInput(scene, before))
    found = inputs.identify(LandsatInput(scene, now), [known])
    assert set(found.members) == {"MTL", *now}
    assert found == inputs.identify(LandsatInput(scene, now))


def test_who_asks_the_same_reads_nothing(
    small: ModuleType, age: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, *_ = small.landsat(tmp_path)
    age(scene)
    known = inputs.identify(LandsatInput(scene, ("B2",), ("QA",)))
    monkeypatch.setattr(LandsatInput, "resolve", None)
    assert inputs.identify(LandsatInput(scene, ("B2",), ("QA",)), [known]) is known


def test_members_of_one_archive(
    small: ModuleType, age: Callable[..., None], tmp_path: Path
) -> None:
    """Truth and mask are members of one archive, and each is the first of its kind."""
    scene, *_ = small.landsat(tmp_path, bands=("B2", "B4"))
    archive = scene.with_name(f"{scene.name}.tar")
    with tarfile.open(archive, "w") as file:
        for each in sorted(scene.iterdir()):
            file.add(each, each.name)
    age(archive)
    bands = [LandsatInput(archive, ("B2",)), LandsatInput(archive, ("B4",))]
    named: list[ExternalInput] = [_Numbered(each) for each in bands]
    digest = {band: hashlib.sha256((scene / f"{scene.name}_{band}.TIF").read_bytes()).hexdigest()
              for band in ("B2", "B4")}  # fmt: skip
    for source, band in zip(named, digest, strict=True):
        assert inputs.identify(source).members["0"].sha256 == digest[band]


def test_a_file_that_never_was_is_not_gone(graph: Any, out: Path, scene: Path) -> None:
    """Another file of the folder was read, and is gone; what is asked for was never there."""

    class Chosen(graph.Copied):  # type: ignore[misc]
        name = "a.txt"

        def inputs(self) -> dict[str, FileInput]:
            return {"source": FileInput(scene, (self.name,))}

        def make(self, work: Path, progress: Any) -> Any:
            work.write_text((scene / self.name).read_text())
            return graph.Description()

    task = Chosen(source=str(scene), outfolder=str(out))
    task.run()
    (scene / "a.txt").unlink()
    assert task.complete()
    Chosen.name = "never.txt"
    with pytest.raises(FileNotFoundError, match=r"never\.txt is not there"):
        next(Examination(task).reasons(), None)


class _Numbered:
    """The bands of an input by number, as truth and masks have them."""

    def __init__(self, source: LandsatInput) -> None:
        self.path, self._source = source.path, source

    def resolve(self) -> inputs.ResolvedInput:
        """Return the bands only."""
        from pipelines.scene_input import resolved
        from scenes.archive import open_product

        product = open_product(self.path)
        files = [f"{product.name}_{band}.TIF" for band in self._source.bands]
        return resolved("", {str(n): (product, name) for n, name in enumerate(files)})
