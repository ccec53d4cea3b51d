"""`RegisterWeights`: a name of their own for weights that were trained here.

Usage: `luigi --module pipelines RegisterWeights --weights run/unet.weights.h5 --name mine`

From then on `mine` stands for them wherever weights are asked for. The product is a folder in the
cache of weights: the file, its card, its table and its description for the fast runtime.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import luigi

from models.weights.registry import NAME, SUFFIX, TABLE, Checkpoint, read_registry, registry
from pipelines.checkpoint import CacheTask, registered_folder
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    Progress,
)

__all__ = ["NewNameParameter", "RegisterWeights"]

_LONGEST = 80

_log = logging.getLogger("luigi-interface.skysieve")


class NewNameParameter(luigi.Parameter):
    """A name for weights that is none of the registry's."""

    def parse(self, x: str) -> str:
        """Return the name."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the name. Raises `ValueError` for one that is taken or cannot be one."""
        if not NAME.fullmatch(x) or len(x) > _LONGEST:
            raise ValueError(
                f"expected a name of at most {_LONGEST} letters, digits, _ and -, not {x!r}"
            )
        if x.lower() in map(str.lower, registry()):
            raise ValueError(f"{x} is a name of the registry: choose another for your weights")
        return x


class RegisterWeights(CacheTask):
    """Give a name to weights that were trained here; a later registration replaces an earlier."""

    algorithm_version = 1
    located = ("weights",)

    weights: str = luigi.Parameter(
        description="file of weights that a training wrote, <network>.weights.h5; its card "
        "<network>.md and registry.toml lie beside it"
    )
    name: str = NewNameParameter(description="name for them, of letters, digits, _ and -")

    def output(self) -> ProductTarget:
        """`<cache>/registered/<name>`."""
        return ProductTarget(registered_folder() / self.name)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the weights and what lies beside them."""
        file = Path(self.weights)
        names = (file.name, f"{self._stem}.md", TABLE)
        return {"weights": FileInput(file.parent, names, (f"{self._stem}.npz",))}

    @property
    def _stem(self) -> str:
        name = Path(self.weights).name
        return name[: -len(SUFFIX)] if name.endswith(SUFFIX) else Path(name).stem

    def make(self, work: Path, progress: Progress) -> Description:
        """Copy weights and card, write the table, and describe the network for the fast runtime."""
        from models.weights.card import retitled
        from models.weights.loading import inspect_weights
        from models.weights.table import table_text

        source = Path(self.weights)
        found = self._found()
        summary = inspect_weights(source, sha256=found.sha256)
        (bands,) = {len(each) for each in found.bands.values()}
        if (summary.architecture, summary.bands) != (found.architecture, bands):
            raise ValueError(
                f"{source} holds {summary}, but {source.parent / TABLE} speaks of a "
                f"{found.architecture} for {bands} bands: take the table that was written with it"
            )
        suffix = SUFFIX if source.name.endswith(SUFFIX) else source.suffix
        work.mkdir()
        entry = replace(
            found, name=self.name, file=f"{self.name}{suffix}", urls=(), graph="", graph_sha256=""
        )
        shutil.copyfile(source, work / entry.file)
        if summary.normalisation != "instance":
            # One with statistics over the whole scene is described for each scene.
            progress(0.2, "describing the network")
            graph = f"{self.name}.npz"
            entry = replace(entry, graph=graph, graph_sha256=self._describe(found, work / graph))
        card = source.with_name(f"{self._stem}.md").read_text(encoding="utf-8")
        text = retitled(card, self._stem, self.name)
        (work / f"{self.name}.md").write_text(text, encoding="utf-8")
        (work / TABLE).write_text(table_text([entry]), encoding="utf-8")
        return Description(
            id=f"{entry.name}-{entry.digest}",
            properties={"license": entry.licence, "skysieve:checkpoint": entry.id},
            files={entry.file: Described(("weights",), title=f"{entry.architecture} {self.name}")},
        )

    def verify(self, work: Path) -> None:
        """Read all back as those do who use the name. Raises `ValueError` where that fails."""
        from models.inference.graph import load
        from models.weights.loading import inspect_weights

        entry = read_registry(work / TABLE)[self.name]
        inspect_weights(work / entry.file, sha256=entry.sha256)
        if entry.graph:
            load(work / entry.graph, weights=entry.sha256, sha256=entry.graph_sha256)

    def _found(self) -> Checkpoint:
        """Return what the table beside the weights says of them."""
        source = Path(self.weights)
        table = read_registry(source.parent / TABLE)
        found = next((each for each in table.values() if each.file == source.name), None)
        if found is None:
            raise ValueError(
                f"{source.parent / TABLE} says nothing of {source.name}: expected the table that a "
                "training wrote beside its weights, or one with the same keys"
            )
        return found

    def _describe(self, found: Checkpoint, out: Path) -> str:
        """Copy the description beside the weights, or write one; return its SHA-256."""
        from models.inference.graph import load
        from models.inference.loading import describe_elsewhere
        from pipelines.product.digests import sha256

        beside = found.folder / f"{self._stem}.npz"
        if found.graph == beside.name:
            try:
                load(beside, weights=found.sha256, sha256=found.graph_sha256)
                shutil.copyfile(beside, out)
                return found.graph_sha256
            except (OSError, ValueError) as error:
                _log.warning("%s; the network is described anew", error)
        describe_elsewhere(Path(self.weights), out)
        return sha256(out)
