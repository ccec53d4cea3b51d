"""Luigi tasks of skysieve; importing them fills in what Luigi's configuration leaves open."""

from pipelines.adapt import InferenceDA
from pipelines.apply_mask import ApplyMask
from pipelines.checkpoint import FetchCheckpoint
from pipelines.cloud_masks import CloudMasks
from pipelines.convert import ConvertPV
from pipelines.demo import Demo
from pipelines.events import register
from pipelines.masks import CloudMaskL8, CloudMaskPV, CloudMaskS2
from pipelines.picture import PicturePV
from pipelines.settings import fill_in
from pipelines.simulate import SimulateScenes

__all__ = [
    "ApplyMask",
    "CloudMaskL8",
    "CloudMaskPV",
    "CloudMaskS2",
    "CloudMasks",
    "ConvertPV",
    "Demo",
    "FetchCheckpoint",
    "InferenceDA",
    "PicturePV",
    "SimulateScenes",
]

fill_in()
register()
