"""Runs described networks with OpenVINO, on the processor or what else it finds.

Usage: `OpenVinoRuntime(graph, precision="f32", threads=2).prepare((256, 256), 24, jobs=2)(tile)`
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import openvino
from numpy.typing import NDArray

from models.inference.graph import Graph
from models.inference.network import Precision, Predict
from models.inference.openvino_graph import tile_model
from models.inference.openvino_whole import whole_model

__all__ = ["OpenVinoRuntime"]


@dataclass(frozen=True)
class OpenVinoRuntime:
    """A network in OpenVINO; `device` is one of its names ("CPU", "GPU").

    `precision` is that of the arithmetic: "f32", or "bf16" where the processor has it.
    """

    tile: ClassVar[int] = 128

    graph: Graph
    precision: Precision = "f32"
    threads: int = 1
    device: str = "CPU"

    def prepare(self, shape: tuple[int, int], margin: int, jobs: int) -> Predict:
        """Return the function for tiles that yield `shape`; `jobs` threads may call it at once.

        What it returns is valid until the same thread calls it again. Raises `ValueError` where
        the device is not there.
        """
        predict = self._compiled(tile_model(self.graph, shape, margin), jobs)
        # The first exchange of arrays in a process must not be two threads' at once: the bindings
        # wait for each other then, one for the interpreter's lock, one for their own.
        sides = (shape[0] + 2 * margin, shape[1] + 2 * margin)
        predict(np.zeros((*sides, self.graph.bands), np.float32))
        return predict

    def whole(self, shape: tuple[int, int], jobs: int) -> Predict:
        """Return the function for whole images of `shape`, padded as in the network's training.

        Otherwise it is as that of `prepare`. Raises `ValueError` too for sides that are not
        multiples of the network's stride.
        """
        predict = self._compiled(whole_model(self.graph, shape), jobs)
        predict(np.zeros((*shape, self.graph.bands), np.float32))
        return predict

    def _compiled(self, model: openvino.Model, jobs: int) -> Predict:
        core = openvino.Core()
        if not any(name.split(".")[0] == self.device for name in core.available_devices):
            raise ValueError(
                f"OpenVINO finds no {self.device} here, only {', '.join(core.available_devices)}: "
                "choose another --device"
            )
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": self.precision,
            "NUM_STREAMS": jobs,
        }
        if self.device == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
        compiled = core.compile_model(model, self.device, settings)
        own = threading.local()

        def predict(tile: NDArray[np.float32]) -> NDArray[np.float32]:
            if not hasattr(own, "request"):
                own.request = compiled.create_infer_request()
            found = own.request.infer({0: tile[np.newaxis]}, share_inputs=True, share_outputs=True)
            result: NDArray[np.float32] = found[0][0]
            return result

        return predict
