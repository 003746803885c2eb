"""Families of multi-head latent attention: DeepSeek-V2 to V3.2, Kimi-K2, GLM-5, Mistral 4."""

from collections.abc import Sequence
from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DraftPlan,
    ExpertBlock,
    LatentMixer,
    Layer,
    Mixer,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    Sizes,
    decoder,
    layer_draft,
    picked,
    sizes,
)
from hbmopt.llm.importing.families.mixture import mixture
from hbmopt.llm.importing.families.mixture_table import DEEPSEEK
from hbmopt.llm.importing.families.parts import (
    INDEXED,
    biased_dense,
    dense_block,
    either,
    expert_layers,
    experts_of,
    mixer_kinds,
    require,
)
from hbmopt.llm.importing.keys import Keys

SPARSE_ENTRY = (("fp8", 656.0),)
"""Bytes of a sparse-attention latent in fp8: 512 fp8, 16 of scales, 128 of bf16 rotary key."""

INDEX_KEY = 132.0
"""Bytes of an index key: 128 fp8 and a 4-byte scale."""

LATENT_KEYS = (
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
)
"""Keys that say nothing where `use_mla` is false."""

SPARSE = frozenset({"deepseek_v32", "glm_moe_dsa"})
"""Families of this kind with a sparse indexer."""


def query_rank(keys: Keys) -> int | None:
    """Return the rank of the query projection; null is a full one."""
    require(keys, "q_lora_rank")
    return keys.whole("q_lora_rank") if keys.has("q_lora_rank") else None


def latent_mixer(
    keys: Keys, hidden: int, *, low_rank_query: bool = True, value_dimension: int | None = None
) -> LatentMixer:
    """Return dense latent attention; `value_dimension` is the class's own, where it has one."""
    if not low_rank_query and keys.has("q_lora_rank"):
        raise keys.error("q_lora_rank", "this family has no low-rank query projection")
    keys.ignore("num_key_value_heads", reason="all heads share one latent")
    nope, rope = keys.whole("qk_nope_head_dim"), keys.whole("qk_rope_head_dim", least=0)
    if keys.has("qk_head_dim") and keys.whole("qk_head_dim") != nope + rope:
        raise keys.error("qk_head_dim", f"contradicts {nope} and {rope}, which make {nope + rope}")
    keys.ignore("head_dim", reason="widths of latent attention are stated by keys of their own")
    return LatentMixer(
        hidden=hidden,
        heads=keys.whole("num_attention_heads"),
        query_rank=query_rank(keys) if low_rank_query else None,
        latent_rank=keys.whole("kv_lora_rank"),
        nope_dimension=nope,
        rope_dimension=rope,
        value_dimension=keys.whole("v_head_dim", default=value_dimension),
        bias=keys.flag("attention_bias", default=False),
    )


def with_indexer(keys: Keys, mixer: LatentMixer) -> LatentMixer:
    """Return the attention with its sparse indexer (DSA)."""
    entry: tuple[tuple[str, float], ...] = ()
    if (mixer.latent_rank, mixer.rope_dimension) == (512, 64):
        entry = SPARSE_ENTRY
    dimension = keys.whole("index_head_dim")
    return replace(
        mixer,
        index_heads=keys.whole("index_n_heads"),
        index_dimension=dimension,
        index_top_k=keys.whole("index_topk"),
        runs_indexer=True,
        cache_entry_bytes=entry,
        index_entry_bytes=INDEX_KEY if dimension == 128 else None,
    )


def indexer_layers(keys: Keys, layers: int, *, offset: int) -> list[bool]:
    """Return which layers run their own indexer; the others reuse the choice of one before."""
    keys.ignore("index_topk_freq", "index_skip_topk_offset", "index_topk_pattern")
    listed = keys.listed("indexer_types", layers)
    name = "indexer_types"
    if listed is None and keys.has("index_topk_pattern"):
        name = "index_topk_pattern"
        pattern = keys.raw(name)
        listed = list(pattern) if isinstance(pattern, str) else keys.listed(name, layers) or []
        if len(listed) < layers:
            raise keys.error(name, f"has {len(listed)} items for {layers} layers")
        listed = [{"F": "full", "S": "shared"}.get(str(one), one) for one in listed[:layers]]
    if listed is not None:
        for kind in listed:
            if kind not in ("full", "shared"):
                raise keys.error(name, f"{kind!r} is neither 'full' nor 'shared'")
        return [kind == "full" for kind in listed]
    every = keys.whole("index_topk_freq", default=1)
    start = keys.whole("index_skip_topk_offset", default=offset, least=0)
    found = [max(layer - start + 1, 0) % every == 0 for layer in range(layers)]
    picked(keys, found, "with an indexer", "index_topk_freq", "index_skip_topk_offset")
    return found


def all_indexed(keys: Keys, layers: int) -> None:
    """Raise an error where a list of layer kinds names other than sparse attention."""
    mixer_kinds(keys, layers, (INDEXED,))


def draft_of(
    keys: Keys, layer: Layer, hidden: int, *, repeats_tables: bool = False
) -> DraftPlan | None:
    """Return multi-token prediction by one more layer, where the file states any."""
    modules = keys.whole("num_nextn_predict_layers", default=0, least=0)
    return layer_draft(layer, hidden, modules, repeats_tables=repeats_tables)


def routed_decoder(
    keys: Keys,
    outer: Keys,
    size: Sizes,
    mixers: Sequence[Mixer],
    drafting: Mixer,
    *,
    experts: ExpertBlock | None = None,
    norms: int | None = None,
    after: int = 0,
    draft_norms: int | None = None,
    ends: int | None = None,
    repeats_tables: bool = False,
) -> Blueprint:
    """Return a decoder of DeepSeek's kind: dense blocks on some layers, experts on the others.

    Norms are two, and `after` more with experts; draft layers have experts and `drafting`.
    """
    sparse = expert_layers(keys, size.layers)
    experts = experts or experts_of(keys, size.hidden)
    dense = dense_block(keys, size.hidden, needed=not all(sparse))
    norms = 2 * size.hidden if norms is None else norms
    layers = [
        either((mixer,), experts, dense, sparse=has, norms=norms + after * has)
        for mixer, has in zip(mixers, sparse, strict=True)
    ]
    drafted = Layer((drafting,), None, experts, draft_norms or norms + after)
    draft = draft_of(keys, drafted, size.hidden, repeats_tables=repeats_tables)
    return decoder(keys, outer, size, layers, ends=ends, draft=draft)


def deepseek(keys: Keys, outer: Keys) -> Blueprint:
    """DeepSeek-V2 and V3, Kimi-K2, Mistral 4, A.X-K1, and with an indexer V3.2 and GLM-5."""
    if not keys.flag("use_mla", default=True):
        # Small models of this kind have the attention of the first DeepSeek.
        keys.ignore(*LATENT_KEYS)
        return mixture(keys, outer, DEEPSEEK)
    size = sizes(keys)
    sparse_attention = keys.family in SPARSE
    mixer = latent_mixer(keys, size.hidden)
    runs = [False] * size.layers
    if sparse_attention:
        all_indexed(keys, size.layers)
        mixer = with_indexer(keys, mixer)
        runs = indexer_layers(keys, size.layers, offset=2)
        if not runs[0]:
            raise keys.error("indexer_types", "the first layer has no choice before it to reuse")
    # Its MTP layer may reuse the choice of the layers before.
    drafting = replace(
        mixer,
        runs_indexer=sparse_attention
        and not keys.flag("index_share_for_mtp_iteration", default=False),
    )
    return routed_decoder(
        keys,
        outer,
        size,
        [replace(mixer, runs_indexer=running) for running in runs],
        drafting,
        # A.X-K1 also normalises the output of its experts.
        after=size.hidden if keys.family == "axk1" else 0,
        # Files of DeepSeek's own repeat embedding and output head beside the MTP layer.
        repeats_tables=keys.family in ("deepseek_v3", "deepseek_v32")
        and size.vocabulary == 129_280,
    )


def dense_latent(keys: Keys, outer: Keys) -> Blueprint:
    """MiniCPM3 and Youtu: latent attention with dense feed-forward blocks."""
    size = sizes(keys)
    # MiniCPM3 divides the hidden size by its heads where the file does not say.
    heads = keys.whole("num_attention_heads")
    value = size.hidden // heads if keys.family == "minicpm3" and size.hidden % heads == 0 else None
    layer = Layer(
        (latent_mixer(keys, size.hidden, value_dimension=value),),
        biased_dense(keys, size.hidden),
        None,
        2 * size.hidden,
    )
    return decoder(
        keys,
        outer,
        size,
        (layer,) * size.layers,
        tie=True,
        draft=draft_of(keys, layer, size.hidden),
    )


FAMILIES: dict[str, Builder] = {
    "deepseek_v2": deepseek,
    "deepseek_vl_v2": deepseek,
    "sarvam_mla": deepseek,
    "deepseek_v3": deepseek,
    "deepseek_v32": deepseek,
    "kimi_k2": deepseek,
    "kimi_k25": deepseek,
    "glm_moe_dsa": deepseek,
    "glm4_moe_lite": deepseek,
    "mistral4": deepseek,
    "axk1": deepseek,
    "minicpm3": dense_latent,
    "youtu": dense_latent,
}
