"""Methods of quantization with sections of their own: MLX, HQQ, torchao, EXL2 and 3, AQLM, BitNet.

Each states bits per weight and what is stored beside them by group; `methods.py` has the others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hbmopt.llm import BITS_PER_WEIGHT, other_format
from hbmopt.llm.importing import methods
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import any_of
from hbmopt.llm.importing.methods import RECIPE, Rule, Scheme, unknown
from hbmopt.llm.importing.naming import Matrix

PAIR = 32
"""Bits of a 16-bit scale and a 16-bit offset, which a group of weights has."""

MLX_MODES = {"mxfp4": "mxfp4", "mxfp8": "mxfp8", "nvfp4": "nvfp4_a16"}


def scheme_of(section: Keys) -> Scheme:
    """Return the scheme that a section of a configuration describes."""
    read = _reader(section)
    if read is None:
        return methods.scheme_of(section)
    found = read(section)
    section.ignore_where(RECIPE, "the recipe by which weights were quantized, not what is stored")
    return found


def _reader(section: Keys) -> Callable[[Keys], Scheme] | None:
    values = section.values
    if "quant_method" not in values and {"group_size", "bits"} <= values.keys():
        return _mlx
    return _READERS.get(str(values.get("quant_method")))


def grouped(bits: object, group: object, what: str, *, beside: int = PAIR) -> str:
    """Return the format of whole numbers of which a group has `beside` more bits."""
    width, size = (one if isinstance(one, int) and one is not True else 0 for one in (bits, group))
    if not 1 <= width <= 8 or size < 1:
        raise unknown(f"{what} with {bits!r} bits in groups of {group!r}")
    stored = width + beside / size
    # NVFP4 takes as many bits, but is no format of whole numbers.
    return "int4" if stored == BITS_PER_WEIGHT["int4"] else other_format(stored)


def average(section: Keys, key: str) -> str:
    """Return the format of a number of bits that a file states for its weights on average."""
    bits = section.number(key)
    if not 1 <= bits <= 16:
        raise section.error(key, f"{bits} bits per weight are not possible")
    return other_format(bits)


def _everything(_matrix: Matrix) -> bool:
    return True


def _linear(matrix: Matrix) -> bool:
    return matrix.component not in ("embedding", "lm_head")


def _rules(names: list[Any], library: str = "transformers") -> tuple[Rule, ...]:
    listed = [str(name).removesuffix(".weight") for name in names]
    return (Rule(any_of(listed, library), None),) if listed else ()


def _mlx_format(one: Mapping[str, Any], above: Mapping[str, Any]) -> str:
    stated = {**above, **one}
    mode = stated.get("mode", "affine")
    if mode in MLX_MODES:
        return MLX_MODES[mode]
    if mode != "affine":
        raise unknown(f"MLX with the mode {mode!r}")
    return grouped(stated.get("bits"), stated.get("group_size"), "MLX")


def _mlx(section: Keys) -> Scheme:
    """MLX: matrices and tables by groups with a scale and an offset, some with bits of their own.

    Experts stand together in one module, `switch_mlp`. Routers are counted in 16 bits.
    """
    general = {key: section.raw(key) for key in ("group_size", "bits", "mode") if section.has(key)}
    rules, patterns = [], []
    for key, value in section.values.items():
        if key in general or not isinstance(value, Mapping | bool):
            continue
        section.raw(key)
        stored = None
        if isinstance(value, Mapping):
            stored = _mlx_format(value, general)
        elif value:
            stored = _mlx_format({}, general)
        name = str(key).replace("switch_mlp", "experts")
        rules.append(Rule(any_of([name], "shell"), stored))
        patterns.append(name)
    return Scheme(_mlx_format({}, general), tuple(rules), _everything, tuple(patterns))


def _hqq_format(described: object) -> str:
    weights = described.get("weight_quant_params") if isinstance(described, Mapping) else None
    if not isinstance(weights, Mapping):
        raise unknown("HQQ without `weight_quant_params`")
    for key in ("scale_quant_params", "zero_quant_params"):
        if isinstance(described, Mapping) and described.get(key):
            raise unknown(f"HQQ with {key}")
    return grouped(weights.get("nbits"), weights.get("group_size"), "HQQ")


def _hqq(section: Keys) -> Scheme:
    """HQQ: groups with a 16-bit scale and zero point, all alike or by the end of a name."""
    described = section.raw("quant_config")
    left_out = section.listed("skip_modules") or []
    left = _rules(left_out)
    if not isinstance(described, Mapping):
        raise unknown("HQQ without `quant_config`")
    if "weight_quant_params" in described:
        return Scheme(_hqq_format(described), left, _linear, tuple(map(str, left_out)))
    found = [
        Rule(any_of([str(name)], "transformers"), _hqq_format(one))
        for name, one in described.items()
    ]
    return Scheme("bf16", (*left, *found), _linear, tuple(map(str, left_out)), single=False)


TORCHAO = {
    "float8_weight_only": "fp8",
    "float8_dynamic_activation_float8_weight": "fp8",
    "int8_dynamic_activation_int8_weight": "int8",
    "int8_weight_only": "",
    "int4_weight_only": "",
    "int8_dynamic_activation_int4_weight": "",
}
"""Kinds of torchao by their names as functions; those without a format depend on the group."""


def _torchao_name(kind: str) -> str:
    """Return the name of a class as that of a function: int4_weight_only, Int4WeightOnlyConfig."""
    plain = kind.removesuffix("Config")
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in plain).lstrip("_")


def _torchao_format(kind: object, values: Mapping[str, Any]) -> str:
    name = _torchao_name(str(kind))
    group = values.get("group_size")
    if name not in TORCHAO:
        raise unknown(f"torchao with {kind!r}")
    if name == "int8_weight_only":
        return other_format(8 + (16 / group if isinstance(group, int) and group > 0 else 0.0016))
    if name == "int4_weight_only":
        return grouped(4, 128 if group is None else group, "torchao")
    if name == "int8_dynamic_activation_int4_weight":
        return other_format(4 + 32 / (group if isinstance(group, int) and group > 0 else 32), 8)
    return TORCHAO[name]


def _torchao_described(described: object) -> str | None:
    if described is None:
        return None
    if not isinstance(described, Mapping) or "_type" not in described:
        raise unknown(f"torchao with {described!r}")
    values = described.get("_data")
    return _torchao_format(described["_type"], values if isinstance(values, Mapping) else {})


def _torchao(section: Keys) -> Scheme:
    """torchao: one kind for all linear layers, or one per name."""
    kind = section.raw("quant_type")
    left_out = section.listed("modules_to_not_convert") or []
    reach = (
        _everything if section.flag("include_input_output_embeddings", default=False) else _linear
    )
    left = _rules(left_out)
    if isinstance(kind, str):
        values = section.raw("quant_type_kwargs")
        base = _torchao_format(kind, values if isinstance(values, Mapping) else {})
        return Scheme(base, left, reach, tuple(map(str, left_out)))
    section.ignore("quant_type_kwargs", reason="the kind is described by `quant_type`")
    default = kind.get("default") if isinstance(kind, Mapping) else None
    if not isinstance(default, Mapping):
        raise unknown("torchao without a kind")
    if str(default.get("_type")) not in ("ModuleFqnToConfig", "FqnToConfig"):
        base = _torchao_described(default) or "bf16"
        return Scheme(base, left, reach, tuple(map(str, left_out)))
    data = default.get("_data")
    named = next(iter(data.values()), None) if isinstance(data, Mapping) else None
    if not isinstance(named, Mapping):
        raise unknown("torchao without its list of modules")
    rules, names = list(left), [str(name) for name in left_out]
    for name, one in named.items():
        if name != "_default":
            rules.append(Rule(any_of([str(name)], "compressed-tensors"), _torchao_described(one)))
            names.append(str(name))
    base = _torchao_described(named.get("_default")) or "bf16"
    return Scheme(base, tuple(rules), reach, tuple(names), single=False)


def _exl(section: Keys) -> Scheme:
    """EXL2 and EXL3: bits per weight on average, and those of the head."""
    base = average(section, "bits")
    head: tuple[Rule, ...] = ()
    if section.has("head_bits"):
        head = (Rule(any_of(["lm_head"], "transformers"), average(section, "head_bits")),)
    note = f"Bits per weight are the average that the file states, {section.raw('bits')}."
    return Scheme(base, head, _linear, ("lm_head",) if head else (), notes=(note,))


def _aqlm(section: Keys) -> Scheme:
    """AQLM: codes for groups of weights, whose books and scales are stored beside them."""
    groups = section.whole("in_group_size") * section.whole("out_group_size")
    books, width = section.whole("num_codebooks"), section.whole("nbits_per_codebook")
    if width > 16 or books > 16 or groups > 64:
        raise unknown(f"AQLM with {books} books of {width} bits for {groups} weights")
    left_out = section.listed("linear_weights_not_to_quantize") or []
    codes, stored_books = books * width / groups, books * 2**width * groups * 16

    class Books(Scheme):
        """The books of a matrix weigh more, the smaller it is; scales of its rows are left out."""

        def stored(self, matrix: Matrix) -> str | None:
            if super().stored(matrix) is None:
                return None
            if matrix.component == "routed_experts":
                raise unknown("AQLM of experts, which have books each,")
            return other_format(round(codes + stored_books / matrix.parameters, 6))

    names = tuple(str(name).removesuffix(".weight") for name in left_out)
    return Books(other_format(codes), _rules(left_out), _linear, names, single=False)


def _bitnet(section: Keys) -> Scheme:
    """BitNet: three values a weight, 1.58 bits, of which files pack four into a byte."""
    left_out = section.listed("modules_to_not_convert") or []
    mode = section.word("quantization_mode", default="offline")
    if mode == "online":
        return Scheme("bf16", notes=("Stored in 16 bits, and rounded to three values when run.",))
    if mode != "offline":
        raise unknown(f"BitNet with the mode {mode!r}")
    section.ignore("linear_class", reason="how the software runs it")
    return Scheme(
        other_format(2.0, 8),
        _rules(left_out),
        _linear,
        tuple(map(str, left_out)),
        notes=("Weights of three values, 1.58 bits, are stored in 2.",),
    )


_READERS: dict[str, Callable[[Keys], Scheme]] = {
    "hqq": _hqq,
    "torchao": _torchao,
    "exl2": _exl,
    "exl3": _exl,
    "aqlm": _aqlm,
    "bitnet": _bitnet,
}
