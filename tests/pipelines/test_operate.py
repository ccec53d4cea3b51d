"""The command `skysieve`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.operate import main
from pipelines.product.debris import temporary
from pipelines.product.freshness import record_path


@pytest.fixture
def joined(
    graph: ModuleType, scene: Path, out: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A finished `Joined`; `small_graph` can be imported."""
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    task = graph.Joined(source=str(scene), outfolder=str(out))
    assert build(task)
    return task


def why(task: Any, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Return exit code and answer of `skysieve why`."""
    code = main(["why", str(task.product), *more])
    return code, capsys.readouterr().out


def test_fresh(joined: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(joined, capsys) == (0, f"{joined.product} is fresh\n")


def test_changed_member(
    joined: Any, scene: Path, age: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene / "b.txt").write_text("TWO\n")
    code, said = why(joined, capsys)
    assert code == 1
    assert "requires Copied: input source: the bytes of b.txt have changed" in said


def test_new_optional_member(joined: Any, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scene / "c.txt").write_text("3\n")
    assert "input source: c.txt is new" in why(joined, capsys)[1]


def test_versions(
    graph: ModuleType,
    joined: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(graph.Copied, "algorithm_version", 7)
    code, said = why(joined, capsys)
    assert code == 1
    assert "Joined requires Copied: algorithm version 1, now 7" in said


def test_parameter_of_a_command(
    joined: Any, scene: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--module", "small_graph", "Joined", "--source", str(scene)]
    code, said = why(joined, capsys, *arguments, "--outfolder", str(out), "--word", "stop")
    assert code == 1
    assert "Joined: parameter word was 'end', is 'stop'" in said


def test_bytes(joined: Any, capsys: pytest.CaptureFixture[str]) -> None:
    joined.product.write_text("foreign")
    assert f"{joined.product} has 7 bytes, not" in why(joined, capsys)[1]


def test_input_gone(joined: Any, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(scene)
    assert why(joined, capsys) == (0, f"{joined.product} is fresh\n  input gone: {scene}\n")


def test_all_reasons_are_told(
    joined: Any, scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(type(joined), "algorithm_version", 2)
    (scene / "a.txt").write_text("other\n")
    joined.product.write_text("foreign")
    assert len(why(joined, capsys)[1].splitlines()) == 4


def test_relative_parameters_mean_the_folder_of_then(
    graph: ModuleType,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    monkeypatch.chdir(tmp_path)
    graph.Copied(source="scene", outfolder="products").run()
    monkeypatch.chdir(tmp_path / "products")
    assert main(["why", "scene.copied.txt"]) == 0
    assert Path.cwd() == tmp_path / "products"


def test_errors(joined: Any, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", str(out / "nothing.txt")]) == 2
    assert "nothing.txt has no record" in capsys.readouterr().err
    assert main(["status", str(out / "nothing")]) == 2
    assert main(["why", str(joined.product), "--module", "no_module", "X"]) == 2
    assert "no_module" in capsys.readouterr().err
    text = record_path(joined.product).read_text()
    record_path(joined.product).write_text(text.replace('"small_graph"', '"no_graph"'))
    assert main(["why", str(joined.product)]) == 2
    assert "no_graph" in capsys.readouterr().err


def test_status(
    joined: Any, out: Path, scene: Path, age: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"fresh       {out / 'scene.copied.txt'}",
        f"fresh       {out / 'scene.joined.txt'}",
    ]
    joined.product.write_text("foreign")
    assert main(["status", str(out)]) == 1
    assert f"stale       {joined.product}" in capsys.readouterr().out
    shutil.rmtree(scene)
    main(["status", str(out / "scene.copied.txt")])
    assert capsys.readouterr().out.startswith("input gone  ")


def test_clean(joined: Any, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = temporary(out / "killed.tif")
    (left / "new").mkdir(parents=True)
    (left / "lock").touch()
    (out / "scene.copied.txt").unlink()
    before = sorted(out.rglob("*"))
    assert main(["clean", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"would clear  {left}" in said and "would remove" in said and "--yes" in said
    assert sorted(out.rglob("*")) == before
    assert main(["clean", str(out), "--yes"]) == 0
    assert sorted(each.name for each in out.iterdir()) == [
        "scene.joined.txt",
        "scene.joined.txt.json",
    ]


@pytest.fixture
def masked(
    graph: ModuleType, scene: Path, out: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A finished `Masked` with a companion."""
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    task = graph.Masked(source=str(scene), outfolder=str(out), upper=True)
    assert build(task)
    return task


def test_companions(masked: Any, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    companion = out / "scene.masked_upper.txt"
    for path in (out, masked.product, companion):
        assert main(["status", str(path)]) == 0
        assert capsys.readouterr().out == f"fresh       {masked.product}\n"
    assert main(["why", str(companion)]) == 0
    assert capsys.readouterr().out == f"{masked.product} is fresh\n"
    arguments = ["--module", "small_graph", "Masked", "--source", masked.source]
    code, said = why(masked, capsys, *arguments, "--outfolder", str(out), "--back")
    assert code == 1 and "scene.masked.back was not made with it" in said
    companion.unlink()
    assert f"{companion} is missing" in why(masked, capsys)[1]


def test_clean_removes_companions_of_a_gone_product(
    masked: Any, out: Path, build: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(masked.clone(back=True))
    masked.product.unlink()
    (out / "scene.masked.back").write_text("changed, so perhaps a user's")
    assert main(["clean", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"would remove  {out / 'scene.masked_upper.txt'}" in said
    assert main(["clean", str(out), "--yes"]) == 0
    assert [each.name for each in out.iterdir()] == ["scene.masked.back"]


def test_version(command: Any) -> None:
    result = command("skysieve", "--version")
    assert result.stdout.startswith("skysieve ") and result.returncode == 0
    assert command("skysieve").returncode == 2
