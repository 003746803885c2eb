"""Accuracy: measured decode steps against the model, and constants fitted to them."""

from hbmopt.studies.accuracy.calibrating import CalibrationFit, calibrate
from hbmopt.studies.accuracy.constant_fits import (
    NARROWER,
    PowerConstants,
    StepConstants,
    constants,
)
from hbmopt.studies.accuracy.prediction import (
    ErrorSummary,
    PredictedStep,
    Prediction,
    flat,
    predict,
)

__all__ = [
    "NARROWER",
    "CalibrationFit",
    "ErrorSummary",
    "PowerConstants",
    "PredictedStep",
    "Prediction",
    "StepConstants",
    "calibrate",
    "constants",
    "flat",
    "predict",
]
