"""An instance to start from: a shipped one, and every other key as a comment."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hbmopt.documents import Value, parse_document, shipped
from hbmopt.instance.economics import Economics
from hbmopt.instance.schema import Choices, Limits, Workload

BLOCKS: Mapping[str, tuple[type[BaseModel], Mapping[str, str]]] = {
    "workload": (
        Workload,
        {
            "context": "8192",
            "prompt": "8192",
            "output": "1024",
            "capacity_context": "131072",
            "prefill": "shared",
            "prefix_hit_rate": "0.6",
            "draft_acceptance": "0.7",
            "draft_acceptance_by_position": "[0.8, 0.6, 0.5]",
        },
    ),
    "limits": (
        Limits,
        {
            "power": "8 kW",
            "power_scope": "facility",
            "power_capped": "false",
            "pue": "1.25",
            "min_speed": "25 tok/s/user",
            "min_throughput": "50k tok/s",
            "max_batch": "256",
            "accelerator_power": "600 W",
            "budget_usd": "2 MUSD",
            "budgets": "[{name: nic, unit: GB/s, capacity: 400, per_token: 0.001}]",
        },
    ),
    "choices": (
        Choices,
        {
            "weight_formats": "[bf16, fp8]",
            "kv_formats": "[bf16, fp8]",
            "kv_compressions": "[{name: half, ratio: 0.5, flops_per_byte: 2}]",
            "draft_tokens": "[0, 1, 2, 3]",
            "replica_accelerators": "[4, 8]",
            "tensor_parallel": "[1, 2, 4, 8]",
            "expert_parallel": "[1, 8]",
            "attention_data_parallel": "[1, 8]",
            "pipeline_parallel": "[1, 2]",
            "context_parallel": "[1, 2]",
            "lookup_tables": "host",
            "clocks": "[1, 0.9, 0.8, 0.7, 0.6]",
            "lpu_units": "[0, 64]",
            "uniform": "false",
            "whole_sequences": "false",
        },
    ),
    "economics": (
        Economics,
        {
            "life": "4 years",
            "discount_rate": "0.1",
            "power_price": "0.06 USD/kWh",
            "site": "12000 USD/kW",
            "site_life": "20 years",
            "operations_share": "0.04",
            "operations": "150000 USD/year",
            "utilisation": "0.4",
            "load": "[{share: 1, weight: 10}, {share: 0.3, weight: 14}]",
        },
    ),
}
"""Blocks of an instance, their schema, and a value that each key may have."""

HEADING = """\
# An instance of hbmopt: one problem. Solve it with: hbmopt solve FILE
# Names of racks and models: hbmopt catalog racks, hbmopt catalog llms.
# A quantity carries its unit, such as 90 kW, 288 GB or 8 TB/s.
"""

OTHERS = """
# What else may be set, each in the block of its name:
"""

REPLACED = """
# A rack or model may be changed where it is named:
#   rack: {base: hgx_h200, accelerator: {base: nvidia_h200, hbm_capacity: 288 GB}}
"""


def starting_text(name: str) -> str:
    """Return a shipped instance with comments that name every key which it does not set.

    Raises `InputError` for a name that is not shipped.
    """
    lines = shipped.text(name).splitlines(keepends=True)
    body = "".join(line for line in lines if not line.startswith("# yaml-language-server"))
    given = parse_document(body, name).value
    return HEADING + "\n" + body + OTHERS + "".join(_others(given)) + REPLACED


def _others(given: Value) -> list[str]:
    """Return the comment lines of keys that an instance does not set."""
    lines = []
    for block, (schema, examples) in BLOCKS.items():
        own: Any = given.get(block) if isinstance(given, dict) else None
        left = {key: value for key, value in examples.items() if key not in (own or {})}
        width = max((len(f"{key}: {value}") for key, value in left.items()), default=0)
        lines.append(f"# {block}:\n")
        for key, value in left.items():
            setting, said = f"{key}: {value}", schema.model_fields[key].description
            lines.append(f"#   {setting:<{width}}  # {said}\n")
    return lines
