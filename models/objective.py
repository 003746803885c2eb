"""The objective: what a rack's tokens, kilowatts, pace and accelerators are worth.

    maximise  w_T T - w_P P + w_S S - w_G G

T tokens/ms, P kW in the power scope, S tokens/ms of one user of every replica, G accelerators that
run. Every objective is of this form:

    throughput                  w_T = 1
    power at a demand           w_P = 1
    speed of R replicas         w_S = 1
    accelerators at a demand    w_G = 1, replicas taken as divisible
    cost f + e P at a demand    w_P = e
    tokens per joule T / P      w_T = 1, w_P = L        where L is the highest T / P
    tokens per dollar T/(f+eP)  w_T = 1, w_P = L e      where L is the highest T / (f + e P)

A ratio is at its highest L just where the most of T less L times what it is divided by is 0
(W. Dinkelbach, On Nonlinear Fractional Programming, Management Science 13, 1967).
"""

from dataclasses import dataclass

import pyomo.core as pyo

from .quantities import Number


@dataclass(frozen=True)
class Worth:
    """What one more of each is worth; kilowatts and accelerators are paid for."""

    token: Number = 0.0
    kilowatt: Number = 0.0
    pace: Number = 0.0
    accelerator: Number = 0.0


TOKENS = Worth(token=1.0)
"""Tokens are all that counts."""


def maximise(block: pyo.Block, worth: Worth = TOKENS) -> None:
    """Make what a rack on `block` is worth the objective."""
    block.objective = pyo.Objective(
        expr=worth.token * block.throughput
        - worth.kilowatt * block.power
        + worth.pace * block.pace
        - worth.accelerator * block.used_accelerators,
        sense=pyo.maximize,
    )
