"""An imported model as a file of the catalogue, and as the numbers that follow from it."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import yaml

from hbmopt.basics import aligned, one_line, visible, wrapped
from hbmopt.llm import COMPONENTS, Llm
from hbmopt.llm.importing.keys import Account

CONTEXTS = {"8k": 8192, "128k": 131_072, "1M": 1_048_576}
"""Contexts that cache sizes are quoted at, in tokens."""

CACHE_FORMATS = ("bf16", "fp8")

WIDTH = 96
"""Width of lists of keys where there is no terminal."""

MOST_BYTES_IN_MB = 1e11
"""Size from which on it is told in GB."""


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


def facts_table(llm: Llm, account: Account | None = None, width: int | None = None) -> str:
    """Return the same numbers as text, no wider than a terminal where one is given."""
    lines = [summary(llm), ""]
    lines += aligned(_parameters(llm), right=(1, 2, 3))
    lines += ["", *aligned(_sequences(llm), right=range(1, len(CONTEXTS) + 1))]
    if llm.note:
        lines += ["", llm.note]
    if account is not None:
        lines += account_lines(account, width or WIDTH)
    return wrapped(visible("\n".join(lines) + "\n"), width)


def _parameters(llm: Llm) -> list[list[str]]:
    """Return a row for each component: parameters, format and GB."""
    found = facts(llm)
    rows = [["component", "parameters", "format", "GB"]]
    for component in COMPONENTS:
        count = found["parameters"][component]
        if count:
            size = found["resident_bytes"][component] / 1e9
            stored = found["component_formats"][component]
            rows.append([component, f"{count:,}", stored, f"{size:,.3f}"])
            for other, apart in found["stored_apart"].get(component, {}).items():
                rows.append(["  of which", f"{round(apart):,}", other])
    rows.append(["total", f"{found['total_parameters']:,}"])
    if llm.mixture:
        rows.append(["active", f"{found['active_parameters']:,}"])
    if llm.draft:
        each = f"{found['draft_parameters']:,} x {found['draft_modules']}"
        size = llm.draft_bytes(llm.native_format) * llm.draft.modules / 1e9
        rows.append(["draft modules", each, "", f"{size:,.3f}"])
    rows.append(["checkpoint", "", "", f"{found['checkpoint_bytes'] / 1e9:,.3f}"])
    return rows


def _sequences(llm: Llm) -> list[list[str]]:
    """Return a row for what a sequence of some contexts keeps, reads and computes."""
    found = facts(llm)
    rows = [["per sequence", *CONTEXTS]]
    for kv_format in CACHE_FORMATS:
        for what, label in (("kv_held_bytes", "held"), ("kv_read_bytes", "read per token")):
            values = list(found[what][kv_format].values())
            rows.append(_in_unit(f"KV {kv_format} {label}", values))
    flops = found["attention_flops"].values()
    rows.append(["attention, GFLOP", *(f"{one / 1e9:,.2f}" for one in flops)])
    rows.append(["matrix products, GFLOP", f"{found['matmul_flops'] / 1e9:,.2f}"])
    if found["state_bytes"]:
        rows.append(_in_unit("recurrent state", [found["state_bytes"]]))
    return rows


def _in_unit(label: str, sizes: Sequence[float]) -> list[str]:
    """Return a row of bytes in MB, or in GB where that would take many digits."""
    unit, size = ("GB", 1e9) if max(sizes) >= MOST_BYTES_IN_MB else ("MB", 1e6)
    return [f"{label}, {unit}", *(f"{one / size:,.2f}" for one in sizes)]


def account_lines(account: Account, width: int = WIDTH) -> list[str]:
    """Return what became of the keys of a configuration, as lines of text."""
    lines = ["", "keys that decided", *_wrapped(", ".join(account.decided), width)]
    if account.tallies:
        lines += ["", "of these keys counts how many, not where or how it is rounded"]
        for key, said in account.tallies.items():
            lines += _wrapped(f"{key}: {said}", width)
    reasons: dict[str, list[str]] = {}
    for key, reason in account.ignored.items():
        reasons.setdefault(reason, []).append(key)
    if reasons:
        lines += ["", "keys that were ignored, and why"]
        for reason, keys in reasons.items():
            lines += [f"  {reason}:", *_wrapped(", ".join(keys), width, indent=4)]
    if account.left_out:
        lines += ["", "parts that were left out"]
        lines += [f"  {part} ({key})" for key, part in account.left_out.items()]
    return lines


def _wrapped(text: str, width: int, indent: int = 2) -> list[str]:
    space = " " * indent
    return wrap(
        text,
        width,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
