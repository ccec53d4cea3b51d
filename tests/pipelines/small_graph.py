"""A graph of tiny tasks, run by the tests as `luigi --module small_graph ...`.

Copied (a file) is read by Joined (a file), and both by Packed (a folder). Environment variables
stand for what a programmer changes: `COPIED_VERSION` is the algorithm version of `Copied`.

Masked (a file) and MaskedFolder have companions beside them; Read reads the file of Masked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import luigi

from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)


def note(task: str) -> None:
    """Append the name of a task that is made to the file that the test reads."""
    if "MADE" in os.environ:
        with Path(os.environ["MADE"]).open("a") as file:
            file.write(task + "\n")


class Copied(ProductTask):
    """Writes text of its input, `repeat` times, in small pieces."""

    algorithm_version = int(os.environ.get("COPIED_VERSION", "1"))
    located = ("source", "outfolder")
    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    repeat: int = luigi.IntParameter(default=2)
    pause: float = luigi.FloatParameter(default=0.0, significant=False)
    fail: str = luigi.Parameter(default="", significant=False)

    def output(self) -> ProductTarget:
        return ProductTarget(Path(self.outfolder) / f"{Path(self.source).name}.copied.txt")

    def inputs(self) -> Mapping[str, ExternalInput]:
        return {"source": FileInput(Path(self.source), ("a.txt", "b.txt"), ("c.txt",))}

    def make(self, work: Path, progress: Progress) -> Description:
        note("Copied")
        text = "".join((Path(self.source) / name).read_text() for name in ("a.txt", "b.txt"))
        with work.open("w") as file:
            for number in range(self.repeat):
                file.write(text)
                file.flush()
                time.sleep(self.pause)
                progress((number + 1) / self.repeat, "copying")
        if self.fail == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fail:
            raise ValueError(self.fail)
        return Description()


class Joined(ProductTask):
    """Adds a line to what `Copied` wrote."""

    algorithm_version = 1
    located = ("source", "outfolder")
    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    repeat: int = luigi.IntParameter(default=2)
    word: str = luigi.Parameter(default="end")

    def requires(self) -> Mapping[str, luigi.Task]:
        return {"copied": self.clone(Copied)}

    def output(self) -> ProductTarget:
        return ProductTarget(Path(self.outfolder) / f"{Path(self.source).name}.joined.txt")

    def make(self, work: Path, progress: Progress) -> Description:
        note("Joined")
        work.write_text(self.input()["copied"].path.read_text() + self.word)
        return Description()


class Packed(ProductTask):
    """A folder with the texts of `Copied` and `Joined`."""

    algorithm_version = 1
    located = ("source", "outfolder")
    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    word: str = luigi.Parameter(default="end")
    repeat: int = luigi.IntParameter(default=2)

    def requires(self) -> Mapping[str, luigi.Task]:
        return {"joined": self.clone(Joined), "copied": self.clone(Copied)}

    def output(self) -> ProductTarget:
        return ProductTarget(Path(self.outfolder) / f"{Path(self.source).name}.packed")

    def make(self, work: Path, progress: Progress) -> Description:
        note("Packed")
        (work / "deep").mkdir(parents=True)
        for name, target in self.input().items():
            (work / "deep" / f"{name}.txt").write_bytes(target.path.read_bytes())
        (work / "word.txt").write_text(self.word)
        return Description()


class Masked(ProductTask):
    """A file with one of two companions beside it, or both, in upper case and backwards."""

    algorithm_version = 1
    located = ("source", "outfolder", "upper")
    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    repeat: int = luigi.IntParameter(default=2)
    upper: bool = luigi.BoolParameter()
    back: bool = luigi.BoolParameter(significant=False)

    def output(self) -> ProductTarget:
        name = f"{Path(self.source).name}.{self.task_family.lower()}"
        asked = {f"{name}_upper.txt": self.upper, f"{name}.back": self.back}
        companions = [each for each, wanted in asked.items() if wanted]
        return ProductTarget(Path(self.outfolder) / f"{name}.txt", companions)

    def inputs(self) -> Mapping[str, ExternalInput]:
        return {"source": FileInput(Path(self.source), ("a.txt",))}

    def make(self, work: Path, progress: Progress) -> Description:
        note(self.task_family)
        text = (Path(self.source) / "a.txt").read_text() * self.repeat
        self.write(work, text)
        for name in self.companions():
            other = text.upper() if name.endswith("_upper.txt") else text[::-1]
            work.with_name(name).write_text(other)
        work.with_name("scratch.txt").write_text("no part of the product")
        upper = f"{work.stem}_upper.txt"
        return Description(files={upper: Described(("visual",), "text/plain", key="upper")})

    def write(self, work: Path, text: str) -> None:
        """Write the product itself."""
        work.write_text(text)


class MaskedFolder(Masked):
    """The same as a folder."""

    def write(self, work: Path, text: str) -> None:
        """Write a folder with one file."""
        (work / "deep").mkdir(parents=True)
        (work / "deep" / "text.txt").write_text(text)


class Read(ProductTask):
    """What `Masked` wrote, and a dot."""

    algorithm_version = 1
    located = ("source", "outfolder")
    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()

    def requires(self) -> Mapping[str, luigi.Task]:
        return {"masked": self.clone(Masked)}

    def output(self) -> ProductTarget:
        return ProductTarget(Path(self.outfolder) / f"{Path(self.source).name}.read.txt")

    def make(self, work: Path, progress: Progress) -> Description:
        note("Read")
        work.write_text(self.input()["masked"].path.read_text() + ".")
        return Description()


class Upper(Read):
    """Publishes where `Masked` puts a companion."""

    def output(self) -> ProductTarget:
        return ProductTarget(Path(self.outfolder) / f"{Path(self.source).name}.masked_upper.txt")


class Asks(luigi.WrapperTask):
    """One product that is asked for different companions, and perhaps a task in its way."""

    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    uppers: list[bool] = luigi.ListParameter(default=[False, True])
    clash: bool = luigi.BoolParameter()

    def requires(self) -> list[luigi.Task]:
        asks: list[luigi.Task] = [self.clone(Masked, upper=upper) for upper in self.uppers]
        return [*asks, *([self.clone(Upper)] if self.clash else [])]


class Both(luigi.WrapperTask):
    """Two tasks of one graph; with equal `words` one and the same."""

    source: str = luigi.Parameter()
    outfolder: str = luigi.Parameter()
    words: list[str] = luigi.ListParameter(default=["end", "stop"])

    def requires(self) -> list[luigi.Task]:
        return [self.clone(Joined, word=word) for word in self.words]
