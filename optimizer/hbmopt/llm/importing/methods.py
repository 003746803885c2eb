"""Methods of quantization: from the section of a configuration to the rules of its matrices."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hbmopt.errors import nearest
from hbmopt.llm import BITS_PER_WEIGHT, other_format, weight_bits
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import Matcher, Unplaced, any_of
from hbmopt.llm.importing.naming import Matrix

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

GPTQ = ("gptq", "gptq_marlin", "gptqmodel", "gptq_marlin_24")
AWQ = ("awq", "awq_marlin", "gemm")
AUTO_ROUND = ("auto-round", "auto_round", "intel/auto-round", "inc")

LEFT_OUT = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Keys that list modules which are not quantized."""

HEAD = ("lm_head", "embedding")


@dataclass(frozen=True)
class Rule:
    """A list of modules, and the format that they are stored in; none: they are left out."""

    matches: Matcher
    stored: str | None


def _all_but_tables(matrix: Matrix) -> bool:
    return matrix.component not in HEAD


def _linear(matrix: Matrix) -> bool:
    return matrix.component != "embedding"


def _experts(matrix: Matrix) -> bool:
    return matrix.component == "routed_experts"


def _nothing(_matrix: Matrix) -> bool:
    return False


@dataclass(frozen=True)
class Scheme:
    """The format of a checkpoint and the rules by which matrices have another one."""

    base: str
    rules: tuple[Rule, ...] = ()
    reach: Callable[[Matrix], bool] = _all_but_tables
    """What is quantized where no rule speaks of it."""
    patterns: tuple[str, ...] = ()
    """All patterns of the rules, which show how the file spells names."""
    single: bool = True
    """Whether the base is the format of the whole; else the scheme is one of its own."""
    experts: str | None = None
    """The format of routed experts, where it is stated for them."""
    halves: Callable[[Matrix], bool] = _nothing
    """Of which matrices two of four weights are kept."""
    notes: tuple[str, ...] = ()

    @property
    def tells_experts_apart(self) -> bool:
        """Whether a pattern singles out some of the experts."""
        return any(re.search(r"experts\\?\.[^.*]{0,8}\d", one) for one in self.patterns)

    def covers(self, component: str) -> bool:
        """Whether a component that no matrix stands for would be quantized."""
        return self.reach(Matrix(component, (), 0))

    def with_experts(self, stored: str) -> "Scheme":
        """Return the scheme with routed experts in a format of their own."""
        return replace(self, experts=stored, single=False)

    def stored(self, matrix: Matrix) -> str | None:
        """Return the format of a matrix, None where it is not quantized."""
        found = self._stored(matrix)
        return halved(found or "bf16") if self.halves(matrix) else found

    def _stored(self, matrix: Matrix) -> str | None:
        for rule in self.rules:
            if any(rule.matches(name) for name in matrix.names):
                return rule.stored
        if self.experts is not None and _experts(matrix):
            return self.experts
        return self.base if self.base != "bf16" and self.reach(matrix) else None


def unknown(what: str) -> Unplaced:
    """Return the error of a quantization that is not known."""
    return Unplaced(
        f"{what} is not a quantization that is known; say what the weights are with "
        f"--checkpoint-format: {', '.join(sorted(BITS_PER_WEIGHT))}"
    )


def scheme_of(section: Keys) -> Scheme:
    """Return the scheme that a section of a configuration describes."""
    found = _method(section)(section)
    section.ignore_where(RECIPE, "the recipe by which weights were quantized, not what is stored")
    return found


RECIPE = re.compile(
    r"^(?!.*(layer|module|exclude|ignore|skip|group|bits|sparse|expert|override|dynamic_)).*$"
    r"|^(kv_cache_.*|act_.*|llm_int8_.*|bnb_4bit_compute_dtype|bnb_4bit_quant_storage"
    r"|q?_?group_size|bits|w_bit|weight_bits|moe_quant_algo|modules_to_fuse|group_by_name"
    r"|module_name_preceding_first_block|super_group_size|super_bits|layer_type_quant_config"
    r"|block_name_to_quantize|dynamic_activation|quant_block_list|.*_group_size|to_quant_block_names"
    r"|low_gpu_mem_usage|enable_quanted_input|disable_.*|static_groups)$"
)
"""Keys of a section that change nothing which is stored; any other one that is not read does."""


NAMED = frozenset(
    ["", "modelopt", "modelopt_fp4", "modelopt_mixed", "compressed-tensors", "compressed_tensors"]
)
"""Methods whose sections say the rest by groups or by algorithms."""


def _method(section: Keys) -> Callable[[Keys], Scheme]:
    method = str(section.raw("quant_method") or "")
    readers = {name for names, _ in _READERS for name in names}
    if method not in NAMED | METHODS.keys() | readers:
        raise unknown(f"quant_method {method!r}")
    if isinstance(section.raw("quant_algo"), str):
        return _modelopt
    if isinstance(section.raw("config_groups"), Mapping) and section.raw("config_groups"):
        return _compressed_tensors
    if method in METHODS:
        return _one_format
    for names, read in _READERS:
        if method in names:
            return read
    raise unknown(f"quant_method {method!r}" if method else "a section without quant_method")


def _left_out(section: Keys, library: str, *more: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rule of the modules that are listed as left out, and the list."""
    patterns = [*more]
    for key in LEFT_OUT:
        listed = section.raw(key)
        if isinstance(listed, str):
            listed = [listed]
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise section.error(key, f"{listed!r} is not a list of names")
        patterns += listed
    if not patterns:
        return (), ()
    return (Rule(any_of(patterns, library), None),), tuple(patterns)


def _one_format(section: Keys) -> Scheme:
    """FP8 of DeepSeek and others, MXFP4 of gpt-oss: one format and a list of exceptions."""
    method = str(section.raw("quant_method"))
    rules, patterns = _left_out(section, "transformers")
    # Only the experts are converted to MXFP4 by this method.
    reach = _experts if method == "mxfp4" else _all_but_tables
    return Scheme(METHODS[method], rules, reach, patterns)


def _algorithm(name: str) -> str:
    if name.upper() not in ALGORITHMS:
        raise unknown(f"quant_algo {name!r}")
    return ALGORITHMS[name.upper()]


def _modelopt(section: Keys) -> Scheme:
    """ModelOpt: one algorithm for all but the modules left out, or each module with its own."""
    algorithm = section.word("quant_algo")
    rules, patterns = _left_out(section, "shell")
    method = METHODS.get(str(section.raw("quant_method") or ""))
    listed = section.raw("quantized_layers")
    if algorithm != "MIXED_PRECISION":
        section.ignore("quantized_layers", "config_groups", "moe_quant_algo")
        stored = _algorithm(algorithm)
        group = section.raw("group_size")
        if ALGORITHMS[algorithm.upper()] == "int4_g128" and group is not None:
            stored = whole_numbers(4, group, algorithm)
        return Scheme(stored, rules, _all_but_tables, patterns)
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


def whole_numbers(bits: object, group: object, what: str, *, zeros: bool = False) -> str:
    """Return the format of whole numbers by groups with 16-bit activations.

    A group has one 16-bit scale and, with `zeros`, a zero point as wide as a weight.
    """
    if bits not in (4, 8) or isinstance(bits, bool):
        raise unknown(f"{what} with {bits!r} bits")
    width = 4 if bits == 4 else 8
    if group is None:
        group = 128
    if isinstance(group, bool) or not isinstance(group, int) or group == 0 or group < -1:
        raise unknown(f"{what} with groups of {group!r}")
    if group == -1:
        # One scale per output channel.
        return other_format(width * 1.0002)
    bits = width + (16 + (width if zeros else 0)) / group
    return {4.5: "int4", 8.125: "int8_a16"}.get(bits) or other_format(bits)


def _bits(section: Keys) -> tuple[object, object]:
    bits = next(
        (section.raw(key) for key in ("bits", "w_bit", "weight_bits") if section.has(key)), None
    )
    group = next(
        (section.raw(key) for key in ("group_size", "q_group_size") if section.has(key)), None
    )
    return bits, group


def halved(stored: str) -> str:
    """Return a format of which two of four weights are kept: half the bits and a mask."""
    return other_format(weight_bits(stored) / 2 + 1)


def _gptq(section: Keys) -> Scheme:
    """GPTQ and GPTQModel; zero points are counted where groups are not symmetric."""
    method = str(section.raw("quant_method"))
    bits, group = _bits(section)
    data_type = section.raw("data_type")
    if data_type not in (None, "int"):
        raise unknown(f"{method} with data_type {data_type!r}")
    sparse = method.endswith("_24") or "24" in str(section.raw("checkpoint_format") or "")
    zeros = not sparse and not section.flag("sym", default=True)
    base = whole_numbers(bits, group, method, zeros=zeros)
    base = halved(base) if sparse else base
    rules, patterns = _left_out(section, "transformers")
    dynamic = section.raw("dynamic")
    found: list[Rule] = []
    if dynamic:
        if not isinstance(dynamic, Mapping):
            raise section.error("dynamic", f"{dynamic!r} is not a mapping")
        for pattern, one in dynamic.items():
            name = str(pattern).removeprefix("-:").removeprefix("+:")
            stored = None
            if not str(pattern).startswith("-:"):
                own = one if isinstance(one, Mapping) else {}
                stored = whole_numbers(
                    own.get("bits", bits), own.get("group_size", group), method, zeros=zeros
                )
            found.append(Rule(any_of([name], "gptq"), stored))
            patterns = (*patterns, str(pattern))
    reach = _linear if section.flag("lm_head", default=False) else _all_but_tables
    if section.raw("lm_head"):
        # A head that is quantized is so by the base, unless a pattern says otherwise.
        patterns = (*patterns, "lm_head")
    blocks = section.raw("modules_in_block_to_quantize") or section.raw("inside_layer_modules")
    if blocks:
        chosen = [str(name) for one in blocks for name in (one if isinstance(one, list) else [one])]
        only = any_of([rf".*\.{re.escape(name)}$" for name in chosen], "gptq")
        found.append(Rule(lambda name: not only(name), None))
    return Scheme(base, (*found, *rules), reach, patterns)


def _awq(section: Keys) -> Scheme:
    """AWQ: whole numbers with zero points, all linear layers of the blocks but those listed."""
    bits, group = _bits(section)
    zeros = section.flag("zero_point", default=True)
    rules, patterns = _left_out(section, "awq")
    reach = _linear if section.flag("lm_head", default=False) else _all_but_tables
    return Scheme(whole_numbers(bits, group, "awq", zeros=zeros), rules, reach, patterns)


def _auto_round(section: Keys) -> Scheme:
    """AutoRound: `extra_config` states bits and groups of modules that differ."""
    data_type = section.word("data_type", default="int")
    method = str(section.raw("quant_method"))
    if data_type not in ("int", "int_sym", "int_asym_dq"):
        raise unknown(f"{method} with data_type {data_type!r}")
    bits, group = _bits(section)
    packing = str(section.raw("packing_format") or section.raw("backend") or "")
    # Packed as AWQ has it, zero points are stored in any case.
    zeros = not section.flag("sym", default=True) or "awq" in packing
    rules: list[Rule] = []
    patterns: tuple[str, ...] = ()
    extra = section.raw("extra_config")
    for pattern, one in extra.items() if isinstance(extra, Mapping) else ():
        if not isinstance(one, Mapping):
            raise section.error("extra_config", f"{pattern!r} has no mapping")
        own = one.get("bits", bits)
        unquantized = isinstance(own, int) and own >= 16
        stored = (
            None
            if unquantized
            else whole_numbers(own, one.get("group_size", group), method, zeros=zeros)
        )
        rules.append(Rule(any_of([str(pattern)], "auto-round"), stored))
        patterns = (*patterns, str(pattern))
    # A whole name counts before an expression.
    rules = [
        rule
        for plain in (True, False)
        for rule, pattern in zip(rules, patterns, strict=True)
        if bool(re.fullmatch(r"[\w.-]+", pattern)) == plain
    ]
    left, listed = _left_out(section, "transformers")
    base = whole_numbers(bits, group, method, zeros=zeros)
    return Scheme(base, (*rules, *left), _all_but_tables, (*patterns, *listed))


def _bitsandbytes(section: Keys) -> Scheme:
    """bitsandbytes: 8-bit, or 4-bit with or without doubly stored scales."""
    rules, patterns = _left_out(section, "bitsandbytes")
    if section.raw("load_in_8bit") or section.raw("_load_in_8bit"):
        base = "int8"
    elif section.raw("load_in_4bit") or section.raw("_load_in_4bit"):
        # One fp32 scale per 64 weights takes the bits of one bf16 scale per 32.
        base = "nf4" if section.flag("bnb_4bit_use_double_quant", default=False) else "int4"
    else:
        raise unknown("bitsandbytes with neither 4 nor 8 bits")
    return Scheme(base, rules, _all_but_tables, patterns)


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
    ignored, patterns = _left_out(section, "compressed-tensors")
    library = "compressed-tensors"
    if "modelopt" in str(section.raw("quant_method")):
        library = "shell"
        ignored, patterns = _left_out(section, "shell")
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
        _linear if head else _all_but_tables,
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
    ignored, patterns = _left_out(stated, "compressed-tensors")
    stated.ignore_where(RECIPE, "the recipe by which weights were pruned")
    stated.ignore("targets")
    return replace(
        dense,
        single=False,
        patterns=(*dense.patterns, *patterns),
        halves=lambda matrix: (
            _all_but_tables(matrix)
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
    left, patterns = _left_out(section, "shell")
    rules: list[Rule] = []
    listed = section.raw("layer_quant_config")
    for name, one in listed.items() if isinstance(listed, Mapping) else ():
        rules.append(Rule(any_of([str(name)], "shell"), _quark_format(one)))
        patterns = (*patterns, str(name))
    section.ignore("layer_type_quant_config")
    return Scheme(base, (*left, *rules), _all_but_tables, patterns)


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


_READERS: tuple[tuple[Iterable[str], Callable[[Keys], Scheme]], ...] = (
    (GPTQ, _gptq),
    (AWQ, _awq),
    (AUTO_ROUND, _auto_round),
    (("bitsandbytes",), _bitsandbytes),
    (("quark",), _quark),
)
