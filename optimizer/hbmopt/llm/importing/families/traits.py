"""What a family of grouped attention and feed-forward blocks can differ in, and how it is read.

A family is a row of traits, as the transformers library's module of that name has them: where
there are biases and norms, whether two or three matrices make a feed-forward block, which layers
look back over a window. Traits that a configuration may switch name the key that does so.
"""

from dataclasses import dataclass

from hbmopt.llm.importing.blocks import DenseBlock, GroupedMixer
from hbmopt.llm.importing.families.common import (
    head_dimension,
)
from hbmopt.llm.importing.keys import Keys


@dataclass(frozen=True)
class Traits:
    """How a family differs from the plain decoder with two norms and a gated feed-forward.

    A trait of type ``bool | str`` is fixed, or the key that says so: ``key`` (false where it is
    absent), ``key=true`` (true where absent), ``key!`` (must be there), ``one|other`` (spellings).
    """

    tied: bool = False
    vocabulary: int | None = None
    """Vocabulary of the model class, for families whose files leave it out."""
    heads: int | None = None
    """Heads of the model class, for families whose files leave them out."""
    kv_heads: int | None = None
    kv_heads_required: bool = True
    """False: an absent `num_key_value_heads` means one per head, as a null one always does."""
    head_dimension: int | None = None
    """Width of a head of the model class, for families whose files leave it out."""
    head_dimension_names: tuple[str, ...] = ()
    """Other spellings of `head_dim`."""
    head_dimension_stated: bool = False
    """`head_dim` must be there: the model class does not divide the hidden size by the heads."""
    qkv_bias: bool | str = False
    output_bias: bool | str = False
    qk_norm: str = "none"
    qk_norm_key: str | None = None
    """Key that must be true for queries and keys to be normalised; spelled like a trait."""
    sinks: bool = False
    output_gate: str = "none"
    attention_small: str = "none"
    """Parameters beside projections: none, hidden (one norm), or heads (one bias per head)."""
    norms: int = 2
    norm_bias: bool = False
    final_norm: bool = True
    parallel: bool | str = False
    """Attention and feed-forward side by side under one norm instead of two."""
    post_norms: bool | str = False
    """Two more norms, behind attention and feed-forward."""
    embedding_norm: bool = False
    matrices: int = 3
    mlp_bias: bool | str = False
    mlp_small: int = 0
    """Learned numbers of one activation function."""
    mlp_norm: bool = False
    """A norm as wide as the feed-forward block, inside it."""
    window: str = "none"
    """none; uniform (`sliding_window` on all layers); optional (only with `use_sliding_window`);
    layered (from `max_window_layers` on); period (one of every n layers full); listed
    (`layer_types` must be there); pattern (a word of L and G); switched (listed, but only with
    `use_sliding_window`)."""
    window_stated: bool = False
    period: int | None = None
    period_key: str | None = None
    full_at: int = -1
    intermediate_key: str = "intermediate_size"
    head_bias: bool | str = False


def says(keys: Keys, trait: bool | str) -> bool:
    """Return a trait that is fixed, or that a key states."""
    if not isinstance(trait, str):
        return trait
    names, _, default = trait.removesuffix("!").partition("=")
    if trait.endswith("!"):
        return keys.flag(*names.split("|"))
    return keys.flag(*names.split("|"), default=default == "true")


def head_counts(keys: Keys, traits: Traits) -> tuple[int, int]:
    """Return query heads and KV heads; a null number of KV heads means one per head."""
    heads = keys.whole("num_attention_heads", "n_head", "n_heads", default=traits.heads)
    null = "num_key_value_heads" in keys.values and keys.raw("num_key_value_heads") is None
    fallback = traits.kv_heads if traits.kv_heads_required and not null else heads
    kv_heads = keys.whole("num_key_value_heads", "num_kv_heads", default=fallback)
    if heads % kv_heads:
        raise keys.error("num_key_value_heads", f"{heads} heads do not divide by {kv_heads}")
    return heads, kv_heads


def head_width(keys: Keys, traits: Traits, hidden: int, heads: int) -> int:
    """Return the width of a head: stated, the model class's own, or hidden / heads."""
    names = traits.head_dimension_names
    # A null width is one that the library's class works out, as where it may be absent.
    if traits.head_dimension_stated and not any(
        name in keys.values for name in ("head_dim", *names)
    ):
        return keys.whole("head_dim", default=traits.head_dimension)
    return head_dimension(keys, hidden, heads, traits.head_dimension, *names)


def mixer(keys: Keys, traits: Traits, hidden: int, window: int | None) -> GroupedMixer:
    """Return the attention of one layer."""
    heads, kv_heads = head_counts(keys, traits)
    dimension = head_width(keys, traits, hidden, heads)
    normed = traits.qk_norm
    if normed != "none":
        # A key that says what the family always has.
        keys.ignore("use_qk_norm", "qk_norm")
    if traits.qk_norm_key is not None and not says(keys, traits.qk_norm_key):
        normed = "none"
    return GroupedMixer(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dimension=dimension,
        value_dimension=dimension,
        qkv_bias=says(keys, traits.qkv_bias),
        output_bias=says(keys, traits.output_bias),
        qk_norm=normed,
        output_gate=traits.output_gate,
        sinks=traits.sinks,
        window=window,
        extra_small={"none": 0, "hidden": hidden, "heads": heads}[traits.attention_small],
    )


def norm_width(traits: Traits, hidden: int) -> int:
    """Return the parameters of one norm."""
    return hidden * (2 if traits.norm_bias else 1)


def norm_parameters(keys: Keys, traits: Traits, hidden: int) -> int:
    """Return the parameters of one layer's norms."""
    norms = traits.norms
    if says(keys, traits.parallel):
        norms -= 1
    if says(keys, traits.post_norms):
        norms += 2
    return norms * norm_width(traits, hidden)


def end_parameters(traits: Traits, hidden: int) -> int:
    """Return the parameters of the norms outside the layers."""
    return (int(traits.final_norm) + int(traits.embedding_norm)) * norm_width(traits, hidden)


def feed_forward(keys: Keys, traits: Traits, hidden: int, width: int) -> DenseBlock:
    """Return the feed-forward block of one layer."""
    small = traits.mlp_small + (width if traits.mlp_norm else 0)
    if says(keys, traits.mlp_bias):
        small += (traits.matrices - 1) * width + hidden
    return DenseBlock(hidden, width, traits.matrices, small)
