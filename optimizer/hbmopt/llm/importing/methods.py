"""Methods of quantization: from the section of a configuration to the rules of its matrices."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hbmopt.errors import nearest
from hbmopt.llm import other_format, weight_bits
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import any_of
from hbmopt.llm.importing.scheme import (
    LEFT_OUT,
    RECIPE,
    Rule,
    Scheme,
    all_but_tables,
    halved,
    left_out,
    linear,
    routed,
    unknown,
    whole_numbers,
)
from hbmopt.llm.importing.weight_only import READERS, mlx

ALGORITHMS = {
    "FP8": "fp8",
    "FP8_PB_WO": "fp8",
    "FP8_PB_REAL": "fp8",
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
"""Names of ModelOpt and TensorRT-LLM."""

METHODS = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "finegrained_fp8": "fp8",
    "mxfp4": "mxfp4",
    "mxfp8": "mxfp8",
    "nvfp4": "nvfp4",
    "w8a8_fp8": "fp8",
    "w8a8_int8": "int8",
}
"""Methods that are one format."""


def scheme_of(section: Keys) -> Scheme:
    """Return the scheme that a section of a configuration describes."""
    found = _method(section)(section)
    section.ignore_where(RECIPE, "the recipe by which weights were quantized, not what is stored")
    return found


NAMED = frozenset(
    ["", "modelopt", "modelopt_fp4", "modelopt_mixed", "compressed-tensors", "compressed_tensors"]
)
"""Methods whose sections say the rest by groups or by algorithms."""


def _method(section: Keys) -> Callable[[Keys], Scheme]:
    method = str(section.raw("quant_method") or "")
    if method not in NAMED | METHODS.keys() | READERS.keys() | {"quark"}:
        raise unknown(f"quant_method {method!r}")
    if section.has("quant_algo"):
        return _modelopt
    if isinstance(section.raw("config_groups"), Mapping) and section.raw("config_groups"):
        return _compressed_tensors
    if method in METHODS:
        return _one_format
    if method == "quark":
        return _quark
    if method in READERS:
        return READERS[method]
    if not method and section.has("bits") and section.has("group_size"):
        return mlx
    raise unknown(f"quant_method {method!r}" if method else "a section without quant_method")


def _one_format(section: Keys) -> Scheme:
    """FP8 of DeepSeek and others, MXFP4 of gpt-oss: one format and a list of exceptions."""
    method = str(section.raw("quant_method"))
    rules, patterns = left_out(section, "transformers")
    # Only the experts are converted to MXFP4 by this method.
    reach = routed if method == "mxfp4" else all_but_tables
    return Scheme(METHODS[method], rules, reach, patterns)


def _algorithm(name: str) -> str:
    if name.upper() not in ALGORITHMS:
        raise unknown(f"quant_algo {name!r}")
    return ALGORITHMS[name.upper()]


def _modelopt(section: Keys) -> Scheme:
    """ModelOpt: one algorithm for all but the modules left out, or each module with its own."""
    algorithm = section.word("quant_algo")
    rules, patterns = left_out(section, "shell")
    method = METHODS.get(str(section.raw("quant_method") or ""))
    listed = section.raw("quantized_layers")
    if algorithm != "MIXED_PRECISION":
        section.ignore("quantized_layers", "config_groups", "moe_quant_algo")
        stored = _algorithm(algorithm)
        group = section.raw("group_size")
        if ALGORITHMS[algorithm.upper()] == "int4_g128" and group is not None:
            stored = whole_numbers(4, group, algorithm)
        return Scheme(stored, rules, all_but_tables, patterns)
    section.ignore("config_groups")
    formats: dict[str, list[str]] = {}
    for name, one in listed.items() if isinstance(listed, Mapping) else ():
        if isinstance(one, Mapping) and "quant_algo" in one:
            formats.setdefault(_algorithm(str(one["quant_algo"])), []).append(str(name))
    base = method or "bf16"
    expert = section.raw("moe_quant_algo")
    if not formats:
        # The list was cut off: the experts' format is all that is known.
        if not isinstance(expert, str):
            raise unknown("a mixed precision without its list of layers")
        return Scheme(base, (), patterns=patterns, single=False, experts=_algorithm(expert))
    named = tuple(Rule(any_of(names, "shell"), stored) for stored, names in formats.items())
    spelled = tuple(name for names in formats.values() for name in names)
    for key in (*LEFT_OUT, "moe_quant_algo"):
        section.idle(key, "what is quantized is listed module by module")
    # What is listed neither here nor there is in the format of the method, where that is one.
    return Scheme(base, named, patterns=(*patterns, *spelled), single=False)


STRATEGIES = (None, "tensor", "channel", "group", "block", "tensor_group", "token", "attn_head")

LAYOUTS = frozenset(
    f"{one}-quantized"
    for one in ("naive", "float", "int", "pack", "nvfp4-pack", "mxfp4-pack", "mxfp8")
) | {"dense", "marlin-24", "mixed-precision", "sparse-24-bitmask", "sparse-bitmask"}
"""How compressed-tensors lays weights out; all but the sparse ones take the bits of the format."""


def _compressed_tensors(section: Keys) -> Scheme:
    """compressed-tensors: formats of linear layers, or of the modules that a group targets."""
    groups = section.below("config_groups")
    assert groups is not None
    ignored, patterns = left_out(section, "compressed-tensors")
    library = "compressed-tensors"
    if "modelopt" in str(section.raw("quant_method")):
        library = "shell"
        ignored, patterns = left_out(section, "shell")
    base: str | None = None
    named: list[Rule] = []
    layout = str(section.raw("format") or "")
    if layout and layout not in LAYOUTS:
        raise section.error("format", f"{layout!r} is not known; {nearest(layout, LAYOUTS)}")
    for name in groups.values:
        group = groups.below(str(name))
        weights = group.below("weights") if group is not None else None
        if group is None or weights is None:
            raise unknown(f"config_groups.{name} without weights")
        inputs = group.raw("input_activations")
        if inputs is not None and not isinstance(inputs, Mapping):
            raise group.error("input_activations", f"{inputs!r} is not a mapping")
        activations = inputs is not None
        group.ignore("output_activations")
        stored = _grouped(weights, str(group.raw("format") or layout), activations=activations)
        targets = group.listed("targets")
        if targets is None or "Linear" in targets:
            if base is not None and base != stored:
                raise unknown(f"config_groups.{name} with targets that another group has")
            base = stored
            continue
        for target in targets:
            if not isinstance(target, str):
                raise group.error("targets", f"{target!r} is not a name")
        named.append(Rule(any_of(targets, library), stored))
        patterns = (*patterns, *targets)
    base = base or "bf16"
    # Where exceptions are listed and the head is not one of them, it is a linear layer too.
    head = bool(ignored) and library == "compressed-tensors"
    found = Scheme(
        base,
        (*ignored, *named),
        linear if head else all_but_tables,
        patterns,
        single=base != "bf16",
    )
    return _sparse(section, found)


def _sparse(section: Keys, dense: Scheme) -> Scheme:
    """Return the scheme with two of four weights stored, where the section says so."""
    stated = section.below("sparsity_config")
    layout = str(section.raw("format") or "")
    if layout == "marlin-24":
        section.ignore("sparsity_config")
        return replace(dense, base=halved(dense.base))
    if stated is None or not stated.values or stated.raw("format") in (None, "dense"):
        if stated is not None:
            stated.ignore_all("weights are stored densely")
        return dense
    kind = stated.word("format")
    if kind != "sparse-24-bitmask" or stated.raw("sparsity_structure") not in (None, "2:4"):
        raise unknown(f"the sparsity {kind!r}, whose bytes depend on the weights,")
    ignored, patterns = left_out(stated, "compressed-tensors")
    stated.ignore_where(RECIPE, "the recipe by which weights were pruned")
    stated.ignore("targets")
    return replace(
        dense,
        single=False,
        patterns=(*dense.patterns, *patterns),
        halves=lambda matrix: (
            all_but_tables(matrix)
            and not any(rule.matches(name) for rule in ignored for name in matrix.names)
        ),
    )


def _grouped(weights: Keys, layout: str, *, activations: bool) -> str:
    """Return the format of a compressed-tensors group."""
    bits, kind, group = (weights.raw(key) for key in ("num_bits", "type", "group_size"))
    symmetric = weights.flag("symmetric", default=True)
    strategy = weights.raw("strategy")
    if strategy not in STRATEGIES:
        raise weights.error("strategy", f"{strategy!r} is not known")
    weights.ignore_where(RECIPE, "the recipe by which weights were quantized")
    weights.ignore("block_structure")
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
        if activations:
            return "int8"
        return whole_numbers(8, group, "int8", zeros=not symmetric) if group else "int8_a16"
    if bits == 4 and kind == "int":
        if strategy == "channel":
            group = -1
        stored = whole_numbers(4, group, "int4", zeros=not symmetric)
        return other_format(weight_bits(stored), 8) if activations else stored
    raise unknown(f"{bits!r} bits of type {kind!r}")


def _quark(section: Keys) -> Scheme:
    """Quark: a format for all layers, and those of the layers named."""
    base = _quark_format(section.raw("global_quant_config"))
    left, patterns = left_out(section, "shell")
    rules: list[Rule] = []
    listed = section.raw("layer_quant_config")
    for name, one in listed.items() if isinstance(listed, Mapping) else ():
        rules.append(Rule(any_of([str(name)], "shell"), _quark_format(one)))
        patterns = (*patterns, str(name))
    section.ignore("layer_type_quant_config")
    return Scheme(base, (*left, *rules), all_but_tables, patterns)


def _quark_format(described: Any) -> str:
    weight = described.get("weight") if isinstance(described, Mapping) else None
    if isinstance(weight, list) and weight:
        weight = weight[0]
    if not isinstance(weight, Mapping):
        raise unknown("quark without a description of its weights")
    dtype, group = str(weight.get("dtype")), weight.get("group_size")
    inputs = isinstance(described, Mapping) and described.get("input_tensors") is not None
    if dtype == "fp8_e4m3":
        return "fp8"
    if dtype == "fp4" and group == 32:
        return "mxfp4"
    if dtype == "int8":
        return "int8" if inputs else "int8_a16"
    if dtype in ("int4", "uint4"):
        return whole_numbers(4, group, "quark", zeros=dtype == "uint4")
    raise unknown(f"quark with weights of {dtype!r}")
