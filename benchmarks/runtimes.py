"""The detector of six bands on several runtimes: speed, memory, start-up, and whether they agree.

Usage: `python benchmarks/runtimes.py [--scene FOLDER] [--weights FILE] [--tiles 128,256,512]`

All walk over one image, the middle of a Landsat scene (default: one that is simulated), by
`models.inference.tiling` with the same tiles, margins and threads, each in a process of its own.
Pixels are those that tiles yield: margins cost time and are not counted. Start-up is from the
start of the process until the first tile is done. Decisions are compared with Keras's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert_pv import simulate
from measure import Run, machine, run

if TYPE_CHECKING:
    from models.inference.network import Predict, Stage

HERE = Path(__file__).resolve().parent
DETECTOR = "landsatbiomeRGBISWIR7"
BANDS, MARGIN = 6, 24
# What the table calls each runtime; the first is the one that the others are compared with.
TITLES = {
    "keras": "Keras `predict`",
    "tensorflow": "`tf.function`",
    "onnxruntime": "ONNX Runtime, exported by Keras",
    "exported": "OpenVINO, exported by Keras",
    "f32": "OpenVINO, described here, f32",
    "bf16": "OpenVINO, described here, bf16",
}


def main() -> None:
    """Prepare the image and the exported networks, run all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, help="Landsat product, such as a simulated one")
    parser.add_argument("--side", type=int, default=2048, help="pixels of the image's side")
    parser.add_argument("--weights", type=Path, help=f"default: {DETECTOR}, fetched if needed")
    parser.add_argument("--tiles", default="128,256,512", help="sides of what tiles yield")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        scene = options.scene or simulate(work, str(options.side), full=True)
        image = work / "image.f32"
        make = [sys.executable, str(HERE / "mask_inputs.py"), "window", str(scene), str(image)]
        subprocess.run([*make, str(options.side)], check=True)
        common = {
            "work": name, "side": options.side, "threads": options.threads,
            "weights": str(options.weights or ""),
        }  # fmt: skip
        prepared = start({**common, "runtime": "prepare"}).answer()
        common |= {"weights": prepared["weights"], "neutral": prepared["neutral"]}
        for line in prepared["left out"].values():
            print(f"Left out: {line}")

        rows, kept = [], {}
        for tile in (int(each) for each in options.tiles.split(",")):
            for runtime in (each for each in TITLES if each not in prepared["left out"]):
                found = work / f"{runtime}_{tile}.f32"
                asked = {**common, "runtime": runtime, "tile": tile, "found": str(found)}
                rows.append((runtime, tile, [start(asked) for _ in range(options.runs)]))
                kept[runtime, tile] = found
        title = f"{options.side} x {options.side} pixels, {options.threads} threads, {machine()}"
        print(f"\n{title}, median of {options.runs}\n")
        print("| runtime | tile | useful Mpx/s | peak memory | until the first tile | "
              "other decisions | greatest difference |\n|---|---|---|---|---|---|---|")  # fmt: skip
        for runtime, tile, runs in rows:
            answers = [each.answer() for each in runs]
            speed = options.side**2 / 1e6 / statistics.median(a["seconds"] for a in answers)
            first = statistics.median(a["first"] for a in answers)
            peak = max(each.peak_mib for each in runs)
            agreement = compared(kept[runtime, tile], kept["keras", tile])
            print(f"| {TITLES[runtime]} | {tile} | {speed:.1f} | {peak:.0f} MiB | {first:.1f} s | "
                  f"{agreement} |")  # fmt: skip


def start(asked: dict[str, Any]) -> Run:
    """Run what is asked for in a process of its own."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    asked = {**asked, "started": time.time()}
    return run([sys.executable, str(HERE / "runtimes.py"), "--child", json.dumps(asked)])


def compared(one: Path, other: Path) -> str:
    """Return two cells: the share of decisions at 0.5 that differ, and the greatest difference."""
    # Imported when all is measured: this process stays small until then.
    import numpy as np

    a, b = (np.fromfile(path, np.float32) for path in (one, other))
    return f"{100 * np.mean((a >= 0.5) != (b >= 0.5)):.4f} % | {np.abs(a - b).max():.1e}"


def child(asked: dict[str, Any]) -> None:
    """Prepare, or walk over the image with one runtime, and print what was found as JSON."""
    if asked["runtime"] == "prepare":
        print("\n" + json.dumps(prepare(asked)))
        return
    import numpy as np

    from models.inference.network import Network
    from models.inference.tiling import predict
    from scenes.grid import Rows

    class Image:
        """The image's file, read row by row."""

        shape = (asked["side"], asked["side"])

        def read(self, rows: Rows, out: Any) -> Any:
            path, row = Path(asked["work"]) / "image.f32", 4 * asked["side"] * BANDS
            values = np.fromfile(path, np.float32, out.size, offset=row * rows.start)
            out[...] = values.reshape(out.shape)
            return np.zeros(out.shape[:2], np.bool_)

    first: list[float] = []
    ready: list[float] = []

    class Warm:
        """A runtime whose first tile is done before it is ready."""

        def prepare(self, shape: tuple[int, int], margin: int, jobs: int) -> Predict:
            function = stage.runtime.prepare(shape, margin, jobs)
            function(np.zeros((*(side + 2 * margin for side in shape), BANDS), np.float32))
            first.append(time.time() - asked["started"])
            ready.append(time.perf_counter())
            return function

    stage = RUNTIMES[asked["runtime"]](asked)
    network = Network((type(stage)(**{**vars(stage), "runtime": Warm()}),))
    if stage.margin != MARGIN:
        raise ValueError(f"expected a margin of {MARGIN} pixels, not {stage.margin}")
    # Keras's own loop is for one thread.
    jobs = 1 if asked["runtime"] == "keras" else asked["threads"]
    with Path(asked["found"]).open("wb") as file:
        predict(Image(), network, lambda rows, found, _: found.tofile(file),
                tile=asked["tile"], jobs=jobs)  # fmt: skip
    print("\n" + json.dumps({"first": first[0], "seconds": time.perf_counter() - ready[0]}))


def prepare(asked: dict[str, Any]) -> dict[str, Any]:
    """Fetch the weights, export the network, and describe it; say what cannot be run."""
    import keras
    import openvino

    from models.weights.loading import network_for

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"expected Keras on TensorFlow, not on {keras.backend.backend()}")
    weights, missing = asked["weights"], {}
    if not weights:
        import luigi

        from pipelines.checkpoint import FetchCheckpoint

        fetched = FetchCheckpoint(name=DETECTOR)
        luigi.build([fetched], local_scheduler=True, log_level="WARNING")
        weights = str(fetched.product)
    model = network_for(Path(weights))
    neutral = ours({**asked, "weights": weights}, "f32").neutral
    model.export(f"{asked['work']}/network.xml", format="openvino", verbose=False)
    absent = [each for each in ("onnxruntime", "tf2onnx") if find_spec(each) is None]
    if absent:
        missing["onnxruntime"] = f"ONNX Runtime: {' and '.join(absent)} not installed"
    else:
        model.export(f"{asked['work']}/network.onnx", format="onnx", verbose=False)
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        missing["bf16"] = "bf16: this processor does not have it"
    return {"weights": weights, "neutral": neutral.tolist(), "left out": missing}


def ours(asked: dict[str, Any], precision: Any, runtime: Any = "openvino") -> Stage:
    """Return the stage that the tasks run."""
    from models.inference.loading import Settings, load_stage

    cache = Path(asked["work"]) / "cache"
    settings = Settings(runtime, precision, "cpu", asked["threads"], cache)
    return load_stage(Path(asked["weights"]), "detector", BANDS, settings)


def with_tensorflow(asked: dict[str, Any]) -> Stage:
    """Return the stage of the tasks' runtime tensorflow."""
    limit_tensorflow(asked)
    return ours(asked, "f32", "tensorflow")


def limit_tensorflow(asked: dict[str, Any]) -> None:
    """Let TensorFlow use so many threads."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(asked["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(asked["threads"])


def with_keras(asked: dict[str, Any]) -> Stage:
    """Return the network in Keras's own loop, a tile a call."""
    limit_tensorflow(asked)
    from models.weights.loading import network_for

    model = network_for(Path(asked["weights"]))
    return foreign(asked, lambda _: lambda tile: model.predict(tile, verbose=0))


def with_onnxruntime(asked: dict[str, Any]) -> Stage:
    """Return Keras's export in ONNX Runtime: a thread for each tile, as many tiles as threads."""
    import onnxruntime

    choices = onnxruntime.SessionOptions()
    choices.intra_op_num_threads = choices.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        f"{asked['work']}/network.onnx", choices, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return foreign(asked, lambda _: lambda tile: session.run(None, {name: tile})[0])


def with_exported(asked: dict[str, Any]) -> Stage:
    """Return Keras's export in OpenVINO, with the settings that the tasks use."""
    import threading

    import openvino

    core = openvino.Core()
    model = core.read_model(f"{asked['work']}/network.xml")
    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": asked["threads"], "INFERENCE_NUM_THREADS": asked["threads"],
    }  # fmt: skip

    def compiled(sides: list[int]) -> Callable[[Any], Any]:
        model.reshape([1, *sides, BANDS])
        network, own = core.compile_model(model, "CPU", settings), threading.local()

        def call(tile: Any) -> Any:
            if not hasattr(own, "request"):
                own.request = network.create_infer_request()
            return own.request.infer({0: tile}, share_inputs=True, share_outputs=True)[0]

        return call

    return foreign(asked, compiled)


def foreign(
    asked: dict[str, Any], compile_for: Callable[[list[int]], Callable[[Any], Any]]
) -> Stage:
    """Return a stage of what takes and gives whole tiles, `(1, height, width, bands)`."""
    import numpy as np

    from models.inference.network import Stage

    class Whole:
        """Cuts the margin off."""

        def prepare(self, shape: tuple[int, int], margin: int, jobs: int) -> Predict:
            call = compile_for([side + 2 * margin for side in shape])
            inner = tuple(slice(margin, margin + side) for side in shape)
            return lambda tile: np.asarray(call(tile[np.newaxis])[0][inner])

    # What lies outside of the image counts as invalid, and is fed as this network's neutral input.
    return Stage(Whole(), "unet", BANDS, 1, MARGIN - 1, 4, np.float32(asked["neutral"]))


RUNTIMES: dict[str, Callable[[dict[str, Any]], Stage]] = {
    "keras": with_keras,
    "tensorflow": with_tensorflow,
    "onnxruntime": with_onnxruntime,
    "exported": with_exported,
    "f32": lambda asked: ours(asked, "f32"),
    "bf16": lambda asked: ours(asked, "bf16"),
}


if __name__ == "__main__":
    main()
