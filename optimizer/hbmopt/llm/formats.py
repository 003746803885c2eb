"""Number formats of weights and caches: bits stored, and the arithmetic that they are used in."""

import re

from hbmopt.errors import InputError, nearest

BITS_PER_WEIGHT = {
    "fp32": 32.0,
    "bf16": 16.0,
    "fp8": 8.0 * 1.0002,  # one fp32 scale per 128 x 128 block
    "mxfp8": 8.25,  # one 8-bit scale per 32 weights
    "mxfp4": 4.25,  # one 8-bit scale per 32 weights
    "nvfp4": 4.5,  # one 8-bit scale per 16 weights
    "nvfp4_a16": 4.5,  # NVFP4 as stored, dequantized to bf16
    "fp4": 4.5,  # NVFP4, the default 4-bit format
    "int8": 8.0 * 1.0002,  # one scale per output channel
    "int8_a16": 8.125,  # one bf16 scale per 128 weights, dequantized to bf16
    "int4": 4.5,  # one bf16 scale per 32 weights
    "int4_g128": 4.125,  # one bf16 scale per 128 weights
    "int4_g128_zeros": 4.15625,  # a 4-bit zero point beside each of these scales (AWQ, GPTQ)
    "nf4": 4.127,  # one 8-bit scale per 64 weights, and one fp32 scale per 256 of those
}
"""Stored bits per weight, block scales included."""

ARITHMETIC_BITS = {
    "fp32": 16,  # engines load it as bf16
    "bf16": 16,
    "fp8": 8,
    "mxfp8": 8,
    "mxfp4": 8,  # served with 8-bit activations
    "nvfp4": 4,
    "nvfp4_a16": 16,
    "fp4": 4,
    "int8": 8,
    "int8_a16": 16,
    "int4": 16,  # weight-only: dequantized to bf16
    "int4_g128": 16,
    "int4_g128_zeros": 16,
    "nf4": 16,
}
"""Width of the arithmetic that weights of a format are multiplied in."""

_OTHER = re.compile(r"w(\d{1,2}(?:\.\d{1,12})?)a(4|8|16)")
"""Any other format: bits stored per weight, scales included, and of the arithmetic."""


def other_format(bits: float, arithmetic: int = 16) -> str:
    """Return the name of a format by its stored bits per weight: one of the table, or w4.5a16."""
    for name, known in BITS_PER_WEIGHT.items():
        if known == bits and ARITHMETIC_BITS[name] == arithmetic:
            return name
    return exact_format(bits, arithmetic)


def exact_format(bits: float, arithmetic: int = 16) -> str:
    """Return the name of a format by its bits, which is none of the table's: w4.5a16."""
    return f"w{bits:.12g}a{arithmetic}"


def is_weight_format(name: str) -> bool:
    """Whether weights can be stored in a format of this name."""
    other = _OTHER.fullmatch(name)
    return name in BITS_PER_WEIGHT or (other is not None and 0 < float(other.group(1)) <= 32)


def weight_bits(name: str) -> float:
    """Return the stored bits per weight of a format."""
    other = _OTHER.fullmatch(name)
    return float(other.group(1)) if other else BITS_PER_WEIGHT[name]


def arithmetic_bits(name: str) -> int:
    """Return the width of the arithmetic that weights of a format are multiplied in."""
    other = _OTHER.fullmatch(name)
    return int(other.group(2)) if other else ARITHMETIC_BITS[name]


BITS_PER_CACHE_ELEMENT = {"bf16": 16.0, "fp8": 8.0, "fp4": 4.5}

STATE_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0}
"""Bytes of one element of a recurrent state."""


def cache_element_bytes(kv_format: str) -> float:
    """Return the bytes of one element of a KV cache. Raises `InputError` for an unknown format."""
    if kv_format not in BITS_PER_CACHE_ELEMENT:
        hint = nearest(kv_format, BITS_PER_CACHE_ELEMENT)
        raise InputError(f"no KV format {kv_format!r}; {hint}")
    return BITS_PER_CACHE_ELEMENT[kv_format] / 8
