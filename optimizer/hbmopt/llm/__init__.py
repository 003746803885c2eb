"""Models: their schema, kinds of attention, number formats, and the importer.

In: an entry of the catalogue, or a published configuration. Out: an `Llm`.
"""

from hbmopt.llm.attention import (
    AttentionGroup,
    Cache,
    CompressedAttention,
    GroupedAttention,
    Indexer,
    LatentAttention,
    RecurrentAttention,
    bounds_passed,
    cache_copies,
)
from hbmopt.llm.formats import (
    ARITHMETIC_BITS,
    BITS_PER_CACHE_ELEMENT,
    BITS_PER_WEIGHT,
    arithmetic_bits,
    exact_format,
    is_weight_format,
    other_format,
    weight_bits,
)
from hbmopt.llm.schema import COMPONENTS, DRAFT, TILE, TILED, Draft, Llm, Mixture, Parameters

__all__ = [
    "ARITHMETIC_BITS",
    "BITS_PER_CACHE_ELEMENT",
    "BITS_PER_WEIGHT",
    "COMPONENTS",
    "DRAFT",
    "TILE",
    "TILED",
    "AttentionGroup",
    "Cache",
    "CompressedAttention",
    "Draft",
    "GroupedAttention",
    "Indexer",
    "LatentAttention",
    "Llm",
    "Mixture",
    "Parameters",
    "RecurrentAttention",
    "arithmetic_bits",
    "bounds_passed",
    "cache_copies",
    "exact_format",
    "is_weight_format",
    "other_format",
    "weight_bits",
]
