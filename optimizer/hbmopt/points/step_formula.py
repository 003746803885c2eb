"""The step of one configuration at one clock as a function of its batch, for many batches at once.

Once a batch is fixed every row of the program is linear in the step rate, so the fastest step is a
formula: the slowest of the rows. Written over arrays of batches it says in microseconds what the
program would say batch by batch. The program stays the reference; this is how a frontier knows
where to ask it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand import Demand, ExpertReads
from hbmopt.models.quantities import ReplicaData, number

Array = NDArray[np.float64]


def distinct_reads(reads: ExpertReads, batches: Array) -> Array:
    """Return the GB read of distinct experts, by batch."""
    mixture = reads.mixture
    if mixture.active >= mixture.experts:
        return np.full_like(batches, reads.gigabytes)
    missed = np.log1p(-mixture.active / mixture.experts) * reads.tokens_per_sequence * batches
    return np.asarray(-reads.gigabytes * np.expm1(missed))


def tangent_reads(reads: ExpertReads, batches: Array) -> tuple[Array, Array]:
    """Return the tangent of `distinct_reads` at each batch: GB per step and per sequence."""
    mixture, read = reads.mixture, distinct_reads(reads, batches)
    if mixture.active >= mixture.experts:
        return read, np.zeros_like(batches)
    missed = -np.log1p(-mixture.active / mixture.experts) * reads.tokens_per_sequence
    slope = (reads.gigabytes - read) * missed
    return read - slope * batches, slope


@dataclass(frozen=True)
class StepProfile:
    """Coefficients of a replica whose batch is free, without LPUs."""

    replica: ReplicaData
    weights_per_step: float
    weights_per_sequence: float
    experts: tuple[ExpertReads, ...]

    @cached_property
    def _gemm(self) -> float:
        """Accelerator-ms of one sequence's matrix products at peak rate."""
        return sum(
            number(part.gflop_per_sequence) / number(part.peak_tflops)
            for part in self.replica.components
        )

    @cached_property
    def _attention(self) -> float:
        """Accelerator-ms of one sequence's attention at peak rate."""
        return number(self.replica.attention_gflop) / number(self.replica.attention_peak_tflops)

    def parts(self, batches: Array) -> dict[str, Array]:
        """Return the ms that each part of a step takes, by resource."""
        replica, attained = self.replica, self.replica.efficiency
        size = number(replica.accelerators)
        hbm = size * number(replica.hbm_tb_per_s)
        link = number(replica.link_gb_per_sequence) / number(replica.link_tb_per_s)
        return {
            "weights": self.weights(batches) / (hbm * number(attained.weights)),
            "kv": number(replica.kv_read_gb) * batches / (hbm * number(attained.kv)),
            "gemm": self._gemm * batches / (size * number(attained.gemm)),
            "attention": self._attention * batches / (size * number(attained.attention)),
            "link": link * batches / (size * number(attained.link)),
            "latency": np.full_like(batches, number(replica.fixed_latency_ms)),
        }

    def weights(self, batches: Array) -> Array:
        """Return the GB of weights that a step reads."""
        read = self.weights_per_step + self.weights_per_sequence * batches
        for one in self.experts:
            read = read + distinct_reads(one, batches)
        return read

    def energy(self, batches: Array) -> Array:
        """Return the joule of one step, beside what a running replica draws anyway."""
        replica, power = self.replica, self.replica.power
        kv = number(replica.kv_read_gb) * batches
        return (
            number(power.joule_per_gb) * (self.weights(batches) + kv)
            + number(power.kw_at_peak_flops) * (self._gemm + self._attention) * batches
            + number(power.joule_per_link_gb) * number(replica.link_gb_per_sequence) * batches
        )

    @cached_property
    def running_kw(self) -> float:
        """Return what a running replica draws without a step."""
        return number(self.replica.accelerators) * number(self.replica.power.active_kw)

    def rates(self, batches: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Return the most steps per ms of one replica, the joule of a step, and what throttles.

        The slowest row decides; the last array says where that is the power limit of the
        accelerators.
        """
        busiest, energy = self._busiest(batches), self.energy(batches)
        powered = self._power_time(energy)
        slowest = np.maximum(busiest, powered)
        fastest = np.divide(1.0, slowest, out=np.full_like(batches, np.inf), where=slowest > 0)
        return fastest, energy, np.asarray(powered > busiest)

    def row_times(self, batches: Array) -> dict[str, Array]:
        """Return the ms that a step takes at least by each row: of time, bandwidth and rates."""
        replica, parts = self.replica, self.parts(batches)
        exposed = parts["latency"].copy()
        for resource, time in parts.items():
            if resource != "latency":
                exposed += (1.0 - number(getattr(replica.overlap, resource))) * time
        return {
            "step_time": exposed,
            "hbm_bandwidth": parts["weights"] + parts["kv"],
            "compute": parts["gemm"] + parts["attention"],
            "interconnect": parts["link"],
        }

    def _busiest(self, batches: Array) -> Array:
        """Return the ms of a step by the slowest of the rows of time."""
        return np.asarray(np.maximum.reduce(list(self.row_times(batches).values())))

    def memory_share(self, batches: Array) -> Array:
        """Return what weights and caches take, as a share of the usable HBM."""
        replica = self.replica
        weights = sum(number(part.resident_gb) for part in replica.components)
        usable = number(replica.accelerators) * number(replica.hbm_gb)
        return np.asarray((weights + number(replica.kv_held_gb) * batches) / usable)

    def _power_time(self, energy: Array) -> Array:
        """Return the ms of a step at which the accelerators draw their limit."""
        replica = self.replica
        room = number(replica.accelerators) * number(replica.power.limit_kw) - self.running_kw
        needed = np.full_like(energy, np.inf)
        np.divide(energy, room, out=needed, where=room > 0)
        needed[energy == 0.0] = 0.0
        return needed


def step_profile(demand: Demand, clock: float) -> StepProfile:
    """Return the profile of a configuration without LPUs at one clock."""
    replica = demand.whole_replica(clock)
    per_step = per_sequence = 0.0
    experts = []
    for reads, part in zip(demand.experts, replica.components, strict=True):
        if reads is None:
            per_step += number(part.read_gb_per_step)
            per_sequence += number(part.read_gb_per_sequence)
        else:
            experts.append(reads)
    return StepProfile(replica, per_step, per_sequence, tuple(experts))
