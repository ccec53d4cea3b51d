"""How the parts of two fingerprints differ, in words.

Usage: `for line in difference(record.parts, parts): ...`

`parts` are those of `pipelines.product.freshness`: nested dictionaries with the keys task, version,
parameters, inputs and requires.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["difference", "without_inputs"]


def without_inputs(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return `parts`, and those of the required tasks in it, without the external inputs."""
    rest = {key: value for key, value in parts.items() if key != "inputs"}
    rest["requires"] = {
        name: without_inputs(each) for name, each in parts.get("requires", {}).items()
    }
    return rest


def difference(then: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield, in words, how the parts `now` differ from the recorded parts `then`."""
    name = now.get("task", "")
    prefix = f"{where}{name}: "
    if then.get("task") != name:
        yield f"{where}made by task {then.get('task')}, not {name}"
        return
    if then.get("version") != now.get("version"):
        yield f"{prefix}algorithm version {then.get('version')}, now {now.get('version')}"
    before, after = then.get("parameters", {}), now.get("parameters", {})
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield (f"{prefix}parameter {key} was {_said(before, key)}, is {_said(after, key)}")
    yield from _input_difference(then.get("inputs", {}), now.get("inputs", {}), prefix)
    before, after = then.get("requires", {}), now.get("requires", {})
    for key in sorted({*before, *after}):
        if key not in before or key not in after:
            task = (before.get(key) or after.get(key))["task"]
            yield f"{prefix}{'no longer' if key in before else 'now'} requires {task} ({key})"
        else:
            yield from difference(before[key], after[key], f"{where}{name} requires ")


def _input_difference(
    then: Mapping[str, Any], now: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for key in sorted({*then, *now}):
        if key not in then or key not in now:
            yield f"{prefix}input {key} {'is no longer read' if key in then else 'is new'}"
            continue
        before, after = then[key], now[key]
        if before["id"] != after["id"]:
            yield f"{prefix}input {key} was {before['id']!r}, is {after['id']!r}"
        for member in sorted({*before["members"], *after["members"]}):
            old, new = before["members"].get(member), after["members"].get(member)
            if old == new:
                continue
            if old is None or new is None:
                yield f"{prefix}input {key}: {member} {'is new' if old is None else 'is no longer'}"
            else:
                yield f"{prefix}input {key}: the bytes of {member} have changed"


def _said(parameters: Mapping[str, str], key: str) -> str:
    return repr(parameters[key]) if key in parameters else "not known"
