"""Luigi tasks of skysieve; importing them fills in what Luigi's configuration leaves open."""

from pipelines.convert import ConvertPV
from pipelines.demo import Demo
from pipelines.events import register
from pipelines.picture import PicturePV
from pipelines.settings import fill_in
from pipelines.simulate import SimulateScenes

__all__ = ["ConvertPV", "Demo", "PicturePV", "SimulateScenes"]

fill_in()
register()
