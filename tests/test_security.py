"""What SECURITY.md promises of the source, looked up in the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipelines", "models", "io/scenes", "benchmarks")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
SOURCES.append(ROOT / "setup.py")

# Their readers run what the file says.
MODULES = {
    "cPickle", "cloudpickle", "dill", "ftplib", "joblib", "jsonpickle", "lxml", "marshal", "pickle",
    "shelve", "telnetlib", "xml.dom", "xmlrpc",
}  # fmt: skip
_XML = ("fromstring", "fromstringlist", "parse", "iterparse", "XML", "XMLParser", "XMLPullParser")
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "shutil.unpack_archive", "yaml.load", "yaml.unsafe_load",
    "tempfile.mktemp", "ssl._create_unverified_context", "pandas.read_pickle",
    "xml.sax.parse", "xml.sax.parseString", "xml.sax.make_parser",
    # Those of defusedxml refuse entities.
    *(f"xml.etree.ElementTree.{each}" for each in _XML),
}  # fmt: skip
METHODS = {"extract", "extractall", "read_pickle", "to_pickle", "load_model"}


def offences(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and reason for what must not stand in `source`."""
    tree = ast.parse(source)
    names = dict(_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, f"imports {name}") for name in _imported(node) if _bad(name))
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, reason) for reason in _call(node, names))


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield names in the file, and what they stand for: `np` for `numpy`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.asname, a.name) for a in node.names if a.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _bad(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in MODULES)


def _called(node: ast.AST, names: dict[str, str]) -> str:
    """Return the dotted name of what is called, with the names of the imports resolved."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_called(node.value, names)}.{node.attr}"
    return ""


def _call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _called(node.func, names)
    given = {word.arg: word.value for word in node.keywords}
    if name in CALLS:
        yield f"calls {name}"
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield f"calls .{node.func.attr}()"
    shell = given.get("shell")
    if shell is not None and not _is(shell, False):
        yield f"calls {name} with a shell"
    if "verify" in given and _is(given["verify"], False) and not name.endswith("clone"):
        yield f"{name} does not verify certificates"
    if name == "numpy.load" and not _is(given.get("allow_pickle"), False):
        yield "numpy.load without allow_pickle=False"
    if name == "rasterio.open" and _reads(node, given) and "driver" not in given:
        yield "rasterio.open for reading without driver="


def _is(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _reads(node: ast.Call, given: dict[str | None, ast.expr]) -> bool:
    mode = node.args[1] if len(node.args) > 1 else given.get("mode")
    return mode is None or not (isinstance(mode, ast.Constant) and str(mode.value).startswith("w"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_runs_nothing_that_a_file_says(path):
    assert not [f"line {line}: {reason}" for line, reason in offences(path.read_text())]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import xml.etree.ElementTree as ET; ET.parse(path)",
        "from xml.etree import ElementTree; ElementTree.fromstring(text)",
        "from xml.etree.ElementTree import XML; XML(text)",
        "eval(text)",
        "import os; os.system(text)",
        "from os import system; system(text)",
        "import subprocess as s; s.run(text, shell=True)",
        "import subprocess as s; s.run(text, shell=asked)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "from numpy import load; load(path)",
        "import yaml; yaml.load(text)",
        "session.get(address, verify=False)",
        "tarfile.open(path).extractall(folder)",
        "zipfile.ZipFile(path).extract(name)",
        "import shutil; shutil.unpack_archive(path)",
        "import rasterio; rasterio.open(path)",
        "import rasterio; rasterio.open(path, 'r+')",
        "import rasterio; rasterio.open(path, mode=mode)",
        "import keras; keras.models.load_model(path)",
    ],
)
def test_this_test_sees(line):
    assert list(offences(line)), line


@pytest.mark.parametrize(
    "line",
    [
        "import re; re.compile(text)",
        "from xml.etree.ElementTree import Element",
        "from defusedxml.ElementTree import fromstring; fromstring(text)",
        "import numpy as np; np.load(path, allow_pickle=False)",
        "import subprocess; subprocess.run([command], check=True)",
        "import rasterio; rasterio.open(path, 'w', **profile)",
        "import rasterio; rasterio.open(path, driver='GTiff')",
    ],
)
def test_this_test_lets_through(line):
    assert not list(offences(line)), line
