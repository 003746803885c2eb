"""Measured decode steps: a CSV file of them, read row by row without losing one.

The format is that of `instances/measured/decode_steps.csv`. A row that cannot be used keeps its
place and says why; only a file that is no such table at all is an error.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hbmopt.basics import MILLION, read_text
from hbmopt.demand import Layout
from hbmopt.errors import InputError, nearest
from hbmopt.llm import BITS_PER_CACHE_ELEMENT

MOST_BYTES = 10 * MILLION
"""Size of a file beyond which it is no table of measurements."""

MOST_COLUMNS = 1000

COLUMNS = (
    "source",
    "model",
    "weight_format",
    "kv_format",
    "accelerator",
    "accelerators",
    "tensor_parallel",
    "expert_parallel",
    "attention_data_parallel",
    "context_tokens",
    "context_recorded",
    "prompt_tokens",
    "output_tokens",
    "serving",
    "batch",
    "step_ms",
    "tokens_per_s_per_accelerator",
    "power_w_per_accelerator",
    "framework",
    "date",
    "quality",
)

REQUIRED = ("model", "accelerator", "context_tokens", "batch")
"""Columns without which no row says what was run."""

YES, NO = frozenset({"true", "t", "yes", "y"}), frozenset({"false", "f", "no", "n"})
BLANK = frozenset({"", "nan", "none", "null", "na", "n/a", "-"})

LEAST, MOST = 1e-9, 1e15
"""Numbers beyond are slips; products of such numbers stay finite."""

MOST_DEVICES = 1_000_000

WEIGHT_ALIASES = {
    "bfloat16": "bf16",
    "fp16": "bf16",
    "float16": "bf16",
    "fp8_e4m3": "fp8",
    "float8": "fp8",
    "w8a8": "int8",
    "w4a16": "int4_g128",
    "awq": "int4_g128",
    "gptq": "int4_g128",
}
"""What others call weight formats: 16-bit ones cost the same, 4-bit integers come in groups."""

FOUR_BIT = ("fp4", "nvfp4", "mxfp4")
CACHE_ALIASES = {
    "bfloat16": "bf16",
    "fp16": "bf16",
    "float16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
}
ENGINES = (("trt", "trtllm"), ("sglang", "sglang"), ("vllm", "vllm"), ("atom", "atom"))
"""What the name of a framework contains, and the serving engine that it is."""


class UnusableRowError(Exception):
    """Why a row cannot be predicted, in one line."""


@dataclass(frozen=True)
class Row:
    """One row as it stands, blank cells left out, keys in lower case.

    `torn` says why its cells do not stand in their columns, where they do not.
    """

    line: int
    cells: Mapping[str, str]
    torn: str | None = None

    def text(self, column: str) -> str:
        """Return a cell, or nothing."""
        return self.cells.get(column, "")

    def number(self, column: str) -> float:
        """Return a number above 0. Raises `UnusableRowError` for anything else."""
        written = self.text(column)
        if not written:
            raise UnusableRowError(f"{column}: is blank")
        try:
            value = float(written)
        except ValueError:
            raise UnusableRowError(f"{column}: {written!r} is not a number") from None
        if not math.isfinite(value) or value <= 0:
            raise UnusableRowError(f"{column}: {written} must be finite and more than 0")
        if not LEAST <= value <= MOST:
            raise UnusableRowError(f"{column}: {written} is out of range, {LEAST:g} to {MOST:g}")
        return value

    def count(self, column: str) -> int:
        """Return a whole number above 0. Raises `UnusableRowError` for anything else."""
        value = self.number(column)
        if value != int(value) or value > MOST_DEVICES:
            raise UnusableRowError(
                f"{column}: {self.text(column)} must be a whole number up to {MOST_DEVICES:,}"
            )
        return int(value)

    def optional(self, column: str) -> float | None:
        """Return a number above 0, or None for a blank cell."""
        return self.number(column) if self.text(column) else None

    @property
    def engine(self) -> str | None:
        """The serving engine that the framework names, where it is a known one."""
        name = self.text("framework").lower()
        return next((engine for part, engine in ENGINES if part in name), None)


@dataclass(frozen=True)
class MeasuredTable:
    """The rows of a file; `flags` says that 0 and 1 mean no and yes in a column of counts."""

    rows: tuple[Row, ...]
    flags: bool


def read_measured_steps(path: Path) -> MeasuredTable:
    """Read a CSV file. Raises `InputError` where it is no table of measured steps."""
    text = read_text(path, "CSV", MOST_BYTES)
    written = text.splitlines()
    # Tables begin with their head; what is blank before it is kept for the line numbers.
    above = next((n for n, line in enumerate(written) if line.strip()), len(written))
    lines = csv.reader(written[above:], delimiter=_separator("".join(written[above : above + 1])))
    try:
        head = [name.strip().lower() for name in next(lines, [])]
        if len(head) > MOST_COLUMNS:
            raise InputError(f"{path}:{above + 1}: has {len(head):,} columns, too many to be read")
        for name in REQUIRED:
            if name not in head:
                raise InputError(f"{path}:{above + 1}: {_missing(name, head)}")
        for name in head:
            if name in COLUMNS and head.count(name) > 1:
                raise InputError(f"{path}:{above + 1}: there are two columns {name!r}; keep one")
        rows = [
            _row(above + lines.line_num, head, cells)
            for cells in lines
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise InputError(f"{path}:{above + lines.line_num}: not valid CSV: {error}") from None
    found = {row.text("attention_data_parallel") for row in rows}
    return MeasuredTable(tuple(rows), flags=bool(found) and found <= {"", "0", "1"})


MOST_NAMED = 12
"""Columns of a file that an error names."""


def _missing(name: str, head: Sequence[str]) -> str:
    """Say which column a file lacks, which are needed, and which it has instead."""
    text = f"the column {name!r} is missing; "
    if not any(head):
        return text + "the file is empty"
    others = [one for one in head if one and one not in COLUMNS]
    hint = nearest(name, others)
    if hint.startswith("did you mean"):
        text += f"{hint} "
    listed = ", ".join(head[:MOST_NAMED]) + (", ..." if len(head) > MOST_NAMED else "")
    needed = f"{', '.join(REQUIRED[:-1])} and {REQUIRED[-1]}"
    return f"{text}needed are {needed}; the file has {listed}"


def _separator(head: str) -> str:
    """Return what separates the columns: spreadsheets also write semicolons and tabs."""
    return max(",;\t", key=head.count)


def _row(line: int, head: list[str], cells: list[str]) -> Row:
    found = {
        name: cell.strip()
        for name, cell in zip(head, cells, strict=False)
        if cell.strip().lower() not in BLANK
    }
    if any(cell.strip() for cell in cells[len(head) :]):
        return Row(line, found, f"has {len(cells)} cells, and the head has {len(head)} columns")
    return Row(line, found)


AGGREGATED = frozenset({"aggregated", "agg", "colocated", "mixed"})
DECODE_ONLY = frozenset({"decode_only", "disaggregated", "disagg", "decode", "pd"})
"""What a row's serving is called where prompts are computed between the steps, or elsewhere."""


def prompts_between(row: Row) -> tuple[float, float] | None:
    """Return prompt and output tokens where prompts are computed between the steps, else None.

    Raises
    ------
    UnusableRowError
        For a serving that is not known, or lengths that are no numbers.
    """
    serving = row.text("serving").lower().replace("-", "_").replace(" ", "_")
    if not serving or serving in DECODE_ONLY:
        return None
    if serving not in AGGREGATED:
        hint = nearest(serving, AGGREGATED | DECODE_ONLY)
        raise UnusableRowError(f"serving: no {row.text('serving')!r} is known; {hint}")
    prompt, output = row.optional("prompt_tokens"), row.optional("output_tokens")
    return (prompt, output) if prompt is not None and output is not None else None


def recorded(row: Row) -> bool:
    """Whether the context is a record, and no stand-in; True where the row does not say."""
    return row.text("context_recorded").lower() not in NO | {"0"}


@dataclass(frozen=True)
class Placement:
    """The layout of one replica, and how many replicas share the row's accelerators."""

    layout: Layout
    replicas: int


def placement(row: Row, *, experts: bool, flags: bool) -> Placement:
    """Return how a row's accelerators run the model.

    Where attention is split over fewer ranks than there are accelerators, the rest are further
    replicas, which share the batch; with attention-data parallelism, or with experts spread
    over more ranks than attention, the ranks that share the experts are one replica. Two habits
    of logs are read as what they are: a tensor parallelism that is the product of accelerators
    and expert parallelism, and one that counts the ranks of attention-data parallelism too.

    Raises
    ------
    UnusableRowError
        Where the numbers contradict each other.
    """
    tensor = row.count("tensor_parallel") if row.text("tensor_parallel") else None
    expert = row.count("expert_parallel") if row.text("expert_parallel") else 1
    if row.text("accelerators"):
        count = row.count("accelerators")
    elif tensor is not None:
        count = tensor
    else:
        raise UnusableRowError("accelerators: is blank, and so is tensor_parallel")
    ranks = _attention_ranks(row, flags=flags)
    if tensor is None:
        tensor = 1 if ranks != 1 and experts else count
    if tensor > count and tensor == count * expert:
        tensor = count
    if ranks != 1 and tensor == count:
        tensor = 1 if ranks is None else max(1, count // ranks)
    if count % tensor:
        raise UnusableRowError(
            f"tensor_parallel: {tensor} ranks do not divide {count} accelerators"
        )
    if not experts:
        return Placement(Layout(tensor, tensor, 1, 1), count // tensor)
    group = _sharing_experts(count, tensor, expert, ranks)
    data = group // tensor
    return Placement(
        Layout(group, tensor, group if data > 1 else min(expert, group), data), count // group
    )


def _sharing_experts(count: int, tensor: int, expert: int, ranks: int | None) -> int:
    """Return how many of `count` accelerators share the experts: those of a replica."""
    if ranks == 1:
        group = max(tensor, expert)
    elif ranks is None:
        group = expert if expert > 1 else count
    else:
        group = tensor * ranks
    if count % group or group % tensor:
        raise UnusableRowError(
            f"expert_parallel: {group} ranks with tensor_parallel {tensor} do not divide "
            f"{count} accelerators"
        )
    if group % min(expert, group):
        raise UnusableRowError(
            f"expert_parallel: {expert} ranks do not divide the {group} accelerators of a replica"
        )
    return group


def _attention_ranks(row: Row, *, flags: bool) -> int | None:
    """Return the ranks that repeat attention: 1 for none of that, None for as many as there are."""
    written = row.text("attention_data_parallel").lower()
    if written in NO or not written:
        return 1
    if written in YES:
        return None
    if flags:
        return None if written == "1" else 1
    if re.fullmatch(r"[0-9]+(\.0*)?", written):
        return max(1, int(float(written)))
    raise UnusableRowError(f"attention_data_parallel: {written!r} is neither true nor false")


def weight_scheme(row: Row, native: str, own: Mapping[str, object], known: frozenset[str]) -> str:
    """Return the model's scheme that a row's weight format names; the native one for a blank.

    `own` are the schemes that the model describes, `known` all that it can take.
    """
    written = row.text("weight_format").lower()
    if not written:
        return native
    by_name = {name.lower(): name for name in known}
    name = WEIGHT_ALIASES.get(written, written)
    if written in by_name and (written in own or written not in FOUR_BIT):
        return by_name[written]
    if name in FOUR_BIT:
        described = [one for one in FOUR_BIT if one in own]
        if name == "fp4" and len(described) == 1:
            return described[0]
    if name in by_name:
        return by_name[name]
    raise UnusableRowError(
        f"weight_format: no format {row.text('weight_format')!r}; {nearest(name, known)}"
    )


def cache_format(row: Row) -> str:
    """Return a row's KV format; where it is blank, FP8 unless the weights are 16 bits wide."""
    written = row.text("kv_format").lower()
    if not written or written == "auto":
        weights = row.text("weight_format").lower()
        return "bf16" if WEIGHT_ALIASES.get(weights, weights) == "bf16" else "fp8"
    name = CACHE_ALIASES.get(written, written)
    if name not in BITS_PER_CACHE_ELEMENT:
        hint = nearest(name, BITS_PER_CACHE_ELEMENT)
        raise UnusableRowError(f"kv_format: no format {row.text('kv_format')!r}; {hint}")
    return name
