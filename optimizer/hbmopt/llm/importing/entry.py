"""An imported model as a file of the catalogue, and as the numbers that follow from it."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import yaml

from hbmopt.basics import one_line, visible
from hbmopt.llm import COMPONENTS, Llm
from hbmopt.llm.importing.keys import Account

CONTEXTS = {"8k": 8192, "128k": 131_072, "1M": 1_048_576}
"""Contexts that cache sizes are quoted at, in tokens."""

CACHE_FORMATS = ("bf16", "fp8")


class _Dumper(yaml.SafeDumper):
    """Block style, whole numbers without a point, short mappings on one line."""


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    if value.is_integer():
        return dumper.represent_int(int(value))
    return dumper.represent_float(value)


def _represent_mapping(dumper: yaml.SafeDumper, value: Mapping[str, Any]) -> yaml.Node:
    flat = not any(isinstance(item, dict | list) for item in value.values())
    short = flat and sum(len(f"{key}: {item}, ") for key, item in value.items()) < 88
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=short)


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(dict, _represent_mapping)


def entry_mapping(llm: Llm) -> dict[str, Any]:
    """Return the entry as plain data, its status and what differs from the defaults."""
    stated = llm.model_dump(exclude_defaults=True, exclude_none=True) | {"status": llm.status}
    found: dict[str, Any] = {key: stated[key] for key in type(llm).model_fields if key in stated}
    found["attention"] = _kind_first(found["attention"])
    if "attention" in found.get("draft", {}):
        found["draft"]["attention"] = _kind_first(found["draft"]["attention"])
    return found


def _kind_first(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"kind": group["kind"], **group} for group in groups]


def entry_yaml(llm: Llm) -> str:
    """Return the entry as YAML, ready to be named in an instance: ``llm: FILE.yaml``."""
    head = one_line(summary(llm))
    body = _dumped(llm, unicode=True)
    if visible(body) != body:  # then by escapes, which mean the same
        body = _dumped(llm, unicode=False)
    return f"# {head}\n{body}"


def _dumped(llm: Llm, *, unicode: bool) -> str:
    return yaml.dump(
        entry_mapping(llm), Dumper=_Dumper, sort_keys=False, allow_unicode=unicode, width=100
    )


def parameters_text(count: float, digits: int) -> str:
    """Write a number of parameters in billions, or in millions where there are fewer than one."""
    if count < 1e9:
        return f"{count / 1e6:,.{digits}g} M"
    return f"{count / 1e9:,.{digits}g} B"


def bytes_text(size: float) -> str:
    """Write a size in GB, or in MB where it is less than one."""
    return f"{size / 1e6:,.5g} MB" if size < 1e9 else f"{size / 1e9:,.5g} GB"


def summary(llm: Llm) -> str:
    """Return the model's size in one line."""
    total, used = float(llm.parameters.total), float(llm.active_parameters)
    checkpoint = bytes_text(llm.checkpoint_bytes(llm.native_format))
    active = f", {parameters_text(used, 4)} active" if llm.mixture else ""
    slope = llm.token_bytes("fp8")
    state = f", {llm.state_bytes() / 1e6:,.4g} MB of state" if llm.state_bytes() else ""
    return (
        f"{llm.title or llm.name}: {parameters_text(total, 5)} parameters{active}, {checkpoint} as "
        f"{llm.native_format}, {slope / 1e3:,.4g} kB of fp8 cache per token{state}"
    )


def facts(llm: Llm, account: Account | None = None) -> dict[str, Any]:
    """Return what follows from an entry: parameters, bytes and FLOPs.

    Bytes are of one copy; held and read KV bytes are those of one sequence at each context, the
    recurrent state apart. FLOPs are of one generated token, matrix products and attention apart.
    With an account: which keys of the configuration decided, which were ignored and why, and which
    parts of the model were left out.
    """
    scheme = llm.native_format
    mixture = llm.mixture
    return {
        "name": llm.name,
        "total_parameters": round(llm.parameters.total),
        "active_parameters": round(llm.active_parameters),
        "matmul_parameters": round(llm.matmul_parameters),
        "parameters": {
            component: round(getattr(llm.parameters, component)) for component in COMPONENTS
        },
        "draft_parameters": round(llm.draft.parameters.total) if llm.draft else 0,
        "draft_modules": llm.draft.modules if llm.draft else 0,
        "native_format": scheme,
        "component_formats": {
            component: llm.component_format(scheme, component) for component in COMPONENTS
        },
        "stored_apart": llm.stored_apart.get(scheme, {}),
        "resident_bytes": {
            component: llm.component_bytes(scheme, component) for component in COMPONENTS
        },
        "checkpoint_bytes": llm.checkpoint_bytes(scheme),
        "experts": {
            "layers": mixture.layers,
            "routed": mixture.experts,
            "active": mixture.active,
        }
        if mixture
        else None,
        "kv_held_bytes": {
            kv_format: {
                name: llm.held_bytes(tokens, kv_format) for name, tokens in CONTEXTS.items()
            }
            for kv_format in CACHE_FORMATS
        },
        "kv_read_bytes": {
            kv_format: {
                name: llm.read_bytes(tokens, kv_format) for name, tokens in CONTEXTS.items()
            }
            for kv_format in CACHE_FORMATS
        },
        "state_bytes": llm.state_bytes(),
        "matmul_flops": llm.matmul_flops,
        "attention_flops": {name: llm.attention_flops(tokens) for name, tokens in CONTEXTS.items()},
        "note": llm.note,
    } | (_keys(account) if account is not None else {})


def _keys(account: Account) -> dict[str, Any]:
    return {
        "keys": {
            "decided": list(account.decided),
            "tallies": dict(account.tallies),
            "ignored": dict(account.ignored),
            "left_out": dict(account.left_out),
        }
    }


def facts_table(llm: Llm, account: Account | None = None) -> str:
    """Return the same numbers as text."""
    found = facts(llm)
    lines = [summary(llm), ""]
    lines.append(f"{'component':<16}{'parameters':>20}{'format':>18}{'GB':>12}")
    for component in COMPONENTS:
        count = found["parameters"][component]
        if count:
            size = found["resident_bytes"][component] / 1e9
            stored = found["component_formats"][component]
            lines.append(f"{component:<16}{count:>20,}{stored:>18}{size:>12,.3f}")
            for other, apart in found["stored_apart"].get(component, {}).items():
                lines.append(f"{'  of which':<16}{round(apart):>20,}{other:>18}")
    lines.append(f"{'total':<16}{found['total_parameters']:>20,}")
    if llm.mixture:
        lines.append(f"{'active':<16}{found['active_parameters']:>20,}")
    if llm.draft:
        each = f"{found['draft_parameters']:,} x {found['draft_modules']}"
        lines.append(f"{'draft modules':<16}{each:>20}")
        size = llm.draft_bytes(llm.native_format) / 1e9
        lines[-1] += f"{'':>18}{size * llm.draft.modules:>12,.3f}"
    lines.append(f"{'checkpoint':<16}{'':>38}{found['checkpoint_bytes'] / 1e9:>12,.3f}")
    lines += ["", f"{'per sequence':<24}" + "".join(f"{name:>14}" for name in CONTEXTS)]
    for kv_format in CACHE_FORMATS:
        for what, label in (("kv_held_bytes", "held"), ("kv_read_bytes", "read per token")):
            values = found[what][kv_format].values()
            named = f"KV {kv_format} {label}"
            lines.append(f"{named:<24}" + "".join(f"{one / 1e6:>11,.2f} MB" for one in values))
    flops = found["attention_flops"].values()
    lines.append(f"{'attention':<24}" + "".join(f"{one / 1e9:>11,.2f} GF" for one in flops))
    lines.append(f"{'matrix products':<24}{found['matmul_flops'] / 1e9:>11,.2f} GFLOP per token")
    if found["state_bytes"]:
        lines.append(f"{'recurrent state':<24}{found['state_bytes'] / 1e6:>11,.2f} MB")
    if llm.note:
        lines += ["", llm.note]
    if account is not None:
        lines += account_lines(account)
    return visible("\n".join(lines) + "\n")


def account_lines(account: Account) -> list[str]:
    """Return what became of the keys of a configuration, as lines of text."""
    lines = ["", "keys that decided", *_wrapped(", ".join(account.decided))]
    if account.tallies:
        lines += ["", "of these keys counts how many, not where or how it is rounded"]
        for key, said in account.tallies.items():
            lines += _wrapped(f"{key}: {said}")
    reasons: dict[str, list[str]] = {}
    for key, reason in account.ignored.items():
        reasons.setdefault(reason, []).append(key)
    if reasons:
        lines += ["", "keys that were ignored, and why"]
        for reason, keys in reasons.items():
            lines += [f"  {reason}:", *_wrapped(", ".join(keys), indent=4)]
    if account.left_out:
        lines += ["", "parts that were left out"]
        lines += [f"  {part} ({key})" for key, part in account.left_out.items()]
    return lines


def _wrapped(text: str, indent: int = 2) -> list[str]:
    space = " " * indent
    return wrap(
        text,
        96,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
