"""The network of cloud removal at its published size: a forward pass, and a step of its training.

Usage: `python benchmarks/removal.py [--blocks 16] [--features 256] [--steps 2] [--runs 1]`

Each figure is of a process of its own. The forward pass is of one patch of 256 x 256 pixels, by
both runtimes; a step is of crops of 128 x 128. `--spread` adds the head that tells how far off the
network may be.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from measure import Run, machine, run

PATCH, CROP = 256, 128
FORWARD = {"openvino": "OpenVINO, f32", "bf16": "OpenVINO, bf16", "tensorflow": "TensorFlow, f32"}


def main() -> None:
    """Run all in turn, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2, help="that are measured in a process")
    parser.add_argument("--runs", type=int, default=1, help="processes of each kind")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2], help="crops of a step")
    parser.add_argument("--spread", action="store_true", help="with the head of the spread")
    parser.add_argument("--forward", nargs="*", choices=tuple(FORWARD), default=tuple(FORWARD))
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        sys.stdout.write(json.dumps(ALONE[options.alone](options)) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        options.weights = Path(folder) / "network.weights.h5"
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure, and print."""
    command = [sys.executable, __file__, "--weights", str(options.weights)]
    for name in ("blocks", "features", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    command += ["--spread"] if options.spread else []
    load = os.getloadavg()[0]
    made = run([*command, "--alone", "write"]).answer()
    print(f"{machine()}; load before: {load:.1f}")
    print(
        f"\n{options.blocks} blocks of {options.features} features, {made['trained']:,} trained "
        f"parameters; median of {options.steps}, and of {options.runs} processes\n"
    )
    columns = "first | later | processor | whole process | peak memory |"
    print(f"| a patch of {PATCH} x {PATCH} | {columns}\n|---|---|---|---|---|---|")
    for kind in options.forward:
        done = [run([*command, "--alone", kind]) for _ in range(options.runs)]
        print(f"| {FORWARD[kind]} | {_row(done)} |")
    print(f"\n| a step, crops of {CROP} x {CROP} | {columns}\n|---|---|---|---|---|---|")
    for batch in options.batches:
        each = [*command, "--batch", str(batch), "--alone", "step"]
        done = [run(each) for _ in range(options.runs)]
        print(f"| batch of {batch} | {_row(done)} |")
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


def _row(done: list[Run]) -> str:
    first, later, cpu = (
        statistics.median(each.answer()[key] for each in done) for key in ("first", "later", "cpu")
    )
    wall = statistics.median(each.seconds for each in done)
    memory = max(each.peak_mib for each in done)
    return f"{first:.1f} s | {later:.1f} s | {cpu:.1f} s | {wall:.1f} s | {memory:,.0f} MiB"


def measured(call: Callable[[], object], times: int) -> dict[str, float]:
    """Return wall seconds of the first call, and medians of later ones: wall and processor."""
    wall, cpu = [], []
    for _ in range(1 + times):
        start, before = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - before)
    later = statistics.median(wall[1:])
    return {"first": wall[0], "later": later, "cpu": statistics.median(cpu[1:])}


def network(options: argparse.Namespace) -> Any:
    """Return the network, with random weights."""
    import keras

    from models.networks.dsen2cr import build_dsen2cr

    keras.utils.set_random_seed(1)
    return build_dsen2cr(blocks=options.blocks, features=options.features, spread=options.spread)


def images(count: int, size: int) -> dict[str, Any]:
    """Return a batch, some of which is bright."""
    import numpy as np

    draw = np.random.default_rng(1)
    clear = draw.uniform(0.02, 0.4, (count, size, size, 13)).astype(np.float32)
    cloudy = clear.copy()
    cloudy[:, : size // 2] += 0.5
    sar = draw.normal((-10, -17), 3, (count, size, size, 2)).astype(np.float32)
    return {"cloudy": cloudy, "clear": clear, "sar": sar}


def write(options: argparse.Namespace) -> dict[str, float]:
    """Write weights and their description, for the other processes."""
    from models.inference.loading import write as describe
    from models.weights.saving import save_weights

    model = network(options)
    save_weights(model, options.weights)
    describe(options.weights, options.weights.with_name("network.npz"))
    trained = sum(int(each.numpy().size) for each in model.trainable_variables)
    return {"trained": trained}


def forward(options: argparse.Namespace, runtime: str, precision: str = "f32") -> dict[str, float]:
    """Measure the forward pass of a patch, margins included, as scenes are predicted."""
    import numpy as np

    from models.inference.loading import GraphFile, Settings, load_stage
    from models.removal.inputs import network_input
    from pipelines.product.digests import sha256

    given = images(1, PATCH)
    graph = options.weights.with_name("network.npz")
    chosen: Any = runtime
    arithmetic: Any = precision
    stage = load_stage(
        options.weights, "remover", 15,
        Settings(chosen, arithmetic, threads=os.cpu_count() or 1),
        graph=GraphFile(graph, sha256(graph)),
    )  # fmt: skip
    image = network_input(given["cloudy"], given["sar"])[0]
    # What lies beyond the patch: the same once more.
    tile = np.pad(image, [(stage.margin, stage.margin)] * 2 + [(0, 0)], mode="reflect")
    predict = stage.prepare((PATCH, PATCH), 1)
    valid = np.zeros(tile.shape[:2], np.bool_)
    return measured(lambda: predict(tile, valid), options.steps)


def step(options: argparse.Namespace) -> dict[str, float]:
    """Measure a step of the training."""
    from models.training.device import prepare
    from models.training.removal import Options, Removal

    prepare(1, "f32")
    learner = Removal(network(options), Options())
    batch = images(options.batch, CROP)
    return measured(lambda: learner.step(batch), options.steps)


ALONE: Mapping[str, Callable[[argparse.Namespace], Mapping[str, float]]] = {
    "write": write,
    "openvino": lambda options: forward(options, "openvino"),
    "bf16": lambda options: forward(options, "openvino", "bf16"),
    "tensorflow": lambda options: forward(options, "tensorflow"),
    "step": step,
}

if __name__ == "__main__":
    main()
