"""Rerun only when needed, and always when needed: every point of it on a graph of three tasks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.product import digests, inputs
from pipelines.product.freshness import Examination, Survey, fingerprint, record_path
from pipelines.product.record import read_record

ALL = ["Copied", "Joined", "Packed"]


@pytest.fixture
def packed(graph: ModuleType, scene: Path, out: Path, made: Any, build: Any) -> Any:
    """A finished `Packed`, made from `scene`."""
    task = graph.Packed(source=str(scene), outfolder=str(out))
    assert build(task)
    assert made() == ALL
    return task


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are hashed from now on, with an empty memory."""
    names: list[str] = []

    def sha256(path: str | Path) -> str:
        names.append(Path(path).name)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    monkeypatch.setattr(digests, "sha256", sha256)
    monkeypatch.setattr(digests.MEMO, "_digests", {})
    return names


@pytest.fixture
def again(build: Any, made: Any) -> Callable[[Any], list[str]]:
    """A function that runs a task once more, and returns what was made."""

    def run(task: Any) -> list[str]:
        assert build(task)
        return list(made())

    return run


def test_products_are_what_the_tasks_say(packed: Any) -> None:
    text = (packed.product / "deep" / "joined.txt").read_text()
    assert text == "one\ntwo\n" * 2 + "end"
    assert (packed.product / "word.txt").read_text() == "end"


def test_fingerprint_is_the_documented_hash(packed: Any, scene: Path) -> None:
    members: dict[str, str | None] = {
        name: hashlib.sha256((scene / name).read_bytes()).hexdigest() for name in ("a.txt", "b.txt")
    }
    parts = {
        "task": "Copied",
        "version": 1,
        "parameters": {"repeat": "2"},
        "inputs": {"source": {"id": "", "members": members | {"c.txt": None}}},
        "requires": {},
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    copied = packed.requires()["copied"]
    assert copied.fingerprint() == hashlib.sha256(text.encode()).hexdigest()


def test_second_run_does_nothing_and_hashes_nothing(
    packed: Any, hashed: list[str], again: Any
) -> None:
    assert again(packed) == []
    assert hashed == []


def test_copy_without_times_changes_nothing(
    graph: ModuleType, packed: Any, scene: Path, out: Path, tmp_path: Path, again: Any
) -> None:
    elsewhere = tmp_path / "moved" / "scene"
    shutil.copytree(scene, elsewhere, copy_function=shutil.copyfile)
    shutil.rmtree(scene)
    assert again(graph.Packed(source=str(elsewhere), outfolder=str(out))) == []


def test_touched_input_is_hashed_once(
    packed: Any, scene: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    age(scene, 60)
    for expected in (["a.txt", "b.txt"], []):
        hashed.clear()
        monkeypatch.setattr(digests.MEMO, "_digests", {})
        assert packed.complete()
        assert sorted(hashed) == expected


def test_young_input_is_hashed_again(
    packed: Any, scene: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    age(scene, 0)
    for _ in range(2):
        hashed.clear()
        monkeypatch.setattr(digests.MEMO, "_digests", {})
        assert packed.complete()
        assert sorted(hashed) == ["a.txt", "b.txt"]


def test_same_size_and_second_is_not_the_same_file(
    graph: ModuleType, scene: Path, out: Path, made: Any, again: Any, build: Any
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    now = time.time_ns()
    os.utime(scene / "a.txt", ns=(now, now))
    assert build(task)
    (scene / "a.txt").write_text("ONE\n")
    os.utime(scene / "a.txt", ns=(now, now))
    made()
    assert again(task) == ["Copied"]


def test_changed_member_remakes_all(packed: Any, scene: Path, again: Any, age: Any) -> None:
    (scene / "b.txt").write_text("TWO\n")
    age(scene, 1800)
    assert again(packed) == ALL
    assert (packed.product / "deep" / "copied.txt").read_text() == "one\nTWO\n" * 2


def test_optional_member_that_appears_remakes_all(packed: Any, scene: Path, again: Any) -> None:
    (scene / "c.txt").write_text("three\n")
    assert again(packed) == ALL
    (scene / "c.txt").unlink()
    assert again(packed) == ALL


def test_other_files_beside_the_members_are_no_change(packed: Any, scene: Path, again: Any) -> None:
    (scene / "mask.tif").write_text("a product that stands in the scene's folder")
    assert again(packed) == []


def test_parameter_remakes_exactly_the_dependants(
    graph: ModuleType, packed: Any, scene: Path, out: Path, again: Any
) -> None:
    task = graph.Packed(source=str(scene), outfolder=str(out), word="stop")
    assert again(task) == ["Joined", "Packed"]
    assert again(packed) == ["Joined", "Packed"]


def test_parameter_without_influence_changes_nothing(
    graph: ModuleType, packed: Any, scene: Path, out: Path, again: Any
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out), pause=0.01)
    assert again(task) == []


def test_version_remakes_exactly_the_dependants(
    graph: ModuleType, packed: Any, monkeypatch: pytest.MonkeyPatch, again: Any
) -> None:
    monkeypatch.setattr(graph.Joined, "algorithm_version", 2)
    assert again(packed) == ["Joined", "Packed"]


def test_nothing_is_hashed_when_parameters_differ_already(
    graph: ModuleType, packed: Any, scene: Path, out: Path, hashed: list[str], age: Any
) -> None:
    age(scene, 60)
    other = graph.Packed(source=str(scene), outfolder=str(out), repeat=3)
    assert not other.complete()
    assert not graph.Copied(source=str(scene), outfolder=str(out / "new")).complete()
    assert hashed == []


def test_gone_input_leaves_the_product_fresh(packed: Any, scene: Path, again: Any) -> None:
    shutil.rmtree(scene)
    assert again(packed) == []
    look = Examination(packed)
    assert list(look.reasons()) == []
    assert look.survey.gone == ["joined/copied/source"]


def test_gone_input_and_gone_intermediates_leave_the_product_fresh(
    packed: Any, scene: Path, again: Any
) -> None:
    shutil.rmtree(scene)
    for required in packed.requires().values():
        required.product.unlink()
        record_path(required.product).unlink()
    assert again(packed) == []


def test_input_that_lost_a_file_is_gone_too(packed: Any, scene: Path, again: Any) -> None:
    (scene / "b.txt").unlink()
    assert again(packed) == []


def test_input_that_lost_a_file_and_changed_is_an_error(
    packed: Any, scene: Path, build: Any
) -> None:
    (scene / "b.txt").unlink()
    (scene / "a.txt").write_text("other\n")
    assert not build(packed)


def test_mistyped_path_is_not_a_gone_input(
    graph: ModuleType, packed: Any, out: Path, tmp_path: Path, build: Any
) -> None:
    (out / "scne.copied.txt").write_bytes((out / "scene.copied.txt").read_bytes())
    shutil.copy(out / "scene.copied.txt.json", out / "scne.copied.txt.json")
    assert not build(graph.Copied(source=str(tmp_path / "scne"), outfolder=str(out)))


def test_gone_input_does_not_hide_another_parameter(
    graph: ModuleType, packed: Any, scene: Path, out: Path, again: Any, build: Any
) -> None:
    shutil.rmtree(scene)
    task = graph.Packed(source=str(scene), outfolder=str(out), word="stop")
    assert again(task) == ["Joined", "Packed"]
    assert not build(graph.Packed(source=str(scene), outfolder=str(out), repeat=3))


def test_deleted_intermediate_is_made_only_if_needed(
    graph: ModuleType, packed: Any, scene: Path, out: Path, again: Any
) -> None:
    (out / "scene.copied.txt").unlink()
    assert again(packed) == []
    task = graph.Packed(source=str(scene), outfolder=str(out), word="stop")
    assert again(task) == ALL


def test_foreign_bytes_under_an_intact_record(packed: Any, out: Path, again: Any) -> None:
    place = out / "scene.joined.txt"
    place.write_text(place.read_text().swapcase())
    assert again(packed.requires()["joined"]) == ["Joined"]
    inner = packed.product / "deep" / "joined.txt"
    inner.write_text(inner.read_text().swapcase())
    assert again(packed) == ["Packed"]
    assert inner.read_text() == "one\ntwo\n" * 2 + "end"


def test_touched_product_is_hashed_once(
    packed: Any, hashed: list[str], monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    age(packed.product, 7200)
    for expected in (3, 0):
        hashed.clear()
        monkeypatch.setattr(digests.MEMO, "_digests", {})
        assert packed.complete()
        assert len(hashed) == expected


def test_read_only_folder_is_no_obstacle_to_being_fresh(
    packed: Any, scene: Path, monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    age(scene, 60)
    monkeypatch.setattr("pipelines.product.locks.os.open", refuse)
    assert packed.complete()


def test_required_product_made_anew_with_other_bytes(
    graph: ModuleType,
    packed: Any,
    out: Path,
    made: Any,
    monkeypatch: pytest.MonkeyPatch,
    again: Any,
    build: Any,
) -> None:
    # Stands for training, where a second run of the same settings gives other weights.
    copied = packed.requires()["copied"]
    copied.product.unlink()
    monkeypatch.setattr(graph.Copied, "make", _other_bytes)
    assert build(copied)
    made()
    assert again(packed) == ["Joined", "Packed"]


def _other_bytes(self: Any, work: Path, progress: Any) -> Any:
    from pipelines.product import Description

    work.write_text("another run, other weights\n")
    return Description()


def test_input_that_changes_meanwhile_publishes_nothing(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch, build: Any
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    make = graph.Copied.make

    def disturbed(self: Any, work: Path, progress: Any) -> Any:
        described = make(self, work, progress)
        (scene / "a.txt").write_text("changed while it was read\n")
        return described

    monkeypatch.setattr(graph.Copied, "make", disturbed)
    with pytest.raises(inputs.InputChanged, match="a.txt"):
        task.run()
    assert list(out.iterdir()) == []
    monkeypatch.setattr(graph.Copied, "make", make)
    assert build(task)


def test_input_that_is_only_touched_meanwhile_is_published(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    make = graph.Copied.make

    def touched(self: Any, work: Path, progress: Any) -> Any:
        time.sleep(0.2)
        age(scene, 0)
        return make(self, work, progress)

    monkeypatch.setattr(graph.Copied, "make", touched)
    task.run()
    assert task.complete()


def test_required_product_that_changes_meanwhile_publishes_nothing(
    graph: ModuleType, packed: Any, out: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = graph.Joined(source=str(scene), outfolder=str(out), word="stop")
    make = graph.Joined.make

    def disturbed(self: Any, work: Path, progress: Any) -> Any:
        described = make(self, work, progress)
        graph.Copied(source=str(scene), outfolder=str(out), repeat=5).run()
        return described

    monkeypatch.setattr(graph.Joined, "make", disturbed)
    with pytest.raises(inputs.InputChanged):
        task.run()
    assert (out / "scene.joined.txt").read_text().endswith("end")


def test_product_of_ours_is_identified_by_its_record(
    graph: ModuleType, packed: Any, out: Path, hashed: list[str]
) -> None:
    inside = packed.product / "deep" / "copied.txt"
    known = hashlib.sha256(inside.read_bytes()).hexdigest()
    for path in (out / "scene.copied.txt", inside):
        identity = inputs.identify(inputs.FileInput(path))
        assert identity.members["file"].sha256 == known
    assert hashed == []
    inside.write_text("no longer ours")
    assert inputs.identify(inputs.FileInput(inside)).members["file"].sha256 != known


def test_digest_of_an_archive_is_never_taken_for_its_member(packed: Any, out: Path) -> None:
    archive = out / "scene.copied.txt"
    member = inputs.Member(archive, packed="m")

    class Archive:
        path = archive

        def resolve(self) -> inputs.ResolvedInput:
            return inputs.ResolvedInput("id", {"m": member}, lambda names: {"m": "f" * 64})

    assert inputs.identify(Archive()).members["m"].sha256 == "f" * 64


def test_moved_products_stay_fresh(
    graph: ModuleType, packed: Any, scene: Path, out: Path, tmp_path: Path, again: Any
) -> None:
    shutil.copytree(out, tmp_path / "copy")
    shutil.rmtree(out)
    assert again(graph.Packed(source=str(scene), outfolder=str(tmp_path / "copy"))) == []


def test_record_that_was_tampered_with_is_not_trusted(packed: Any, out: Path, again: Any) -> None:
    place = out / "scene.joined.txt.json"
    content = json.loads(place.read_text())
    content["properties"]["skysieve:fingerprint"] = "0" * 64
    place.write_text(json.dumps(content))
    assert again(packed.requires()["joined"]) == ["Joined"]


def test_torn_record_is_replaced(packed: Any, out: Path, again: Any) -> None:
    place = out / "scene.joined.txt.json"
    place.write_text(place.read_text()[:100])
    assert again(packed.requires()["joined"]) == ["Joined"]
    assert read_record(place) is not None


def test_diamonds_are_surveyed_once(graph: ModuleType, packed: Any) -> None:
    survey = Survey()
    parts = survey.parts(packed)
    assert list(survey.identities) == ["joined/copied/source"]
    assert parts["requires"]["copied"] == parts["requires"]["joined"]["requires"]["copied"]
    assert fingerprint(parts) == packed.fingerprint()


@pytest.fixture
def masked(graph: ModuleType, scene: Path, out: Path, made: Any, build: Any) -> Any:
    """A finished `Masked` without companions."""
    task = graph.Masked(source=str(scene), outfolder=str(out))
    assert build(task)
    assert made() == ["Masked"]
    return task


@pytest.mark.parametrize("asked", [{"upper": True}, {"back": True}])
def test_companion_that_is_asked_for_later(
    masked: Any, again: Any, asked: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    # One parameter is part of the Luigi task, the other is not: then both are one task for Luigi.
    more = masked.clone(**asked)
    (name,) = more.output().companions
    assert (more == masked) == ("back" in asked)
    assert list(Examination(more).reasons()) == [f"{name} was not made with it"]
    assert more.fingerprint() == masked.fingerprint()
    assert again(more) == ["Masked"]
    assert more.product.with_name(name).exists()
    assert again(more) == again(masked) == []


def test_companions_are_made_again_with_their_product(
    masked: Any, scene: Path, again: Any, age: Any
) -> None:
    assert again(masked.clone(upper=True)) == again(masked.clone(back=True)) == ["Masked"]
    (scene / "a.txt").write_text("three\n")
    age(scene, 1800)
    assert again(masked) == ["Masked"]
    record = read_record(record_path(masked.product))
    assert record is not None
    assert set(record.companions) == {"scene.masked_upper.txt", "scene.masked.back"}
    assert masked.product.with_name("scene.masked_upper.txt").read_text() == "THREE\nTHREE\n"


def test_run_of_a_fresh_task_makes_nothing(masked: Any, made: Any) -> None:
    # Luigi asks before it runs anything: another task may have made the product since.
    masked.run()
    assert made() == []


def test_companion_is_no_reason_for_dependants(
    graph: ModuleType, masked: Any, scene: Path, out: Path, again: Any
) -> None:
    reader = graph.Read(source=str(scene), outfolder=str(out))
    assert again(reader) == ["Read"]
    assert again(masked.clone(upper=True)) == ["Masked"]
    assert again(reader) == []


@pytest.mark.parametrize("kind", ["Masked", "MaskedFolder"])
@pytest.mark.parametrize("harm", ["deleted", "changed"])
def test_harmed_companion(
    graph: ModuleType, scene: Path, out: Path, again: Any, kind: str, harm: str
) -> None:
    task = getattr(graph, kind)(source=str(scene), outfolder=str(out))
    assert again(task.clone(upper=True)) == [kind]
    place = out / f"scene.{kind.lower()}_upper.txt"
    before = place.read_text()
    place.unlink()
    if harm == "changed":
        place.write_text(before.lower())
    assert again(task) == [kind]
    assert place.read_text() == before


def test_touched_companion_is_hashed_once(
    masked: Any, hashed: list[str], monkeypatch: pytest.MonkeyPatch, age: Any, again: Any
) -> None:
    more = masked.clone(upper=True)
    assert again(more) == ["Masked"]
    age(more.product.with_name("scene.masked_upper.txt"), 7200)
    for expected in (["scene.masked_upper.txt"], []):
        hashed.clear()
        monkeypatch.setattr(digests.MEMO, "_digests", {})
        assert more.complete()
        assert hashed == expected


def test_companion_is_identified_by_its_products_record(
    masked: Any, out: Path, hashed: list[str], again: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert again(masked.clone(upper=True)) == ["Masked"]
    hashed.clear()
    monkeypatch.setattr(digests.MEMO, "_digests", {})
    place = out / "scene.masked_upper.txt"
    identity = inputs.identify(inputs.FileInput(place))
    assert identity.members["file"].sha256 == hashlib.sha256(b"ONE\nONE\n").hexdigest()
    assert hashed == []
    place.write_text("no longer ours")
    assert inputs.identify(inputs.FileInput(place)).members["file"].sha256 == (
        hashlib.sha256(b"no longer ours").hexdigest()
    )


def test_moved_companions_stay_fresh(masked: Any, out: Path, tmp_path: Path, again: Any) -> None:
    assert again(masked.clone(upper=True)) == ["Masked"]
    shutil.copytree(out, tmp_path / "copy")
    shutil.rmtree(out)
    assert again(masked.clone(upper=True, outfolder=str(tmp_path / "copy"))) == []
