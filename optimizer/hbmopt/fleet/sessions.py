"""Sessions: turns with pauses between them, where caches wait, and the CPU work of tools.

    active sessions = turns/s x output / speed                        (Little's law)
    idle sessions   = turns/s x pauses of a turn x length of a pause
    held            = idle sessions x GB of a cache
    moved           = new tokens of a stretch out, the whole cache back in

A session decodes a stretch of tokens and then waits: for its user (thinking) or for a tool. While
it waits its cache may stay in HBM, move to host memory or to storage, or be dropped and computed
again. All numbers are of one turn, which makes them coefficients of the rate of turns: what is held
is linear in it, and so is every byte, joule and CPU second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hbmopt.demand import (
    Configuration,
    Segment,
    enumerate_configurations,
    kept_cache,
    largest_batch,
    replica_data,
    smallest_batch,
)
from hbmopt.documents import Count, Duration, Figure, StrictModel
from hbmopt.errors import InputError
from hbmopt.instance import Instance, Rack

PlaceKind = Literal["hbm", "host", "storage", "recompute"]
PauseKind = Literal["thinking", "tools"]

MILLISECONDS = 1e3
"""Milliseconds of a second, GB/s of a TB/s, and joule of a kWs: hbmopt holds ms, TB/s and kW."""


class ToolCalls(StrictModel):
    """Calls of tools within a turn: decoding waits for each, and CPUs work for it."""

    per_turn: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens_between: Count | None = Field(
        default=None, description="instead: output tokens from one call to the next"
    )
    time: Duration = Field(description="from a call to its result, mean")
    cpu_time: Duration = Field(
        default=Figure(0.0, "time"), description="that a call keeps one core of the rack busy"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "ToolCalls":
        if (self.per_turn is None) == (self.tokens_between is None):
            raise ValueError("give either `per_turn` or `tokens_between`")
        return self

    def calls(self, output: float) -> float:
        """Return the calls of a turn of `output` tokens."""
        if self.tokens_between is not None:
            return output / float(self.tokens_between)
        return self.per_turn or 0.0


class Sessions(StrictModel):
    """Sessions of a class whose requests are their turns: `prompt` is all that a turn begins with.

    What of it was there before is `workload.prefix_hit_rate`.
    """

    also_called: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("think_time", "idle_time", "idle"), "thinking_time"),
        **dict.fromkeys(("tool_calls", "agents", "calls"), "tools"),
        **dict.fromkeys(("resume_limit", "resume_time"), "resume"),
    }

    turns: Count | None = Field(
        default=None, description="of a session; default: so many that the last does not count"
    )
    thinking_time: Duration = Field(
        description="from the end of a turn to the beginning of the next, mean"
    )
    resume: Duration | None = Field(
        default=None, description="within which a cache has to be back, mean; default: no limit"
    )
    context: Count | None = Field(
        default=None,
        description="tokens of a cache that waits; default: prompt and output, as a turn ends",
    )
    tools: ToolCalls | None = None


@dataclass(frozen=True)
class Place:
    """What it takes to let the caches of one kind of pause wait in one place, by turn.

    All but the last two are coefficients of turns per second.
    """

    kind: PlaceKind
    held_gb: float = 0.0
    """GB that this place keeps at one turn per second."""
    written_gb: float = 0.0
    read_gb: float = 0.0
    busy_node_s: float = 0.0
    """Seconds that the bytes take the links, or the drives, of a whole node."""
    joule: float = 0.0
    """Energy of the bytes that move; that of prompts is for those who compute them to count."""
    prompt_tokens: float = 0.0
    """Tokens that are computed again."""
    back_s: float = 0.0
    """Time until one cache is back, nothing else under way."""
    within_limit: bool = True
    """Whether that is within `Sessions.resume`."""


@dataclass(frozen=True)
class Pause:
    """One kind of pause of a session: how many a turn has, how long each is, and its places."""

    kind: PauseKind
    per_turn: float
    seconds: float
    places: tuple[Place, ...]

    @property
    def idle_s(self) -> float:
        """Seconds of a turn spent so: the idle sessions at one turn per second (Little's law)."""
        return self.per_turn * self.seconds

    @property
    def allowed(self) -> tuple[Place, ...]:
        """The places from which a cache is back within the limit; HBM always is one."""
        return tuple(one for one in self.places if one.within_limit)

    def place(self, kind: PlaceKind) -> Place | None:
        """Return the place of a kind, None where the rack has none."""
        return next((one for one in self.places if one.kind == kind), None)


@dataclass(frozen=True)
class SessionNumbers:
    """What the sessions of one class take on one type of rack, by turn."""

    output_tokens: float
    """Tokens that a turn makes."""
    active_s: float
    """Time that a turn decodes: the active sessions at one turn per second (Little's law)."""
    context_tokens: float
    new_tokens: float
    """Tokens of a turn that were in no cache before: uncached prompt and output."""
    cache_gb: float
    """One copy of the cache of a session that waits."""
    cache_hbm_gb: float
    """What it takes in HBM, copies included."""
    pauses: tuple[Pause, ...]
    tool_calls: float
    core_s: float
    """CPU seconds: the cores that are busy at one turn per second."""
    core_joule: float
    """Energy of these cores beyond what they draw at rest; 0 where the rack's host is not known."""

    @property
    def ways(self) -> tuple[tuple[Place, ...], ...]:
        """Every choice of a place within the limit for each kind of pause, in the order of these.

        The two kinds need not share a place: tools take seconds, users minutes.
        """
        return tuple(product(*(pause.allowed for pause in self.pauses)))


def session_numbers(
    instance: Instance, sessions: Sessions, configuration: Configuration | None = None
) -> SessionNumbers:
    """Return what sessions take on the rack of an instance, by turn (see docs/kv_tiers.md).

    Parameters
    ----------
    instance
        Rack, model, workload and limits of the class. Turns decode at `limits.min_speed`.
    sessions
        How turns follow one another.
    configuration
        How a replica is run; it decides the format and the copies of a cache and over how many
        links it moves. Default: of those that fit in HBM the one whose caches lie on the fewest
        accelerators, which bring them back slowest.

    Notes
    -----
    With n pauses of t seconds in a turn that decodes for A seconds in c + 1 stretches (c tool
    calls), a cache of K GB, w GB of new tokens in a stretch, bandwidth B of a node's links:

    - in HBM: n t K (copies included), nothing moves;
    - in host memory and storage: n (t + A / (c + 1)) K are held, as what is there already stays
      while the session decodes; w is written after every stretch, n K are read;
    - a cache is back after K / (B x accelerators of its attention rank / accelerators of a node);
    - dropped: n x tokens of K are computed again, by arithmetic at the attained rate of prompts.

    New tokens come evenly over stretches. Every turn's end is written, as nobody knows the last.

    Raises
    ------
    InputError
        Where prompt, output or speed are not known, or no configuration fits.
    """
    output, speed = instance.workload.output, float(instance.limits.min_speed)
    prompt = instance.workload.prompt
    if prompt is None or output is None:
        raise InputError(
            "sessions: turns need `workload.prompt` and `workload.output`, not `context`"
        )
    if speed == 0.0:
        raise InputError(
            "sessions: nothing says how long a turn decodes: set limits.min_speed, such as "
            '"25 tok/s"'
        )
    used = configuration if configuration is not None else narrowest_configuration(instance)
    ends_with = float(prompt) + float(output)
    context = float(sessions.context) if sessions.context is not None else ends_with
    uncached = float(prompt) * (1.0 - float(instance.workload.prefix_hit_rate))
    new, active = min(context, uncached + float(output)), float(output) / speed
    tools = sessions.tools
    calls = tools.calls(float(output)) if tools is not None else 0.0
    stretches = calls + 1.0
    kept = kept_cache(instance, used, context)
    cache = _Cache(
        instance,
        used,
        limit_s=float(sessions.resume) / MILLISECONDS if sessions.resume is not None else None,
        tokens=context,
        once_gb=kept.once,
        in_hbm_gb=kept.in_hbm,
        new_gb=min(kept.once, kept_cache(instance, used, new / stretches).once),
        stretch_s=active / stretches,
    )
    pauses = []
    if sessions.turns is None or float(sessions.turns) > 1.0:
        followed = 1.0 - 1.0 / float(sessions.turns) if sessions.turns is not None else 1.0
        thinking = float(sessions.thinking_time) / MILLISECONDS
        pauses.append(cache.pause("thinking", followed, thinking, 1.0))
    if tools is not None:
        waiting = float(tools.time) / MILLISECONDS
        pauses.append(cache.pause("tools", calls, waiting, calls))
    core_s = calls * float(tools.cpu_time) / MILLISECONDS if tools is not None else 0.0
    host = instance.rack.host
    return SessionNumbers(
        output_tokens=float(output),
        active_s=active,
        context_tokens=context,
        new_tokens=new,
        cache_gb=kept.once,
        cache_hbm_gb=kept.in_hbm,
        pauses=tuple(pauses),
        tool_calls=calls,
        core_s=core_s,
        core_joule=core_s * float(host.core_power) * MILLISECONDS if host is not None else 0.0,
    )


def narrowest_configuration(instance: Instance) -> Configuration:
    """Return the configuration whose caches lie on the fewest accelerators, of those that fit."""
    listed, _ = enumerate_configurations(instance)
    ordered = sorted(listed, key=lambda one: (_ranks(one), one.layout.accelerators))
    for one in ordered:
        if largest_batch(instance, one) >= smallest_batch(one):
            return one
    raise InputError(
        f"sessions: no configuration of {instance.llm.name} fits in the HBM of "
        f"{instance.rack.in_words}"
    )


def _ranks(configuration: Configuration) -> int:
    """Return the accelerators that the cache of one sequence lies on."""
    layout = configuration.layout
    return layout.tensor_parallel * layout.pipeline_parallel


@dataclass(frozen=True)
class _Tier:
    """Memory beside the accelerators of a node: its rates in GB/s, and what its traffic takes."""

    kind: PlaceKind
    read_gb_s: float
    write_gb_s: float
    joule_per_gb: float
    busy_kw: float

    def place(self, held_gb: float, written_gb: float, read_gb: float) -> Place:
        """Return what caches take that wait here."""
        busy = read_gb / self.read_gb_s + written_gb / self.write_gb_s
        moved = self.joule_per_gb * (read_gb + written_gb)
        joule = moved + busy * self.busy_kw * MILLISECONDS
        return Place(self.kind, held_gb, written_gb, read_gb, busy, joule)


def _tiers(rack: Rack) -> Iterator[_Tier]:
    """Yield the tiers that a rack has."""
    host, storage = rack.host, rack.storage
    if host is not None and host.memory_bandwidth is not None:
        # Reads and writes share the memory: together they have the rate of one direction.
        both = float(host.memory_bandwidth) * MILLISECONDS
        yield _Tier("host", both, both, float(host.energy_per_byte), 0.0)
    if storage is not None:
        rates = float(storage.read_bandwidth), float(storage.write_bandwidth)
        reading, writing = (rate * MILLISECONDS for rate in rates)
        yield _Tier("storage", reading, writing, 0.0, float(storage.power))


@dataclass(frozen=True)
class _Cache:
    """The cache of a session that waits, and the rack that it waits on."""

    instance: Instance
    configuration: Configuration
    limit_s: float | None
    tokens: float
    once_gb: float
    in_hbm_gb: float
    new_gb: float
    """Made in one stretch of decoding."""
    stretch_s: float

    def pause(self, kind: PauseKind, per_turn: float, seconds: float, written: float) -> Pause:
        """Return a kind of pause with all places of the rack; `written` is how often a turn is."""
        rack = self.instance.rack
        held = per_turn * (seconds + self.stretch_s) * self.once_gb
        moved = written * self.new_gb, per_turn * self.once_gb
        share = _ranks(self.configuration) / float(rack.accelerators)
        places = [Place("hbm", held_gb=per_turn * seconds * self.in_hbm_gb)]
        for tier in _tiers(rack):
            back = self.once_gb / (tier.read_gb_s * share)
            places.append(self._back_after(back, tier.place(held, *moved)))
        again = Place("recompute", prompt_tokens=per_turn * self.tokens)
        places.append(self._back_after(self._recomputed_s(), again))
        return Pause(kind, per_turn, seconds, tuple(places))

    def _back_after(self, seconds: float, place: Place) -> Place:
        within = self.limit_s is None or seconds <= self.limit_s
        return replace(place, back_s=seconds, within_limit=within)

    def _recomputed_s(self) -> float:
        """Return the time that the arithmetic of the whole context takes on its accelerators.

        A prompt of `tokens` tokens that is computed here, with as many output tokens, adds one of
        its tokens to a step: GFLOP of a token / (peak x attained x accelerators) x tokens.
        """
        whole = Figure(self.tokens, "count")
        workload = self.instance.workload.model_copy(
            update={
                "context": None,
                "prompt": whole,
                "output": whole,
                "capacity_context": None,
                "prefix_hit_rate": Figure(0.0, "fraction"),
                "prefill": "shared",
            }
        )
        asked = self.instance.model_copy(update={"workload": workload})
        data = replica_data(asked, self.configuration, 1.0, Segment(1.0, 1.0))
        accepted = float(data.tokens_per_sequence_step)
        at_peak = float(data.prompt_attention_gflop) / float(data.attention_peak_tflops)
        for part in data.components:
            at_peak += float(part.prompt_gflop_per_sequence) / float(part.peak_tflops)
        each = at_peak / accepted / float(data.efficiency.prefill) / _ranks(self.configuration)
        return self.tokens * each / MILLISECONDS
