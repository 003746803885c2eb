"""Prompts alone: what replicas demand that compute prompts and decode nothing.

A prompt is computed in chunks, one chunk in every pass through the model. To products, links and
layers a token of a prompt is what a token of a decoding sequence is, so a chunk is a step whose
sequences are the tokens of a chunk, and the rows that are declared for steps hold for it. What
differs is attention: a chunk reads the cache before it once, and its tokens see more and more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hbmopt.demand.alike import Alike, alike
from hbmopt.demand.coefficients import Demand
from hbmopt.demand.components import components_of
from hbmopt.demand.configuration import Configuration, compression
from hbmopt.demand.number_tree import plain
from hbmopt.demand.placement import placed_bytes, stage_imbalance
from hbmopt.demand.sequence import GIGA, caches_of, prefill_flops, states_of
from hbmopt.documents import Figure
from hbmopt.errors import InputError
from hbmopt.instance import Instance
from hbmopt.models.quantities import ReplicaData, number


@dataclass(frozen=True)
class PromptChunks:
    """A prompt in chunks of `chunk` tokens, of which those in the cache already need no pass.

    `prompt` tokens in all, `computed` of them here; the last token of a prompt always is.
    """

    prompt: float
    computed: float
    chunk: float

    @property
    def width(self) -> float:
        """Tokens of one prompt in a chunk: a prompt that is shorter shares it with others."""
        return min(self.chunk, self.computed)

    @property
    def prompts(self) -> int:
        """Prompts that a full chunk has tokens of."""
        return math.ceil(self.chunk / self.width)

    @property
    def mean_end(self) -> float:
        """Mean tokens before the end of a chunk of a prompt: what it attends to."""
        return self.prompt - self.computed + (self.computed + self.width) / 2.0


def prompt_chunks(instance: Instance, chunk: float) -> PromptChunks:
    """Return how a prompt of the workload lies in chunks.

    Raises
    ------
    InputError
        If the workload says only how many tokens are resident, not how long a prompt is.
    """
    workload = instance.workload
    if workload.prompt is None:
        raise InputError(
            "workload.context says nothing of prompts; give `prompt` and `output` tokens: "
            '--set "workload={prompt: 8192, output: 1024}"'
        )
    prompt = workload.prompt.amount
    missing = prompt * (1.0 - float(workload.prefix_hit_rate))
    return PromptChunks(prompt, min(prompt, max(1.0, missing)), chunk)


def alike_prompts(
    instance: Instance, configurations: Sequence[Configuration], chunk: float
) -> list[Alike]:
    """Return the demands of replicas that compute prompts in such chunks, those alike together.

    Configurations draft nothing and use no LPUs.
    """
    return alike(
        instance, configurations, demand_of=lambda one, each: PromptDemand(one, each, chunk)
    )


class PromptDemand(Demand):
    """What replicas demand that compute prompts in chunks: its sequences are tokens of them.

    A batch is the tokens of a pass: a chunk for every attention rank of every pipeline stage. A
    rank holds the prompts of its chunk, and as many again that are being handed over. Where many
    short ones do not fit, as many as do share a chunk that is not full.
    """

    def __init__(self, instance: Instance, configuration: Configuration, chunk: float) -> None:
        self.chunks = prompt_chunks(instance, chunk)
        super().__init__(_without_decoding(instance, self.chunks), configuration)
        self._full = plain(_of_tokens(instance, configuration, self.chunks, self._full))

    @property
    def chunks_at_once(self) -> float:
        """Chunks of a pass of one replica: one of each attention rank and pipeline stage."""
        layout = self.configuration.layout
        return 1.0 * layout.attention_data_parallel * layout.pipeline_parallel

    @property
    def passes(self) -> float:
        """Passes of a replica that a prompt takes: its chunks follow one another in a pipeline."""
        stages = self.configuration.layout.pipeline_parallel
        return (math.ceil(self.chunks.computed / self.chunks.width) + stages - 1) / stages

    @cached_property
    def handover_gb(self) -> float:
        """GB of a prompt's cache and states, once, that another replica decodes from."""
        llm, configuration = self.instance.llm, self.configuration
        caches = sum(one.held for one in caches_of(llm, self.chunks.prompt, configuration, 1.0))
        states = sum(one.held for one in states_of(llm, 1.0))
        ratio = compression(self.instance, configuration).ratio
        return GIGA * (ratio * caches + states)

    @property
    def handover_ms(self) -> float:
        """Time of one hand-over on the links of a prompt's rank, NaN where it is not known."""
        layout, network = self.configuration.layout, self._network_tb_per_s
        if network is None:
            return math.nan
        return self.handover_gb / (layout.tensor_parallel * layout.pipeline_parallel * network)

    @property
    def network_ms(self) -> float:
        """Time of the network for a token, hand-over and exchanges; 0 where it is not known."""
        network, exchanged = self._network_tb_per_s, self._full.scale_out
        if network is None:
            return 0.0
        each = self.handover_gb / self.chunks.computed
        if exchanged is not None:
            each += number(exchanged.gb_per_sequence)
        return each / (self.configuration.layout.accelerators * network)

    @property
    def _network_tb_per_s(self) -> float | None:
        """What an accelerator attains of the scale-out network."""
        bandwidth, layout = self.instance.rack.scale_out_bandwidth, self.configuration.layout
        if bandwidth is None:
            return None
        slower = self.instance.worst_factor("step", layout.attention_data_parallel)
        return float(bandwidth) * float(self.instance.calibration.efficiency.scale_out) / slower


def _without_decoding(instance: Instance, chunks: PromptChunks) -> Instance:
    """Return the instance with whole prompts resident, and without limits on what is decoded."""
    whole = Figure(chunks.prompt, "count")
    workload = instance.workload.model_copy(
        update={"capacity_context": whole, "prefill": "elsewhere"}
    )
    limits = instance.limits.model_copy(
        update={
            "min_speed": Figure(0.0, "speed"),
            "min_throughput": None,
            "budgets": [],
            "budget_usd": None,
        }
    )
    calibration = instance.calibration.model_copy(
        update={"prompt_chunk": Figure(float(chunks.chunk), "count")}
    )
    changes = {"workload": workload, "limits": limits, "calibration": calibration}
    return instance.model_copy(update=changes)


def _of_tokens(
    instance: Instance, configuration: Configuration, chunks: PromptChunks, step: ReplicaData
) -> ReplicaData:
    """Return the numbers of decode steps as those of chunks, per token of a prompt."""
    fuller = stage_imbalance(instance.llm.layers, configuration.layout)
    parts = list(step.components)
    head = components_of(instance.llm, configuration).index("lm_head")
    # The output head says one token of each prompt.
    once = number(parts[head].gflop_per_sequence) / chunks.computed
    parts[head] = replace(parts[head], gflop_per_sequence=once)
    read, restored = _cache_read(instance, configuration, chunks)
    attained, hidden = step.efficiency, step.overlap
    return replace(
        step,
        components=tuple(parts),
        kernels=tuple(replace(one, gemm=attained.prefill) for one in step.kernels),
        kv_held_gb=number(step.kv_held_gb) * 2.0 / chunks.width,
        kv_read_gb=read * fuller,
        attention_gflop=(prefill_flops(instance) * GIGA + restored) * fuller,
        latency_ms_per_sequence=number(step.latency_ms_per_sequence) / chunks.width,
        max_batch=None,
        efficiency=replace(attained, attention=attained.prefill),
        overlap=replace(hidden, gemm=hidden.prefill, attention=hidden.prefill),
    )


def _cache_read(
    instance: Instance, configuration: Configuration, chunks: PromptChunks
) -> tuple[float, float]:
    """Return the GB of cache that a chunk reads, and the GFLOP that restore it, per token."""
    llm, layout, width = instance.llm, configuration.layout, chunks.width
    compressed = compression(instance, configuration)
    caches = caches_of(llm, chunks.mean_end, configuration, width)
    whole = GIGA * placed_bytes(caches, layout, held=False)
    states = GIGA * placed_bytes(states_of(llm, 1.0), layout, held=False, growing=False)
    read = compressed.ratio * whole + states
    return read / width, compressed.flops_per_byte * whole / width
