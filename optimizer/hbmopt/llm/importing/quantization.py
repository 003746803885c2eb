"""In which formats a checkpoint stores its weights, as its configuration says.

The configuration names one format and the modules that are left out of it. Both are found in
several places and spellings: `quantization_config` at the top or in the text configuration,
`hf_quant_config.json` beside it, `quant_method`, `quant_algo`, compressed-tensors groups.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hbmopt.errors import InputError, nearest
from hbmopt.llm import BITS_PER_WEIGHT, DRAFT
from hbmopt.llm.importing.keys import Keys

QUANTIZED = ("attention", "dense_ffn", "shared_experts", "routed_experts", DRAFT)
"""Components that formats differ in; tables, head, router and norms stay in bf16."""

_ALGORITHMS = {
    "FP8": "fp8",
    "FP8_PB_WO": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A8_NVFP4_FP8": "nvfp4",
    "W4A16_NVFP4": "nvfp4_a16",
    "W4A8_MXFP4_FP8": "mxfp4",
    "MXFP4": "mxfp4",
    "MXFP8": "mxfp8",
    "INT8_SQ": "int8",
    "W8A8": "int8",
    "W8A16": "int8_a16",
    "W8A16_GPTQ": "int8_a16",
    "INT4_AWQ": "int4_g128",
    "W4A16": "int4_g128",
    "W4A16_GPTQ": "int4_g128",
    "W4A16_AWQ": "int4_g128",
    "W4A8_AWQ": "int4_g128",
}
_METHODS = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "finegrained_fp8": "fp8",
    "mxfp4": "mxfp4",
    "mxfp8": "mxfp8",
    "nvfp4": "nvfp4",
    "w8a8_fp8": "fp8",
    "w8a8_int8": "int8",
}
_WEIGHT_ONLY = (
    "gptq",
    "gptq_marlin",
    "awq",
    "awq_marlin",
    "auto-round",
    "auto_round",
    "intel/auto-round",
)
"""Methods whose `bits` say the format: whole numbers, multiplied in bf16."""

_LEFT_OUT = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Keys that list modules which are not quantized."""

_EXPERT_TYPES = {"fp4": "mxfp4", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "fp8": "fp8"}
"""`expert_dtype` of DeepSeek-V4: 4-bit floats with one 8-bit scale per 32 weights."""


@dataclass(frozen=True)
class Formats:
    """The format of a checkpoint, and the components that differ from it."""

    scheme: str
    components: dict[str, str]
    notes: tuple[str, ...] = ()


Layers = Sequence[frozenset[str]]
"""The components that each layer has."""


def stated_formats(outer: Keys, keys: Keys, *, layers: Layers, mtp: bool) -> Formats:
    """Return the formats that a configuration states: bf16 where it says nothing.

    Raises
    ------
    InputError
        For a quantization that is not known; `--checkpoint-format` then says what it is.
    """
    found = _section(outer, keys)
    if found is None:
        return Formats("bf16", {})
    place, name, stated = found
    try:
        return _stated(stated, keys, layers=layers, mtp=mtp)
    except InputError as error:
        raise place.error(name, str(error)) from None


def _stated(stated: Mapping[str, Any], keys: Keys, *, layers: Layers, mtp: bool) -> Formats:
    left_out = _left_out(stated, layers)
    listed = stated.get("quantized_layers")
    base, components = _format(stated)
    if isinstance(listed, Mapping) and listed and stated.get("quant_algo") == "MIXED_PRECISION":
        return _mixed(stated, listed, left_out, base)
    notes = []
    for component, share in left_out.items():
        if share >= 0.5:
            components[component] = "bf16"
        if 0.05 < share < 0.95:
            notes.append(
                f"{share:.0%} of the layers' {component} is not quantized; counted as "
                f"{'bf16' if share >= 0.5 else base} throughout."
            )
    expert_type = keys.raw("expert_dtype")
    if isinstance(expert_type, str) and expert_type in _EXPERT_TYPES:
        components["routed_experts"] = _EXPERT_TYPES[expert_type]
        return Formats("native", _complete(components, base), tuple(notes))
    if base == "mxfp4" and stated.get("quant_method") == "mxfp4":
        # Only the experts are converted to MXFP4 by this method.
        for component in ("attention", "dense_ffn", "shared_experts"):
            components[component] = "bf16"
    if not mtp:
        components.pop(DRAFT, None)
    if base == "bf16" and components:
        return Formats("native", _complete(components, base), tuple(notes))
    return Formats(base, components, tuple(notes))


def _complete(components: dict[str, str], base: str) -> dict[str, str]:
    """Name the format of every quantized component, for a scheme that is not one format."""
    return {
        component: components.get(component, base)
        for component in QUANTIZED
        if component != DRAFT or component in components
    }


def _section(outer: Keys, keys: Keys) -> tuple[Keys, str, Mapping[str, Any]] | None:
    """Return the section that states the quantization, where it stands and its name."""
    for place in (outer, keys):
        for name in ("quantization_config", "quantization", "compression_config"):
            found = place.raw(name)
            if found is None:
                continue
            if not isinstance(found, Mapping):
                raise place.error(name, f"{found!r} is not a mapping")
            if found:
                return place, name, found
    return None


def _unknown(what: str) -> InputError:
    return InputError(
        f"{what} is not a quantization that is known; say what the weights are with "
        f"--checkpoint-format: {', '.join(sorted(BITS_PER_WEIGHT))}"
    )


def _format(stated: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the format that a section names, and components for which it names another."""
    algorithm = stated.get("quant_algo")
    if algorithm == "MIXED_PRECISION":
        method = str(stated.get("quant_method"))
        if isinstance(stated.get("moe_quant_algo"), str) and method in _METHODS:
            return _METHODS[method], {}
        listed = stated.get("quantized_layers")
        if isinstance(listed, Mapping):
            named = [
                str(one.get("quant_algo")) for one in listed.values() if isinstance(one, Mapping)
            ]
            if named:
                algorithm = _most_common(named)
    if isinstance(algorithm, str) and algorithm != "MIXED_PRECISION":
        if algorithm.upper() not in _ALGORITHMS:
            raise _unknown(f"quant_algo {algorithm!r}")
        return _ALGORITHMS[algorithm.upper()], {}
    groups = stated.get("config_groups")
    if isinstance(groups, Mapping) and groups:
        return _compressed(stated, groups)
    method = str(stated.get("quant_method", ""))
    if method == "quark":
        return _quark(stated)
    if method == "bitsandbytes":
        return _bitsandbytes(stated), {}
    if method in _METHODS:
        return _METHODS[method], {}
    if method in _WEIGHT_ONLY:
        if str(stated.get("data_type", "int")) != "int":
            raise _unknown(f"{method} with data_type {stated.get('data_type')!r}")
        bits = stated.get("bits", stated.get("w_bit"))
        return _weight_only(bits, stated.get("group_size"), method), {}
    raise _unknown(f"quant_method {method!r}" if method else "a section without quant_method")


def _most_common(names: list[str]) -> str:
    """Return the name that is there most often, the first of several."""
    return max(dict.fromkeys(names), key=names.count)


def _weight_only(bits: object, group: object, what: str) -> str:
    """Return the format of whole numbers with 16-bit activations."""
    if bits == 4:
        return "int4" if group == 32 else "int4_g128"
    if bits == 8:
        return "int8_a16"
    raise _unknown(f"{what} with {bits!r} bits")


def _compressed(stated: Mapping[str, Any], groups: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return formats of compressed-tensors: of all linear layers, or of the modules targeted."""
    base: str | None = None
    components: dict[str, str] = {}
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping):
            raise _unknown(f"config_groups.{name} without weights")
        layout = str(group.get("format") or stated.get("format") or "")
        activations = isinstance(group.get("input_activations"), Mapping)
        found = _grouped(weights, layout, activations=activations)
        targets = group.get("targets")
        if not isinstance(targets, list) or "Linear" in targets:
            base = base or found
            continue
        for target in targets:
            named = _components(str(target))
            if not named and not re.search(r"embed|lm_head|vision|visual", str(target)):
                raise _unknown(f"config_groups.{name} with the target {target!r}")
            components.update(dict.fromkeys(named, found))
    return base or "bf16", components


def _grouped(weights: Mapping[str, Any], layout: str, *, activations: bool) -> str:
    """Return the format of a compressed-tensors group."""
    bits, kind, group = weights.get("num_bits"), weights.get("type"), weights.get("group_size")
    if "mxfp4" in layout:
        return "mxfp4"
    if "mxfp8" in layout:
        return "mxfp8"
    if bits == 4 and kind == "float":
        if group == 32:
            return "mxfp4"
        return "nvfp4" if activations else "nvfp4_a16"
    if bits == 8 and kind == "float":
        return "mxfp8" if group == 32 else "fp8"
    if bits == 8 and kind == "int":
        return "int8" if activations else "int8_a16"
    if bits == 4 and kind == "int":
        return "int4" if group == 32 else "int4_g128"
    raise _unknown(f"{bits!r} bits of type {kind!r}")


def _quark(stated: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return formats of Quark: one for all layers, and those of the layers named."""
    base = _quark_format(stated.get("global_quant_config"))
    components: dict[str, str] = {}
    listed = stated.get("layer_quant_config")
    for name, one in listed.items() if isinstance(listed, Mapping) else ():
        for component in _components(str(name)):
            components[component] = _quark_format(one)
    return base, {name: one for name, one in components.items() if one != base}


def _quark_format(described: object) -> str:
    weight = described.get("weight") if isinstance(described, Mapping) else None
    if isinstance(weight, list) and weight:
        weight = weight[0]
    if not isinstance(weight, Mapping):
        raise _unknown("quark without a description of its weights")
    dtype, group = str(weight.get("dtype")), weight.get("group_size")
    inputs = isinstance(described, Mapping) and described.get("input_tensors") is not None
    if dtype == "fp8_e4m3":
        return "fp8"
    if dtype == "fp4" and group == 32:
        return "mxfp4"
    if dtype == "int8":
        return "int8" if inputs else "int8_a16"
    if dtype in ("int4", "uint4"):
        return "int4" if group == 32 else "int4_g128"
    raise _unknown(f"quark with weights of {dtype!r}")


def _bitsandbytes(stated: Mapping[str, Any]) -> str:
    """Return the format of bitsandbytes: 8-bit, or 4-bit with or without doubly stored scales."""
    if stated.get("load_in_8bit") or stated.get("_load_in_8bit"):
        return "int8"
    if stated.get("load_in_4bit") or stated.get("_load_in_4bit"):
        # One fp32 scale per 64 weights takes the bits of one bf16 scale per 32.
        return "nf4" if stated.get("bnb_4bit_use_double_quant") else "int4"
    raise _unknown("bitsandbytes with neither 4 nor 8 bits")


def _mixed(
    stated: Mapping[str, Any],
    listed: Mapping[str, Any],
    left_out: dict[str, float],
    base: str,
) -> Formats:
    """Return the formats where every quantized module is listed with its own.

    Modules that are not listed are in the format of `quant_method`, where that is one, or bf16.
    """
    method = _METHODS.get(str(stated.get("quant_method", "")))
    found: dict[str, list[str]] = {}
    for name, one in listed.items():
        if isinstance(one, Mapping) and "quant_algo" in one:
            algorithm = str(one["quant_algo"]).upper()
            if algorithm not in _ALGORITHMS:
                raise _unknown(f"quant_algo {algorithm!r}")
            for component in _components(str(name)):
                found.setdefault(component, []).append(_ALGORITHMS[algorithm])
    if not found:
        # The list was cut off: the experts' format is all that is known.
        expert = stated.get("moe_quant_algo")
        if not isinstance(expert, str):
            raise _unknown("a mixed precision without its list of layers")
        found["routed_experts"] = [_ALGORITHMS.get(expert.upper(), base)]
    components = {}
    for component in QUANTIZED:
        if component in found:
            formats = found[component]
            components[component] = _most_common(formats)
        elif component != DRAFT:
            components[component] = method or "bf16"
        elif left_out.get(DRAFT, 0.0) >= 0.5:
            components[DRAFT] = method or "bf16"
    return Formats("native", components)


def _components(name: str) -> tuple[str, ...]:
    """Return the components that a module name or pattern speaks of."""
    plain = re.sub(r"[\\^$]", "", name.removeprefix("re:"))
    if re.search(r"mtp|nextn|eagle", plain):
        return (DRAFT,)
    if re.search(r"vision|visual|projector|patch_merge|embed|lm_head|^head$|norm|audio", plain):
        return ()
    if re.search(r"shared_expert_gate|e_score|router|mlp\.gate$|\.gate$|^gate$|moe\.gate$", plain):
        return ()
    if "shared_expert" in plain:
        return ("shared_experts",)
    if "expert" in plain:
        return ("routed_experts",)
    if re.search(r"attn|attention|mixer|mamba|conv1d|indexer|compressor", plain):
        return ("attention",)
    if re.search(r"mlp|ffn|feed_forward|_proj", plain):
        return ("dense_ffn",)
    return ()


def _left_out(stated: Mapping[str, Any], layers: Layers) -> dict[str, float]:
    """Return the share of the layers with a component that do not quantize it, by component."""
    patterns: list[str] = []
    for key in _LEFT_OUT:
        listed = stated.get(key)
        if isinstance(listed, str):
            listed = [listed]
        if isinstance(listed, list):
            patterns += [str(one) for one in listed]
    places: dict[str, set[int]] = {}
    everywhere: dict[str, float] = {}
    for pattern in patterns:
        found = re.search(r"layers\.(\d+)(?!\d)", pattern)
        number = int(found.group(1)) if found else -1
        if number >= len(layers):
            everywhere[DRAFT] = 1.0
        elif re.search(r"layers\.\d+[.*]*$", pattern):
            for component in layers[number]:
                places.setdefault(component, set()).add(number)
        else:
            for component in _components(pattern):
                if number < 0 or component == DRAFT:
                    everywhere[component] = 1.0
                elif component in layers[number]:
                    places.setdefault(component, set()).add(number)
    shares = {
        component: len(named) / sum(component in layer for layer in layers)
        for component, named in places.items()
    }
    return {**shares, **everywhere}


def named_format(name: str) -> str:
    """Return a weight format named by the user. Raises `InputError` with the nearest one."""
    if name not in BITS_PER_WEIGHT:
        raise InputError(
            f"--checkpoint-format: no format {name!r}; {nearest(name, BITS_PER_WEIGHT)}"
        )
    return name
