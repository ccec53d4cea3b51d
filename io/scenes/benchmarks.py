"""The scenes of a published benchmark, found in its folder; no image is opened.

Usage:
    for each in benchmark_scenes(Path("l8biome"), "l8-biome"):
        each.truth, each.kind, each.scene, each.group, each.stratum

`each.kind` is what `scenes.class_raster.open_classes` opens `each.truth` as.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from scenes.benchmark_layout import (
    BAETENS_MAP,
    BAETENS_PARAMETERS,
    BIOMES,
    CATALOGUE_MASKS,
    CATALOGUE_SUBSCENES,
    SURFACES,
    letters,
)
from scenes.cloud38_layout import PATCH, is_patch, patch_file
from scenes.sparcs_layout import is_sub_scene, sub_scene_name

__all__ = ["BENCHMARKS", "Benchmark", "BenchmarkScene", "benchmark_scenes"]


@dataclass(frozen=True)
class BenchmarkScene:
    """One scene: `truth` is to be opened as `kind`; `scene` is what masks are made of, if there.

    `name` is unique in the benchmark. `group` is what was seen at once, such as path, row and date.
    `stratum` is the biome or the landscape, "" where nothing says it.
    """

    name: str
    truth: Path
    kind: str
    scene: Path | None
    group: str
    stratum: str = ""


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark is found; `expected` says what its folder looks like."""

    expected: str
    find: Callable[[Path], Iterable[BenchmarkScene]]


# Scene ids of before collections, and product ids since: path, row, and when.
_SCENE_ID = re.compile(r"LC8(\d{3})(\d{3})(\d{4})(\d{3})[A-Z]{3}\d{2}", re.IGNORECASE)
_PRODUCT_ID = re.compile(r"LC0[89]_L1\w\w_(\d{3})(\d{3})_(\d{8})_\w+", re.IGNORECASE)
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_FIXED_MASK = re.compile(r"(.+)_fixedmask\.(img|tif)", re.IGNORECASE)
_ENTIRE = re.compile(r"edited_corrected_gts_(.+)\.tif", re.IGNORECASE)
_SENTINEL2 = re.compile(r"S2[A-Z]_.*?(\d{8})T\d{6}.*_T(\d{2}[A-Z]{3})(?:_.*)?")
_TILE = re.compile(r"(?<![0-9A-Z])T?(\d{2}[A-Z]{3})(?![0-9A-Z])")
_DAY = re.compile(r"(?<!\d)(20\d{6})(?!\d)")
_SEED = re.compile(r"scene(\d+)(?:_|$)")


def benchmark_scenes(folder: Path, benchmark: str) -> tuple[BenchmarkScene, ...]:
    """Return the scenes of a benchmark of `BENCHMARKS` in `folder`, by name.

    Raises `FileNotFoundError` saying what was expected where there are none, `ValueError` for an
    unknown benchmark or two scenes of one name.
    """
    if benchmark not in BENCHMARKS:
        raise ValueError(f"no benchmark {benchmark!r}: expected {', '.join(BENCHMARKS)}")
    known = BENCHMARKS[benchmark]
    found = sorted(known.find(folder), key=lambda each: each.name) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no scene of {benchmark}: expected {known.expected}; unpack the whole "
            "set there, or give its folder"
        )
    for one, other in zip(found, found[1:], strict=False):
        if one.name == other.name:
            raise ValueError(
                f"{folder} holds {one.name} twice, at {one.truth} and {other.truth}: keep one"
            )
    return tuple(found)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield folders with the sorted names of folders and files in them, not what is in a SAFE.

    Links to folders are followed, each folder is looked into once.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        yield Path(place), sorted(folders), sorted(files)
        folders[:] = sorted(
            each
            for each in folders
            if not each.endswith(".SAFE") and os.path.realpath(Path(place, each)) not in seen
        )


def _biome(root: Path) -> Iterator[BenchmarkScene]:
    """Find scenes with their mask: folders, else archives of that name."""
    folders: dict[tuple[str, Path], bool] = {}
    archives: list[tuple[str, Path]] = []
    for place, _, files in _walk(root):
        for file in files:
            name = _without_archive(file)
            if mask := _FIXED_MASK.fullmatch(file):
                # torchgeo's file of all bands is no product that masks are made of.
                first = f"{mask[1]}_B2.tif".lower()
                folders[mask[1], place] = any(each.lower() == first for each in files)
            elif name and _SCENE_ID.fullmatch(name):
                archives.append((name, place / file))
    unpacked = {name for name, _ in folders}
    found = [(name, path, path if bands else None) for (name, path), bands in folders.items()]
    found += [(name, path, path) for name, path in archives if name not in unpacked]
    for name, path, scene in found:
        yield BenchmarkScene(name, path, "biome", scene, _landsat_group(name), _stratum(path, root))


def _stratum(path: Path, root: Path) -> str:
    """Return the biome that a folder above `path` is called, up to `root`."""
    for folder in path.absolute().parents:
        if letters(folder.name) in BIOMES:
            return BIOMES[letters(folder.name)]
        if folder == root.absolute():
            break
    return ""


def _cloud38(root: Path) -> Iterator[BenchmarkScene]:
    """Find labels of whole scenes, and the scenes by their names."""
    labels: dict[str, Path] = {}
    scenes: dict[str, Path] = {}
    for place, folders, files in _walk(root):
        for file in files:
            if match := _ENTIRE.fullmatch(file):
                labels[match[1]] = place / file
            elif name := _without_archive(file):
                scenes.setdefault(name, place / file)
        scenes |= {name: place / name for name in folders if _PRODUCT_ID.fullmatch(name)}
    for name, truth in labels.items():
        yield BenchmarkScene(name, truth, "38c", scenes.get(name), _landsat_group(name))


def _patches(root: Path) -> Iterator[BenchmarkScene]:
    """Find patches with labels."""
    for place, _, files in _walk(root):
        for file in files:
            path = place / file
            match = PATCH.fullmatch(file)
            if match and is_patch(path) and patch_file(path, "gt").is_file():
                day = datetime.strptime(match["day"], "%Y%m%d").date()
                group = f"{match['path']}{match['row']} {day}"
                yield BenchmarkScene(match[1], path, "38c patch", path, group)


def _sparcs(root: Path) -> Iterator[BenchmarkScene]:
    for place, _, files in _walk(root):
        for path in (place / file for file in files):
            if is_sub_scene(path):
                name = sub_scene_name(path)
                yield BenchmarkScene(name, path, "sparcs", path, _landsat_group(name))


def _baetens(root: Path) -> Iterator[BenchmarkScene]:
    """Find classification maps, and the products by tile and day, of several by name."""
    maps = []
    products: dict[str, list[Path]] = {}
    inner, file_name = BAETENS_MAP.split("/")
    for place, folders, files in _walk(root):
        if place.name == inner and file_name in files:
            maps.append(place.parent)
        for name in (*folders, *files):
            if name.endswith((".SAFE", ".zip")) and (group := _sentinel2_group(name)):
                products.setdefault(group, []).append(place / name)
    for scene in maps:
        group, product = _baetens_group(scene)
        near = products.get(group, [])
        exact = [path for path in near if product and path.name.startswith(product)]
        chosen = exact or near
        yield BenchmarkScene(
            scene.relative_to(root).as_posix() if scene != root else scene.absolute().name,
            scene,
            "baetens-hagolle",
            chosen[0] if len(chosen) == 1 else None,
            group,
        )


def _baetens_group(scene: Path) -> tuple[str, str]:
    """Return tile and day of a scene's folder, and the name of its product, "" if unknown."""
    file = scene / BAETENS_PARAMETERS
    if file.is_file():
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            day = datetime.strptime(str(told["cloudy_date"]), "%Y%m%d").date()
            tile = str(told["tile"]).removeprefix("T")
            return f"T{tile} {day}", str(told.get("cloudy_product_name", ""))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{file} does not say tile and cloudy_date ({error!r}): expected it as published"
            ) from error
    tile_found, day_found = _TILE.search(scene.name), _DAY.search(scene.name)
    if tile_found and day_found:
        day = datetime.strptime(day_found[1], "%Y%m%d").date()
        return f"T{tile_found[1]} {day}", ""
    return scene.name, ""


def _catalogue(root: Path) -> Iterator[BenchmarkScene]:
    for place, _, files in _walk(root):
        if place.name != CATALOGUE_MASKS:
            continue
        for file in files:
            if not file.endswith(".npy"):
                continue
            image = place.parent / CATALOGUE_SUBSCENES / file
            name = file.removesuffix(".npy")
            yield BenchmarkScene(
                name,
                place / file,
                "s2-catalogue",
                image if image.is_file() else None,
                _sentinel2_group(name) or name,
            )


def _simulated(root: Path, part: str, kind: str) -> Iterator[BenchmarkScene]:
    for place, _, files in _walk(root):
        if place.name != "truth" or "classes.tif" not in files:
            continue
        folder = place.parent
        products = sorted((folder / part).iterdir()) if (folder / part).is_dir() else []
        if len(products) != 1:
            raise ValueError(f"{folder / part} holds {len(products)} products: expected one")
        name = folder.absolute().name
        seed = _SEED.match(name)
        group = f"seed {int(seed[1])}" if seed else name
        path = products[0]
        yield BenchmarkScene(name, path, kind, path, group, _surface(folder.absolute()))


def _surface(folder: Path) -> str:
    """Return the landscape by a word in the folder's name, or by the record beside it."""
    named = [word for word in folder.name.split("_") if word in SURFACES]
    record = folder.with_name(f"{folder.name}.json")
    if named or not record.is_file():
        return named[0] if named else ""
    try:
        told = json.loads(record.read_text(encoding="utf-8"))["properties"]["skysieve:surface"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(told)


def _without_archive(name: str) -> str:
    """Return the name of an archive without its suffixes, "" for another file."""
    ending = next((each for each in _ARCHIVES if name.lower().endswith(each)), "")
    return name[: -len(ending)] if ending else ""


def _landsat_group(name: str) -> str:
    """Return path and row of WRS-2 and the day of a scene, the name where it does not say them."""
    if match := _SCENE_ID.match(name):
        path, row, year, day = match.groups()
        seen = date(int(year), 1, 1) + timedelta(int(day) - 1)
        return f"{path}{row} {seen}"
    if match := _PRODUCT_ID.match(name):
        seen = datetime.strptime(match[3], "%Y%m%d").date()
        return f"{match[1]}{match[2]} {seen}"
    return name


def _sentinel2_group(name: str) -> str:
    """Return tile and day of a product by its name, "" where it does not say them."""
    match = _SENTINEL2.fullmatch(name.removesuffix(".zip").removesuffix(".SAFE"))
    if match is None:
        return ""
    return f"T{match[2]} {datetime.strptime(match[1], '%Y%m%d').date()}"


_PATCHES = "folders train_red, train_green, ... and train_gt with files red_patch_*.TIF and so on"
BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "l8-biome": Benchmark(
            "folders LC8.../ with LC8..._fixedmask.img and .hdr (USGS) or .TIF (torchgeo), or "
            "LC8....tar.gz",
            _biome,
        ),
        "38-cloud": Benchmark(
            "Entire_scene_gts with files edited_corrected_gts_LC08_*.TIF", _cloud38
        ),
        "38-cloud patches": Benchmark(_PATCHES, _patches),
        "95-cloud patches": Benchmark(
            f"{_PATCHES}, or train_red_additional_to38cloud and so on", _patches
        ),
        "sparcs": Benchmark("files LC8..._data.tif with their labels and _mtl.txt", _sparcs),
        "baetens-hagolle": Benchmark(f"folders with {BAETENS_MAP}", _baetens),
        "s2-catalogue": Benchmark(
            f"{CATALOGUE_MASKS}/*.npy, {CATALOGUE_SUBSCENES}/*.npy and classification_tags.csv",
            _catalogue,
        ),
        "simulated": Benchmark(
            "folders that SimulateScenes made, with landsat/ and truth/classes.tif",
            lambda root: _simulated(root, "landsat", "simulated"),
        ),
        "simulated probav": Benchmark(
            "folders that SimulateScenes made, with probav/ and truth/classes.tif",
            lambda root: _simulated(root, "probav", "simulated probav"),
        ),
    }
)
