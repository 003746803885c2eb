"""Methods that quantize weights alone: whole numbers by groups, codebooks, and the like."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from hbmopt.llm import exact_format
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import any_of
from hbmopt.llm.importing.naming import Matrix
from hbmopt.llm.importing.scheme import (
    Rule,
    Scheme,
    all_but_tables,
    everything,
    halved,
    left_out,
    linear,
    stated_bits,
    unknown,
    whole_numbers,
)


def gptq(section: Keys) -> Scheme:
    """GPTQ and GPTQModel; zero points are counted where groups are not symmetric."""
    method = str(section.raw("quant_method"))
    bits, group = stated_bits(section)
    data_type = section.raw("data_type")
    if data_type not in (None, "int"):
        raise unknown(f"{method} with data_type {data_type!r}")
    sparse = method.endswith("_24") or "24" in str(section.raw("checkpoint_format") or "")
    zeros = not sparse and not section.flag("sym", default=True)
    base = whole_numbers(bits, group, method, zeros=zeros)
    base = halved(base) if sparse else base
    rules, patterns = left_out(section, "transformers")
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
    reach = linear if section.flag("lm_head", default=False) else all_but_tables
    if section.raw("lm_head"):
        # A head that is quantized is so by the base, unless a pattern says otherwise.
        patterns = (*patterns, "lm_head")
    blocks = section.listed("modules_in_block_to_quantize")
    if blocks:
        chosen = [str(name) for one in blocks for name in (one if isinstance(one, list) else [one])]
        only = any_of([rf".*\.{re.escape(name)}$" for name in chosen], "gptq")
        found.append(Rule(lambda name: not only(name), None))
    return Scheme(base, (*found, *rules), reach, patterns)


def awq(section: Keys) -> Scheme:
    """AWQ: whole numbers with zero points, all linear layers of the blocks but those listed."""
    bits, group = stated_bits(section)
    zeros = section.flag("zero_point", default=True)
    rules, patterns = left_out(section, "awq")
    reach = linear if section.flag("lm_head", default=False) else all_but_tables
    return Scheme(whole_numbers(bits, group, "awq", zeros=zeros), rules, reach, patterns)


def auto_round(section: Keys) -> Scheme:
    """AutoRound: `extra_config` states bits and groups of modules that differ."""
    data_type = section.word("data_type", default="int")
    method = str(section.raw("quant_method"))
    if data_type not in ("int", "int_sym", "int_asym_dq"):
        raise unknown(f"{method} with data_type {data_type!r}")
    bits, group = stated_bits(section)
    packing = str(section.raw("packing_format") or section.raw("backend") or "")
    # Packed as AWQ has it, zero points are stored in any case.
    zeros = not section.flag("sym", default=True) or "awq" in packing
    plain: list[tuple[str | None, list[str]]] = []
    expressions: list[Rule] = []
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
        if re.fullmatch(r"[\w.-]+", str(pattern)):
            if not plain or plain[-1][0] != stored:
                plain.append((stored, []))
            plain[-1][1].append(str(pattern))
        else:
            expressions.append(Rule(any_of([str(pattern)], "auto-round"), stored))
    # A whole name counts before an expression.
    names = [Rule(any_of(listed, "auto-round"), stored) for stored, listed in plain]
    rules = (*names, *expressions)
    patterns = tuple(map(str, extra)) if isinstance(extra, Mapping) else ()
    left, listed = left_out(section, "transformers")
    base = whole_numbers(bits, group, method, zeros=zeros)
    return Scheme(base, (*rules, *left), all_but_tables, (*patterns, *listed))


def bitsandbytes(section: Keys) -> Scheme:
    """bitsandbytes: 8-bit, or 4-bit with or without doubly stored scales."""
    rules, patterns = left_out(section, "bitsandbytes")
    if section.raw("load_in_8bit") or section.raw("_load_in_8bit"):
        base = "int8"
    elif section.raw("load_in_4bit") or section.raw("_load_in_4bit"):
        # One fp32 scale per 64 weights takes the bits of one bf16 scale per 32.
        base = "nf4" if section.flag("bnb_4bit_use_double_quant", default=False) else "int4"
    else:
        raise unknown("bitsandbytes with neither 4 nor 8 bits")
    return Scheme(base, rules, all_but_tables, patterns)


def mlx(section: Keys) -> Scheme:
    """MLX: whole numbers with a 16-bit scale and a 16-bit offset by group, tables as well.

    Modules that differ have a key of their own: other bits and groups, or false.
    """
    rules, patterns = [], []
    base = _mlx_format(section.raw("bits"), section.raw("group_size"), section.raw("mode"))
    for name, one in section.values.items():
        if "." not in name and name not in ("lm_head", "embed_tokens"):
            continue
        own = section.raw(name)
        stored: str | None = None
        if isinstance(one, Mapping):
            described = section.below(name)
            assert described is not None
            stored = _mlx_format(
                described.raw("bits"), described.raw("group_size"), described.raw("mode")
            )
        elif own is True:
            stored = base
        elif own is not False:
            raise section.error(name, f"{own!r} is neither bits and groups nor false")
        # All experts are in one module there, of another name than in the published files.
        published = re.sub(r"\bswitch_mlp\.", "experts.", name)
        rules.append(Rule(any_of([published], "shell"), stored))
        patterns.append(published)
    return Scheme(base, tuple(rules), everything, tuple(patterns), single=False)


def _mlx_format(bits: object, group: object, mode: object) -> str:
    floats = {"mxfp4": "mxfp4", "mxfp8": "mxfp8", "nvfp4": "nvfp4_a16"}
    if isinstance(mode, str) and mode in floats:
        return floats[mode]
    if mode not in (None, "affine"):
        raise unknown(f"MLX in the mode {mode!r}")
    if not isinstance(bits, int) or not isinstance(group, int):
        raise unknown(f"MLX with {bits!r} bits in groups of {group!r}")
    if bits not in (2, 3, 4, 5, 6, 8) or group not in (32, 64, 128):
        raise unknown(f"MLX with {bits} bits in groups of {group}")
    return _scaled(bits, group)


def _scaled(bits: float, group: int) -> str:
    """Return the format of whole numbers with a 16-bit scale and a 16-bit offset by group."""
    return exact_format(bits + 32 / group)


def hqq(section: Keys) -> Scheme:
    """HQQ: whole numbers with a 16-bit scale and a 16-bit zero point by group."""
    described = section.below("quant_config")
    weights = described.below("weight_quant_params") if described is not None else None
    if described is None or weights is None:
        raise unknown("quant_method 'hqq' without quant_config.weight_quant_params")
    rules, patterns = left_out(section, "transformers")
    skipped = section.listed("skip_modules") or []
    if not all(isinstance(one, str) for one in skipped):
        raise section.error("skip_modules", f"{skipped!r} is not a list of names")
    # Three bits are packed ten to 32.
    packed = {8: 8.0, 4: 4.0, 3: 3.2, 2: 2.0, 1: 1.0}
    bits, group = weights.raw("nbits"), weights.raw("group_size")
    whole = isinstance(bits, int) and isinstance(group, int) and not isinstance(group, bool)
    if not whole or bits not in packed or group < 1:
        raise unknown(f"hqq with {bits!r} bits in groups of {group!r}")
    weights.ignore_all("the recipe by which weights were quantized")
    described.ignore_all("scales and zero points are counted with 16 bits")
    skip = (Rule(any_of(skipped, "transformers"), None),) if skipped else ()
    base = _scaled(packed[bits], group)
    return Scheme(base, (*rules, *skip), all_but_tables, (*patterns, *skipped))


def torchao(section: Keys) -> Scheme:
    """torchao: the configuration of the quantizer by its class or by its short name."""
    rules, patterns = left_out(section, "transformers")
    tables = section.flag("include_input_output_embeddings", default=False)
    reach = everything if tables else all_but_tables
    stated, options = section.raw("quant_type"), section.raw("quant_type_kwargs")
    if isinstance(stated, str):
        return Scheme(_torchao_format(stated, options), rules, reach, patterns)
    if not isinstance(stated, Mapping):
        raise unknown("torchao without `quant_type`")
    default = stated.get("default", stated)
    named = _torchao_modules(default)
    if named is None:
        return Scheme(_torchao_described(default) or "bf16", rules, reach, patterns)
    own = tuple(
        Rule(any_of([name], "compressed-tensors"), _torchao_described(one))
        for name, one in named.items()
        if name != "_default"
    )
    base = _torchao_described(named.get("_default")) or "bf16"
    return Scheme(base, (*rules, *own), reach, (*patterns, *named), single=False)


def _torchao_modules(described: object) -> dict[str, object] | None:
    """Return what is described module by module, None where all are alike."""
    if not isinstance(described, Mapping):
        return None
    if described.get("_type") not in ("ModuleFqnToConfig", "FqnToConfig"):
        return None
    data = described.get("_data")
    found = next(iter(data.values()), None) if isinstance(data, Mapping) else None
    if not isinstance(found, Mapping):
        raise unknown("torchao without its list of modules")
    return {str(name): one for name, one in found.items()}


def _torchao_described(described: object) -> str | None:
    if described is None:
        return None
    if not isinstance(described, Mapping):
        raise unknown(f"torchao with {described!r}")
    return _torchao_format(str(described.get("_type")), described.get("_data"))


def _torchao_format(kind: str, options: object) -> str:
    group = options.get("group_size", 128) if isinstance(options, Mapping) else 128
    plain = re.sub(r"[^a-z0-9]", "", kind.lower()).removesuffix("config")
    known = {
        "int8weightonly": "int8_a16" if group not in (None, 128) else exact_format(8 * 1.0002),
        "int8dynamicactivationint8weight": "int8",
        "float8weightonly": "fp8",
        "float8dynamicactivationfloat8weight": "fp8",
    }
    if plain == "int4weightonly" and isinstance(group, int) and group > 0:
        known[plain] = _scaled(4, group)
    if plain not in known:
        raise unknown(f"torchao with {kind!r}")
    return known[plain]


def exllama(section: Keys) -> Scheme:
    """EXL2 and EXL3: `bits` is the average over all matrices, `head_bits` those of the head."""
    bits, head = section.number("bits"), section.number("head_bits", default=6.0)
    if not (0 < bits <= 16 and 0 < head <= 16):
        raise unknown(f"{section.raw('quant_method')} with {bits:g} bits")
    rule = Rule(lambda name: name.rsplit(".", maxsplit=1)[-1] in HEADS, exact_format(head))
    return Scheme(exact_format(bits), (rule,), linear)


HEADS = ("lm_head", "embed_out", "output", "head", "output_layer")


def aqlm(section: Keys) -> Scheme:
    """AQLM: numbers of codebook entries by group, and the codebooks of every matrix."""
    books, bits = section.whole("num_codebooks"), section.whole("nbits_per_codebook")
    size = section.whole("in_group_size") * section.whole("out_group_size")
    if bits > 16:
        raise unknown(f"aqlm with codebooks of {bits} bits")
    skipped = section.listed("linear_weights_not_to_quantize") or []
    named = [str(one).removesuffix(".weight") for one in skipped]
    rules = (Rule(any_of(named, "shell"), None),) if named else ()
    book = 16 * books * 2**bits * size
    base = exact_format(books * bits / size)

    def of_matrix(matrix: Matrix) -> str:
        return exact_format(books * bits / size + book * matrix.count / matrix.parameters)

    return replace(
        Scheme(base, rules, all_but_tables, tuple(named), single=False), of_matrix=of_matrix
    )


def bitnet(section: Keys) -> Scheme:
    """BitNet: -1, 0 and 1, four to a byte: 1.58 bits of information in 2 that are stored."""
    rules, patterns = left_out(section, "transformers")
    mode = section.word("quantization_mode", default="offline")
    if mode == "online":
        note = "Stored in 16 bits, and rounded to three values when it runs."
        return Scheme("bf16", notes=(note,))
    if mode != "offline":
        raise unknown(f"bitnet with the mode {mode!r}")
    note = "Weights of three values, 1.58 bits, are stored in 2."
    return Scheme(exact_format(2.0, 8), rules, all_but_tables, patterns, notes=(note,))


READERS: dict[str, Callable[[Keys], Scheme]] = {
    **dict.fromkeys(("gptq", "gptq_marlin", "gptqmodel", "gptq_marlin_24"), gptq),
    **dict.fromkeys(("awq", "awq_marlin", "gemm"), awq),
    **dict.fromkeys(("auto-round", "auto_round", "intel/auto-round", "inc"), auto_round),
    **dict.fromkeys(("exl2", "exl3"), exllama),
    "bitsandbytes": bitsandbytes,
    "hqq": hqq,
    "torchao": torchao,
    "aqlm": aqlm,
    "bitnet": bitnet,
}
"""Methods by the name that a section has."""
