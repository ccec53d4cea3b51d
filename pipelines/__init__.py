"""Luigi tasks of skysieve; importing them fills in what Luigi's configuration leaves open."""

from pipelines.acquire.fetch_benchmark import FetchBenchmark
from pipelines.acquire.fetch_task import FetchLandsat, FetchProbaV, FetchSentinel2
from pipelines.acquire.search_scenes import SearchScenes
from pipelines.adapt import InferenceDA
from pipelines.apply_mask import ApplyMask
from pipelines.checkpoint import FetchCheckpoint
from pipelines.cloud_masks import CloudMasks
from pipelines.cloud_patches import CloudPatches
from pipelines.convert import ConvertPV
from pipelines.demo import Demo
from pipelines.evaluate import EvaluateCloudMask
from pipelines.evaluate_many import CompareDetectors, EvaluateCloudMasks
from pipelines.evaluation_report import Report
from pipelines.events import register
from pipelines.masks import CloudMaskL8, CloudMaskPV, CloudMaskS2
from pipelines.over_time import clear_up
from pipelines.pairs import PseudoSimultaneousPairs
from pipelines.picture import PictureDA, PicturePV
from pipelines.register_weights import RegisterWeights
from pipelines.removal.evaluate_removal import EvaluateCloudRemoval
from pipelines.removal.predict_dsen2cr import PredictDSen2CR
from pipelines.removal.remove_clouds import RemoveClouds
from pipelines.removal.simulate_series import SimulateSeries
from pipelines.removal.simulate_triplets import SimulateTriplets
from pipelines.removal.test_plfm import TestPLFM
from pipelines.removal.train_dsen2cr import TrainDSen2CR
from pipelines.removal.train_plfm import TrainPLFM, TrainPLFMRadar, TrainPLFMSeries
from pipelines.reprocess import DailyMasks, Reprocess
from pipelines.settings import fill_in, share_cores
from pipelines.simulate import SimulateScenes
from pipelines.train_baseline import TrainPixelBaseline
from pipelines.train_cyclegan import TrainAllCycleGAN, TrainCycleGAN
from pipelines.train_detection import TrainCloudDetection

__all__ = [
    "ApplyMask",
    "CloudMaskL8",
    "CloudMaskPV",
    "CloudMaskS2",
    "CloudMasks",
    "CloudPatches",
    "CompareDetectors",
    "ConvertPV",
    "DailyMasks",
    "Demo",
    "EvaluateCloudMask",
    "EvaluateCloudMasks",
    "EvaluateCloudRemoval",
    "FetchBenchmark",
    "FetchCheckpoint",
    "FetchLandsat",
    "FetchProbaV",
    "FetchSentinel2",
    "InferenceDA",
    "PictureDA",
    "PicturePV",
    "PredictDSen2CR",
    "PseudoSimultaneousPairs",
    "RegisterWeights",
    "RemoveClouds",
    "Report",
    "Reprocess",
    "SearchScenes",
    "SimulateScenes",
    "SimulateSeries",
    "SimulateTriplets",
    "TrainAllCycleGAN",
    "TrainCloudDetection",
    "TrainCycleGAN",
    "TrainDSen2CR",
    "TestPLFM",
    "TrainAllCycleGAN",
    "TrainCloudDetection",
    "TrainCycleGAN",
    "TrainDSen2CR",
    "TrainPLFM",
    "TrainPLFMRadar",
    "TrainPLFMSeries",
    "TrainPixelBaseline",
]

fill_in()
share_cores()
clear_up()
register()
