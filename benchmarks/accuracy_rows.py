"""A measured step beside what each set of constants makes of it."""

from dataclasses import dataclass

from hbmopt.studies.accuracy.prediction import PredictedStep


@dataclass(frozen=True)
class Judged:
    """One measured row with its step by universal, by held-out, and by ideal constants."""

    row: PredictedStep
    family: str
    universal: float
    held_out: float
    ideal: float
    contradicts: bool
