"""Datasets, uploads, prompts, experiments, candidates."""

from apps.experiments.models.datasets import Dataset, DatasetVersion
from apps.experiments.models.experiments import Candidate, Experiment
from apps.experiments.models.prompts import Prompt, PromptLabel, PromptVersion
from apps.experiments.models.uploads import DatasetImport, Upload

__all__ = [
    "Candidate",
    "Dataset",
    "DatasetImport",
    "DatasetVersion",
    "Experiment",
    "Prompt",
    "PromptLabel",
    "PromptVersion",
    "Upload",
]
