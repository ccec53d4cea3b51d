"""A step of the adaptation's training beside a yardstick, and the input pipeline alone.

Usage: `python benchmarks/training_step.py [WORK] [--steps 6] [--runs 3] [--patches 2000]`

The yardstick is the arithmetic of the published step, written plainly: layers are called as Keras
does, one persistent tape, and a call for the gradient of each network. Each figure is of a process
of its own, all of one run in turn. WORK keeps the file of patches.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from measure import Run, machine, run

SIZE, BANDS = 64, 4
WIDTH, JUDGE_WIDTH = 64, 8
# Before those that are measured: the first one compiles.
WARM_UP = 2
# Sides of the matrices by which the processor's peak is measured, and how often.
MATRIX, PRODUCTS = 3072, 5
STEPS = {
    "ours": "our step, float32",
    "mixed": "our step, `--precision mixed`",
    "plain": "yardstick: the published arithmetic, plainly",
}
READS = {
    "input": "batches, augmented, from memory that holds the file",
    "cold": "batches, augmented, after the file was dropped from memory",
}


def main() -> None:
    """Run all in turn, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, nargs="?", help="folder that keeps the patches")
    parser.add_argument("--steps", type=int, default=6, help="that are measured in a process")
    parser.add_argument("--runs", type=int, default=3, help="processes of each kind")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--patches", type=int, default=2000, help="pairs in the file")
    parser.add_argument(
        "--without-mixed", action="store_true", help="which takes minutes where it is emulated"
    )
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        answer = ALONE[options.alone](options)
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        options.work = options.work or Path(folder)
        options.work.mkdir(parents=True, exist_ok=True)
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure, and print."""
    steps = {kind: title for kind, title in STEPS.items()
             if kind != "mixed" or not options.without_mixed}  # fmt: skip
    kinds = ["peak", *steps, *READS]
    command = [sys.executable, __file__, str(options.work), "--steps", str(options.steps)]
    command += ["--batch", str(options.batch), "--patches", str(options.patches)]
    run([*command, "--alone", "write"])
    done: dict[str, list[Run]] = {kind: [] for kind in kinds}
    for _ in range(options.runs):
        for kind, runs in done.items():
            runs.append(run([*command, "--alone", kind]))

    def middle(kind: str, key: str) -> float:
        return statistics.median(each.answer()[key] for each in done[kind])

    peak = middle("peak", "gflops")
    print(f"{machine()}; float32 matrices: {peak:.0f} GFLOP/s")
    print(
        f"\nBatches of {options.batch} pairs of {SIZE} x {SIZE} x {BANDS}, generators of {WIDTH}, "
        f"discriminators of {JUDGE_WIDTH} filters; median of {options.steps} steps, and of "
        f"{options.runs} processes (least-greatest)\n"
    )
    print("| step | wall | processor | first step | peak memory | of the yardstick's wall |")
    print("|---|---|---|---|---|---|")
    plain = middle("plain", "wall")
    for kind, title in steps.items():
        wall = [each.answer()["wall"] for each in done[kind]]
        memory = max(each.peak_mib for each in done[kind])
        print(
            f"| {title} | {statistics.median(wall):.2f} s ({min(wall):.2f}-{max(wall):.2f}) | "
            f"{middle(kind, 'cpu'):.2f} s | {middle(kind, 'first'):.1f} s | {memory:.0f} MiB | "
            f"{statistics.median(wall) / plain:.2f} |"
        )
    print(f"\nours / yardstick: {middle('ours', 'wall') / plain:.2f}")
    print("\n| input | pairs/s | MB/s | peak memory |\n|---|---|---|---|")
    for kind, title in READS.items():
        memory = max(each.peak_mib for each in done[kind])
        print(
            f"| {title} | {middle(kind, 'pairs'):.0f} | {middle(kind, 'megabytes'):.0f} | "
            f"{memory:.0f} MiB |"
        )
    share = middle("ours", "wall") * middle("cold", "pairs") / options.batch
    print(f"\ncold input / what our step takes: {share:.0f}")


def measured(step: Callable[[], object], steps: int) -> dict[str, float]:
    """Return wall and processor seconds of a step: of the first one, and medians of later ones."""
    wall, cpu = [], []
    for _ in range(WARM_UP + steps):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        step()
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu.append(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        )  # fmt: skip
    return {
        "first": wall[0],
        "wall": statistics.median(wall[WARM_UP:]),
        "cpu": statistics.median(cpu[WARM_UP:]),
    }


def images(batch: int) -> dict[str, Any]:
    """Return a batch, of two looks."""
    import numpy as np

    draw = np.random.default_rng(1)
    shape = (batch, SIZE, SIZE, BANDS)
    return {
        "PV": 0.5 * draw.random(shape, np.float32) + 0.1,
        "LU": 0.3 * draw.random(shape, np.float32) + 0.4,
    }


def ours(options: argparse.Namespace, precision: str = "f32") -> dict[str, float]:
    """Measure our step."""
    from models.networks.unet import build_unet
    from models.training.cyclegan import CycleGAN, Options
    from models.training.device import prepare

    chosen: Any = precision
    settings = Options(
        width=WIDTH, discriminator_width=JUDGE_WIDTH, precision=prepare(1, chosen)
    )  # fmt: skip
    learner = CycleGAN(BANDS, build_unet(BANDS), settings)
    batch = images(options.batch)
    return measured(lambda: learner.step(batch), options.steps)


def plain(options: argparse.Namespace) -> dict[str, float]:
    """Measure the published arithmetic (A2 of the formulas in `models.training.cyclegan`)."""
    import keras
    import tensorflow as tf

    from models.networks.discriminator import build_discriminator
    from models.networks.generator import build_generator
    from models.networks.unet import build_unet

    keras.utils.set_random_seed(1)
    to_l8, to_pv = (build_generator(BANDS, width=WIDTH) for _ in range(2))
    judge_l8, judge_pv = (build_discriminator(BANDS, width=JUDGE_WIDTH) for _ in range(2))
    detector = build_unet(BANDS)
    networks = (to_l8, to_pv, judge_l8, judge_pv)
    optimizers = [keras.optimizers.Adam(1e-4, beta_1=0.5) for _ in networks]
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)

    def entropy(truth: float, logits: Any) -> Any:
        labels = truth * tf.ones_like(logits)
        found = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        return tf.reduce_mean(found)

    def absolute(one: Any, other: Any) -> Any:
        return tf.reduce_mean(tf.abs(one - other))

    def divergence(one: Any, other: Any) -> Any:
        p, q = (tf.clip_by_value(each, 1e-6, 1 - 1e-6) for each in (one, other))
        return tf.reduce_mean(
            p * tf.math.log(p / q) + (1 - p) * tf.math.log((1 - p) / (1 - q))
        )  # fmt: skip

    def penalty(judge: Any, real: Any) -> Any:
        with tf.GradientTape() as inner:
            inner.watch(real)
            mean = tf.reduce_mean(judge(real, training=False))
        slope = tf.reshape(inner.gradient(mean, real), [tf.shape(real)[0], -1])
        return tf.reduce_mean(tf.reduce_sum(slope**2, axis=1))

    @tf.function
    def update(pv: Any, lu: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            as_l8, as_pv = to_l8(pv, training=True), to_pv(lu, training=True)
            lu_again, pv_again = to_l8(as_pv, training=True), to_pv(as_l8, training=True)
            real_l8, false_l8 = tf.split(judge_l8(tf.concat([lu, as_l8], 0), training=True), 2)
            real_pv, false_pv = tf.split(judge_pv(tf.concat([pv, as_pv], 0), training=True), 2)
            cycle = absolute(pv, pv_again) + absolute(lu, lu_again)
            clouds = [detector(each, training=False) for each in (pv, as_l8, lu, as_pv)]
            losses = (
                entropy(1, false_l8) + 5 * absolute(pv, as_l8) + 5 * cycle
                + divergence(clouds[0], clouds[1]),
                entropy(1, false_pv) + 5 * absolute(lu, as_pv) + 5 * cycle
                + divergence(clouds[2], clouds[3]),
                0.5 * (entropy(1, real_l8) + entropy(0, false_l8)) + 10 * penalty(judge_l8, lu),
                0.5 * (entropy(1, real_pv) + entropy(0, false_pv)) + 10 * penalty(judge_pv, pv),
            )  # fmt: skip
        for network, optimizer, loss in zip(networks, optimizers, losses, strict=True):
            trained = network.trainable_variables
            optimizer.apply(tape.gradient(loss, [each.value for each in trained]), trained)
        return losses

    batch = {name: tf.constant(values) for name, values in images(options.batch).items()}
    return measured(
        lambda: [float(loss) for loss in update(batch["PV"], batch["LU"])], options.steps
    )


def gflops(options: argparse.Namespace) -> dict[str, float]:
    """Return what float32 matrices are multiplied with at best, in 10^9 operations a second."""
    import numpy as np

    one = np.random.default_rng(1).standard_normal((MATRIX, MATRIX), np.float32)
    out, best = np.empty_like(one), float("inf")
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        np.matmul(one, one, out=out)
        best = min(best, time.perf_counter() - start)
    return {"gflops": 2e-9 * MATRIX**3 / best}


def data(options: argparse.Namespace) -> Path:
    """Return the path of the file of pairs."""
    return Path(options.work / f"pairs_{options.patches}.hdf5")


def write(options: argparse.Namespace) -> dict[str, float]:
    """Write the file of pairs, if it is not there."""
    import numpy as np

    from scenes.patches import PatchArray, Split, create_patches
    from scenes.probav_layout import BANDS as NAMES

    path, partial = data(options), options.work / "pairs.partial"
    if path.exists():
        return {}
    partial.unlink(missing_ok=True)
    arrays = {name: PatchArray((SIZE, SIZE, BANDS)) for name in ("PV", "LU")}
    with create_patches(partial, arrays, bands=NAMES, attributes={}) as out:
        scene = out.add_scene(name="one", group="one")
        for start in range(0, options.patches, options.batch):
            count = min(options.batch, options.patches - start)
            out.add(scene, images(count), row=np.arange(count))
        out.assign({"one": Split.TRAIN})
    partial.replace(path)
    return {}


def read(options: argparse.Namespace, *, cold: bool = False) -> dict[str, float]:
    """Measure an epoch of batches, and nothing done with them."""
    from models.training.batches import batches
    from scenes.patches import Split, open_patches

    path = data(options)
    with path.open("rb") as file:
        if cold:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while file.read(2**24):
                pass
    with open_patches(path, ("PV", "LU")) as patches:
        chosen = patches.where(Split.TRAIN)
        start, pairs = time.perf_counter(), 0
        with closing(batches(patches, chosen, batch_size=options.batch, seed=1, epoch=0)) as found:
            for batch in found:
                pairs += len(batch["PV"])
        seconds = time.perf_counter() - start
    return {
        "pairs": pairs / seconds,
        "megabytes": pairs * 2 * SIZE * SIZE * BANDS * 4 / seconds / 1e6,
    }


ALONE: Mapping[str, Callable[[argparse.Namespace], Mapping[str, float]]] = {
    "write": write,
    "peak": gflops,
    "ours": ours,
    "mixed": lambda options: ours(options, "mixed"),
    "plain": plain,
    "input": read,
    "cold": lambda options: read(options, cold=True),
}

if __name__ == "__main__":
    main()
