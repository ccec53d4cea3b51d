"""Products appear whole, whatever happens: kills, full disks, rivals, foreign files."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.product import OutputError, PathConflict, ProductTarget, targets
from pipelines.product.debris import debris, sweep, temporary
from pipelines.product.freshness import record_path
from pipelines.product.locks import Busy, exclusive, hold
from pipelines.product.record import read_record

HERE = Path(__file__).resolve().parent


def hidden(folder: Path) -> list[str]:
    """Names in `folder` that begin with a dot: what a killed maker leaves."""
    return sorted(each.name for each in folder.rglob(".*"))


def killed_at(rename: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that kills itself before its `rename`-th rename; tell if it did."""
    child = os.fork()
    if child == 0:
        left = rename

        def before(call: Callable[..., Any]) -> Callable[..., Any]:
            def patched(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments)

            return patched

        Path.replace = before(Path.replace)  # type: ignore[method-assign]
        Path.rename = before(Path.rename)  # type: ignore[method-assign]
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def contents(place: Path) -> dict[str, str] | str | None:
    """Return the text of a product, file by file, or None where there is none."""
    if place.is_dir():
        files = [each for each in sorted(place.rglob("*")) if each.is_file()]
        return {str(each.relative_to(place)): each.read_text() for each in files}
    return place.read_text() if place.exists() else None


@pytest.mark.parametrize("kind", ["Copied", "Packed"])
@pytest.mark.parametrize("rename", range(1, 5))
@pytest.mark.parametrize("after", ["old", "new"])
def test_kill_at_each_step_of_publishing(
    graph: ModuleType,
    scene: Path,
    out: Path,
    build: Any,
    kind: str,
    rename: int,
    after: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = {}
    tasks = {}
    for name, repeat in (("new", 3), ("old", 2)):
        tasks[name] = getattr(graph, kind)(source=str(scene), outfolder=str(out), repeat=repeat)
        assert build(tasks[name])
        made[name] = contents(tasks[name].product)
    for required in tasks["new"].deps():
        assert build(required)
    assert not tasks["new"].complete()
    died = killed_at(rename, tasks["new"].run)
    assert died == (rename <= (3 if kind == "Copied" else 4))
    # The next run is another process.
    monkeypatch.setattr("pipelines.product.debris._swept", set())
    assert contents(tasks["old"].product) in (made["old"], made["new"], None)
    record = read_record(record_path(tasks["old"].product))
    if record is not None:
        assert record.damage(tasks["old"].product) is None
    assert build(tasks[after])
    assert contents(tasks[after].product) == made[after]
    other = "old" if after == "new" else "new"
    assert tasks[after].complete() and not tasks[other].complete()
    assert hidden(out) == []


@pytest.mark.parametrize("kind", ["Copied", "Packed", "Masked"])
@pytest.mark.parametrize("rename", range(1, 4))
def test_kill_of_the_first_publication(
    graph: ModuleType, scene: Path, out: Path, build: Any, kind: str, rename: int
) -> None:
    task = getattr(graph, kind)(source=str(scene), outfolder=str(out))
    if kind == "Masked":
        task = task.clone(upper=True)
    for required in task.deps():
        assert build(required)
    killed_at(rename, task.run)
    assert build(task)
    assert hidden(out) == []
    assert contents(task.product)


def test_killed_publication_is_finished_without_making_again(
    graph: ModuleType, scene: Path, out: Path, build: Any, made: Any
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    assert killed_at(2, task.run)
    assert not record_path(task.product).exists() and task.product.exists()
    made()
    assert build(task)
    assert made() == []


def test_folder_that_was_set_aside_comes_back(
    graph: ModuleType, scene: Path, out: Path, build: Any, made: Any
) -> None:
    old = graph.Packed(source=str(scene), outfolder=str(out))
    assert build(old)
    before = contents(old.product)
    new = graph.Packed(source=str(scene), outfolder=str(out), word="stop")
    assert build(new.requires()["joined"])
    assert killed_at(3, new.run)
    assert not old.product.exists()
    sweep(out)
    assert contents(old.product) == before
    assert read_record(record_path(old.product)) is not None
    assert hidden(out) == []


def own_files(task: Any) -> dict[str, Any]:
    """Return the texts of all that stands at the places of a `Masked`, by name."""
    names = (f"{task.product.stem}_upper.txt", f"{task.product.stem}.back")
    places = (task.product, *map(task.product.with_name, names))
    return {place.name: contents(place) for place in places}


@pytest.mark.parametrize("kind", ["Masked", "MaskedFolder"])
@pytest.mark.parametrize("rename", range(1, 8))
@pytest.mark.parametrize("after", ["old", "new"])
def test_kill_at_each_step_of_publishing_companions(
    graph: ModuleType,
    scene: Path,
    out: Path,
    build: Any,
    made: Any,
    kind: str,
    rename: int,
    after: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place: dict[str, Any] = {"source": str(scene), "outfolder": str(out)}
    tasks = {
        "new": getattr(graph, kind)(**place, repeat=3, upper=True),
        "old": getattr(graph, kind)(**place, repeat=2, upper=True, back=True),
    }
    # The new one no longer makes the companion `.back`.
    monkeypatch.setattr(graph.Masked, "companions", lambda self: self.output().companions)
    found = {}
    for name, task in tasks.items():
        assert build(task)
        found[name] = own_files(task)
    assert None in found["new"].values() and None not in found["old"].values()
    assert not tasks["new"].complete()
    last = 5 if kind == "Masked" else 6
    assert killed_at(rename, tasks["new"].run) == (rename <= last)
    monkeypatch.setattr("pipelines.product.debris._swept", set())
    for name, text in own_files(tasks["old"]).items():
        allowed = [found["old"][name], found["new"][name]]
        # A folder is away for a moment.
        allowed += [None] * (kind == "MaskedFolder" and rename == 5)
        assert text in allowed, name
    assert record_path(tasks["old"].product).exists() == (rename in (1, last + 1, last + 2))
    made()
    assert build(tasks[after])
    assert own_files(tasks[after]) == found[after]
    # What was begun is finished without being made again; before, it is undone.
    begun = rename > 2
    assert made() == ([] if begun == (after == "new") else [kind])
    other = "old" if after == "new" else "new"
    assert tasks[after].complete() and not tasks[other].complete()
    assert hidden(out) == []


def test_mixed_files_without_their_record_are_made_again(
    graph: ModuleType, scene: Path, out: Path, build: Any, made: Any
) -> None:
    task = graph.Masked(source=str(scene), outfolder=str(out), upper=True)
    assert killed_at(2, task.run)
    (left,) = [each for each in debris(out) if each.is_folder]
    (left.path / "new" / task.product.name).write_text("torn")
    assert build(task)
    assert made() == ["Masked", "Masked"] and hidden(out) == []


@pytest.mark.parametrize("kind", ["Masked", "MaskedFolder"])
def test_what_a_user_put_there_since_a_kill_is_not_replaced_by_sweeping(
    graph: ModuleType, scene: Path, out: Path, kind: str
) -> None:
    task = getattr(graph, kind)(source=str(scene), outfolder=str(out), upper=True)
    assert killed_at(2, task.run)
    theirs = task.product / "holiday.jpg" if kind == "MaskedFolder" else task.product
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("a user's data")
    sweep(out)
    assert theirs.read_text() == "a user's data"
    assert hidden(out) == [] and not record_path(task.product).exists()


def test_files_that_a_user_put_into_a_product_since_a_kill_are_kept(
    graph: ModuleType, scene: Path, out: Path, build: Any
) -> None:
    old = graph.MaskedFolder(source=str(scene), outfolder=str(out), upper=True)
    assert build(old)
    new = old.clone(repeat=3)
    assert not new.complete()
    assert killed_at(3, new.run)
    (old.product / "mask.tif").write_text("a user's data")
    sweep(out)
    assert new.complete()
    assert (old.product / "mask.tif").read_text() == "a user's data"


def killed_after(seconds: float, action: Callable[[], object]) -> None:
    """Run `action` in a child, and kill that after `seconds`."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_thirty_kills_leave_no_broken_product(
    graph: ModuleType,
    scene: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work() -> None:
        for number in range(1000):
            repeat, word = number % 3 + 1, ("end", "stop")[number % 2]
            task = graph.Packed(source=str(scene), outfolder=str(out), repeat=repeat, word=word)
            copied, joined = task.requires()["copied"], task.requires()["joined"]
            for each in (copied, joined, task):
                if not each.complete():
                    each.run()

    caplog.set_level("ERROR", "luigi-interface")
    delays = random.Random(20260101)
    states = []
    for _ in range(30):
        killed_after(delays.uniform(0.005, 0.1), work)
        state = ""
        for name in ("copied.txt", "joined.txt", "packed"):
            place = out / f"scene.{name}"
            record = read_record(record_path(place))
            state += "x" if record is None else "r"
            if record is None:
                continue
            assert record.damage(place) is None
            parts = record.parts
            while "repeat" not in parts["parameters"] or parts["task"] != "Copied":
                parts = parts["requires"]["copied"]
            text = "one\ntwo\n" * int(parts["parameters"]["repeat"])
            word = record.parts["parameters"].get("word", "")
            expected: Any = text + word
            if name == "packed":
                inner = {"deep/copied.txt": text, "deep/joined.txt": text + word}
                expected = inner | {"word.txt": word}
            assert contents(place) == expected
        states.append(state + f"{len(hidden(out))}")
    # The kills met makers at different steps.
    assert len(set(states)) > 3, states
    sweep(out)
    assert hidden(out) == []
    monkeypatch.setattr("pipelines.product.debris._swept", set())
    task = graph.Packed(source=str(scene), outfolder=str(out))
    for each in (task.requires()["copied"], task.requires()["joined"], task):
        if not each.complete():
            each.run()
    assert task.complete() and hidden(out) == []


def test_rivals_publish_one_product(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out), pause=0.1)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            task.run()
        except BaseException as error:
            failures.append(error)

    published = []
    publish = targets.Workspace.publish

    def noted(self: targets.Workspace, *arguments: Any) -> bool:
        published.append(publish(self, *arguments))
        return published[-1]

    monkeypatch.setattr(targets.Workspace, "publish", noted)
    rivals = [threading.Thread(target=run) for _ in range(4)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert failures == []
    assert sorted(published) == [False, False, False, True]
    assert task.complete() and hidden(out) == []


def test_rival_with_other_parameters_is_an_error_that_names_both(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = graph.Copied(source=str(scene), outfolder=str(out), repeat=2)
    three = graph.Copied(source=str(scene), outfolder=str(out), repeat=3)
    make = graph.Copied.make

    def disturbed(self: Any, work: Path, progress: Any) -> Any:
        monkeypatch.setattr(graph.Copied, "make", make)
        three.run()
        return make(self, work, progress)

    monkeypatch.setattr(graph.Copied, "make", disturbed)
    with pytest.raises(PathConflict, match=r"(?s)repeat=2.*repeat=3"):
        two.run()
    assert three.complete() and hidden(out) == []


def test_graph_with_two_tasks_for_one_place_is_an_error(
    command: Any, scene: Path, out: Path
) -> None:
    arguments = ["luigi", "--module", "small_graph", "Both", "--source", scene, "--outfolder", out]
    result = command(*arguments)
    assert result.returncode == 35
    assert "two different tasks publish at" in result.stderr
    assert "word=end" in result.stderr and "word=stop" in result.stderr
    result = command(*arguments, "--words", '["end", "end"]')
    assert result.returncode == 0, result.stderr


def test_second_task_of_a_graph_finds_what_the_first_published(
    graph: ModuleType, scene: Path, out: Path
) -> None:
    # As in two worker processes, or on two hosts, which do not see each other's graph.
    two = graph.Copied(source=str(scene), outfolder=str(out), repeat=2)
    three = graph.Copied(source=str(scene), outfolder=str(out), repeat=3)
    assert not two.complete() and not three.complete()
    two.run()
    with pytest.raises(PathConflict, match=r"(?s)repeat=3.*repeat=2"):
        three.run()


def test_foreign_file_is_not_trusted_and_replaced_with_a_warning(
    graph: ModuleType, scene: Path, out: Path, build: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    out.mkdir()
    task.product.write_text("one\ntwo\n" * 2)
    assert not task.complete()
    assert build(task)
    assert "has no record of ours and will be replaced" in caplog.text


def test_foreign_folder_is_refused(graph: ModuleType, scene: Path, out: Path, build: Any) -> None:
    task = graph.Packed(source=str(scene), outfolder=str(out))
    for required in task.deps():
        assert build(required)
    task.product.mkdir()
    (task.product / "holiday.jpg").write_text("a user's data")
    with pytest.raises(OutputError, match=r"packed has no record.*--outfolder"):
        task.run()
    assert (task.product / "holiday.jpg").read_text() == "a user's data"
    assert hidden(out) == []


def test_foreign_json_at_the_records_place_is_refused(
    graph: ModuleType, scene: Path, out: Path
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    out.mkdir()
    record_path(task.product).write_text('{"a": "user\'s metadata"}')
    with pytest.raises(OutputError, match="copied.txt.json is not a skysieve record"):
        task.run()
    assert json.loads(record_path(task.product).read_text()) == {"a": "user's metadata"}


def test_others_files_in_a_folder_product_are_kept(
    graph: ModuleType, scene: Path, out: Path, build: Any
) -> None:
    task = graph.Packed(source=str(scene), outfolder=str(out))
    assert build(task)
    (task.product / "deep" / "mask.tif").write_text("a mask made beside its scene")
    assert build(graph.Packed(source=str(scene), outfolder=str(out), word="stop"))
    assert (task.product / "deep" / "mask.tif").read_text() == "a mask made beside its scene"
    assert (task.product / "word.txt").read_text() == "stop"


def test_files_that_a_folder_product_no_longer_has_are_removed(
    graph: ModuleType, scene: Path, out: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = graph.Packed(source=str(scene), outfolder=str(out))
    assert build(task)
    monkeypatch.setattr(graph.Packed, "make", _one_file)
    monkeypatch.setattr(graph.Packed, "algorithm_version", 2)
    assert build(task)
    assert contents(task.product) == {"only.txt": "1"}


def _one_file(self: Any, work: Path, progress: Any) -> Any:
    from pipelines.product import Description

    work.mkdir()
    (work / "only.txt").write_text("1")
    return Description()


def test_failed_make_publishes_nothing(graph: ModuleType, scene: Path, out: Path) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out), fail="no valid pixel")
    with pytest.raises(ValueError, match="no valid pixel"):
        task.run()
    assert list(out.iterdir()) == []


def test_failed_verification_publishes_nothing(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, work: Path) -> None:
        raise OSError(f"{work.name} cannot be read back")

    task = graph.Copied(source=str(scene), outfolder=str(out))
    assert task.run() is None
    before = contents(out)
    monkeypatch.setattr(graph.Copied, "verify", refuse)
    with pytest.raises(OSError, match="cannot be read back"):
        graph.Copied(source=str(scene), outfolder=str(out), repeat=5).run()
    assert contents(out) == before


def test_empty_product_is_refused(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph.Copied, "make", lambda self, work, progress: work.touch())
    with pytest.raises(OutputError, match="empty"):
        graph.Copied(source=str(scene), outfolder=str(out)).run()


def test_output_folder_that_is_a_file(graph: ModuleType, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(OutputError, match=r"a file stands.*--outfolder"):
            graph.Copied(source=str(scene), outfolder=str(folder)).run()
    assert (tmp_path / "out").read_text() == "a file"


def test_space_is_looked_at_first(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    monkeypatch.setattr(graph.Copied, "space_needed", lambda self: 1 << 60)
    with pytest.raises(OutputError, match=r"the disk is full.*--outfolder"):
        graph.Copied(source=str(scene), outfolder=str(out)).run()
    assert made() == [] and list(out.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system with the options given."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
        )
        if done.returncode:
            pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")
        return folder

    yield mount
    subprocess.run(["umount", folder], capture_output=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="needs the command mount")
def test_full_disk(
    graph: ModuleType, scene: Path, small_disk: Any, monkeypatch: pytest.MonkeyPatch, age: Any
) -> None:
    disk = small_disk("size=256k")
    task = graph.Copied(source=str(scene), outfolder=str(disk))
    task.run()
    before = contents(disk)
    (scene / "a.txt").write_text("x" * 100_000)
    with pytest.raises(OutputError, match=r"the disk is full.*--outfolder"):
        graph.Copied(source=str(scene), outfolder=str(disk), repeat=9).run()
    assert contents(disk) == before
    monkeypatch.setattr(graph.Copied, "make", _fill_and_fail)
    with pytest.raises(OutputError, match=r"the disk is full \(some library's words"):
        graph.Copied(source=str(scene), outfolder=str(disk), repeat=9).run()
    assert contents(disk) == before


def _fill_and_fail(self: Any, work: Path, progress: Any) -> Any:
    try:
        work.write_bytes(bytes(1 << 20))
    except OSError:
        raise RuntimeError("some library's words") from None


@pytest.mark.skipif(not shutil.which("mount"), reason="needs the command mount")
def test_read_only_disk(graph: ModuleType, scene: Path, small_disk: Any) -> None:
    disk = small_disk("size=256k,ro")
    with pytest.raises(OutputError, match=r"read-only.*--outfolder"):
        graph.Copied(source=str(scene), outfolder=str(disk)).run()


def test_unwritable_folder(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    out.mkdir()
    monkeypatch.setattr("pipelines.product.locks.os.open", refuse)
    with pytest.raises(OutputError, match=r"no permission.*--outfolder"):
        graph.Copied(source=str(scene), outfolder=str(out)).run()


def test_product_has_the_targets_name_while_it_is_written(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []
    make = graph.Copied.make

    def looked(self: Any, work: Path, progress: Any) -> Any:
        places.append(work)
        return make(self, work, progress)

    monkeypatch.setattr(graph.Copied, "make", looked)
    task = graph.Copied(source=str(scene), outfolder=str(out))
    task.run()
    assert places[0].name == task.product.name
    assert out in places[0].parents and not places[0].exists()


def test_equal_settings_give_equal_bytes_and_records_keep_the_times(
    graph: ModuleType, scene: Path, tmp_path: Path, build: Any
) -> None:
    found = []
    for name in ("one", "two"):
        task = graph.Packed(source=str(scene), outfolder=str(tmp_path / name))
        assert build(task)
        record = read_record(record_path(task.product))
        assert record is not None
        found.append((contents(task.product), record.product_digest, record.fingerprint))
    assert found[0] == found[1]


def test_folder_of_a_living_maker_is_left_alone(out: Path) -> None:
    out.mkdir()
    folder = temporary(out / "x.txt")
    folder.mkdir()
    with hold(folder / "lock", create=True):
        sweep(out)
        assert folder.exists()
        assert [each.is_dead() for each in debris(out)] == [False]
    sweep(out)
    assert not folder.exists()


def test_folders_of_others_are_left_alone(out: Path) -> None:
    for name in (".git", ".x.txt.skysieve-backup", ".x.txt.tmp-0123456789ab", ".skysieve-lock"):
        (out / name).mkdir(parents=True)
    sweep(out)
    assert len(hidden(out)) == 4


def test_without_locks_a_day_decides(out: Path, monkeypatch: pytest.MonkeyPatch, age: Any) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("pipelines.product.locks.fcntl.flock", unsupported)
    for name, seconds in (("old", 25 * 3600), ("new", 23 * 3600)):
        folder = temporary(out / name)
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        age(folder, seconds)
    sweep(out)
    assert [each.product.name for each in debris(out)] == ["new"]


def test_lock_leaves_no_file_and_waits_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with exclusive(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []
    with exclusive(path), pytest.raises(Busy), exclusive(path, wait=False):
        pass


def test_later_change_shows_even_by_a_coarse_clock(
    graph: ModuleType, scene: Path, out: Path
) -> None:
    task = graph.Copied(source=str(scene), outfolder=str(out))
    task.run()
    # FAT and some network file systems count modification times in steps of two seconds.
    assert time.time() - task.product.stat().st_mtime > 2


def test_companions_stand_beside_their_product(graph: ModuleType, scene: Path, out: Path) -> None:
    graph.Masked(source=str(scene), outfolder=str(out), upper=True, back=True).run()
    assert contents(out / "scene.masked.txt") == "one\none\n"
    assert contents(out / "scene.masked_upper.txt") == "ONE\nONE\n"
    assert contents(out / "scene.masked.back") == "\neno\neno"
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize("text", [None, ""])
def test_companion_that_is_not_written_is_an_error(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    def make(self: Any, work: Path, progress: Any) -> Any:
        work.write_text("product")
        if text is not None:
            work.with_name("scene.masked_upper.txt").write_text(text)

    monkeypatch.setattr(graph.Masked, "make", make)
    with pytest.raises(OutputError, match=r"Masked wrote no scene\.masked_upper\.txt"):
        graph.Masked(source=str(scene), outfolder=str(out), upper=True).run()
    assert list(out.iterdir()) == []


def test_foreign_file_at_a_companions_place_is_replaced_with_a_warning(
    graph: ModuleType, scene: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph.Masked(source=str(scene), outfolder=str(out)).run()
    place = out / "scene.masked_upper.txt"
    place.write_text("a user's file")
    caplog.clear()
    graph.Masked(source=str(scene), outfolder=str(out), upper=True).run()
    assert f"{place} has no record of ours and will be replaced" in caplog.text
    assert contents(place) == "ONE\nONE\n"
    caplog.clear()
    graph.Masked(source=str(scene), outfolder=str(out), upper=True, repeat=3).run()
    assert "will be replaced" not in caplog.text


def test_folder_at_a_companions_place_is_refused(
    graph: ModuleType, scene: Path, out: Path, made: Any
) -> None:
    place = out / "scene.masked_upper.txt"
    place.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"masked_upper\.txt has no record.*--outfolder"):
        graph.Masked(source=str(scene), outfolder=str(out), upper=True).run()
    assert place.is_dir() and made() == [] and hidden(out) == []


def test_product_and_companion_do_not_replace_each_other(
    graph: ModuleType, scene: Path, out: Path, build: Any, tmp_path: Path
) -> None:
    place: dict[str, Any] = {"source": str(scene), "outfolder": str(out)}
    assert build(graph.Upper(**place))
    with pytest.raises(OutputError, match=r"belongs to .*masked_upper\.txt.*--outfolder"):
        graph.Masked(**place, upper=True).run()
    place["outfolder"] = str(tmp_path / "other")
    assert build(graph.Masked(**place, upper=True))
    with pytest.raises(OutputError, match=r"belongs to .*masked\.txt.*--outfolder"):
        graph.Upper(**place).run()


def test_graph_with_a_product_at_a_companions_place_is_an_error(
    command: Any, scene: Path, out: Path
) -> None:
    arguments = ["luigi", "--module", "small_graph", "Asks", "--source", scene, "--outfolder", out]
    result = command(*arguments, "--clash")
    assert result.returncode == 35
    assert f"two different tasks publish at {out / 'scene.masked_upper.txt'}" in result.stderr


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("uppers", ["[false, true]", "[true, false]"])
def test_graph_that_asks_for_one_product_in_two_ways(
    command: Any, scene: Path, out: Path, made: Any, workers: int, uppers: str
) -> None:
    arguments = ["luigi", "--module", "small_graph", "Asks", "--source", scene, "--outfolder", out]
    arguments += ["--uppers", uppers, "--workers", workers]
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    assert contents(out / "scene.masked_upper.txt") == "ONE\nONE\n"
    assert hidden(out) == []
    made()
    assert command(*arguments).returncode == 0
    assert made() == []


def test_rivals_with_other_companions_keep_each_others(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upper = graph.Masked(source=str(scene), outfolder=str(out), upper=True)
    back = graph.Masked(source=str(scene), outfolder=str(out), back=True)
    assert not upper.complete() and not back.complete()
    make = graph.Masked.make

    def disturbed(self: Any, work: Path, progress: Any) -> Any:
        described = make(self, work, progress)
        monkeypatch.setattr(graph.Masked, "make", make)
        back.run()
        return described

    monkeypatch.setattr(graph.Masked, "make", disturbed)
    upper.run()
    assert upper.complete() and back.complete()
    assert None not in own_files(upper).values() and hidden(out) == []


def test_changed_file_is_not_removed_as_a_companion(
    graph: ModuleType, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: dict[str, Any] = {"source": str(scene), "outfolder": str(out)}
    graph.Masked(**place, upper=True, back=True).run()
    monkeypatch.setattr(graph.Masked, "companions", lambda self: self.output().companions)
    (out / "scene.masked.back").write_text("a user's file")
    graph.Masked(**place, repeat=3).run()
    assert contents(out / "scene.masked.back") == "a user's file"
    assert not (out / "scene.masked_upper.txt").exists()


@pytest.mark.parametrize(
    "companions",
    [[""], ["a.tif"], ["a.tif.json"], ["b.png"], ["a/b.png"], ["../a.png"], ["a.png", "a.png"]],
)
def test_names_of_companions(companions: list[str]) -> None:
    with pytest.raises(ValueError, match=r"companions of a\.tif"):
        ProductTarget(Path("out/a.tif"), companions)


def test_target_is_there_with_its_companions(tmp_path: Path) -> None:
    target = ProductTarget(tmp_path / "a.tif", companions=("a_probability.tif", "a.png"))
    for name in ("a.tif", "a.tif.json", "a_probability.tif"):
        (tmp_path / name).touch()
    assert not target.exists()
    (tmp_path / "a.png").touch()
    assert target.exists()
