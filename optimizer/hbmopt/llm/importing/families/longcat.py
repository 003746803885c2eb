"""LongCat-Flash: two attention blocks a layer, experts without weights, tables of n-grams."""

from hbmopt.llm.importing.blocks import (
    Blueprint,
    DenseBlock,
    ExpertBlock,
    Layer,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    Sizes,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.latent import draft_of, latent_mixer
from hbmopt.llm.importing.families.parts import (
    routed_experts,
)
from hbmopt.llm.importing.keys import Keys

MOST_TABLES = 10_000
"""More tables of n-grams are a mistake."""


def ngram_tables(keys: Keys, size: Sizes) -> tuple[int, int]:
    """Return the parameters of tables of n-grams, and of the projections to the hidden size.

    The k tables of each n from 2 on have r V + 1, r V + 3, r V + 5, ... rows of h / (k (n - 1)).
    """
    if not keys.has("ngram_vocab_size_ratio"):
        return 0, 0
    rows = keys.whole("ngram_vocab_size_ratio") * size.vocabulary
    tables = keys.whole("emb_split_num") * (keys.whole("emb_neighbor_num", least=2) - 1)
    if tables > MOST_TABLES or size.hidden % tables:
        raise keys.error("emb_split_num", f"{size.hidden} does not divide by {tables} tables")
    width = size.hidden // tables
    return sum(rows + 2 * table + 1 for table in range(tables)) * width, size.hidden**2


def longcat_flash(keys: Keys, outer: Keys) -> Blueprint:
    """LongCat-Flash: two attention and two dense blocks beside one mixture of experts per layer.

    Each is counted as two layers, experts with the second. Some of the experts that the router
    chooses from do nothing and have no weights: a token visits fewer than its top-k on average.
    """
    pairs = keys.whole("num_layers")
    size = sizes(keys)
    if size.layers not in (pairs, 2 * pairs):
        raise keys.error("num_hidden_layers", f"{size.layers} is not twice `num_layers`, {pairs}")
    real, idle = routed_experts(keys), keys.whole("zero_expert_num", least=0)
    chosen = keys.whole("moe_topk", "num_experts_per_tok")
    if chosen * real % (real + idle):
        raise keys.error("moe_topk", f"{chosen} of {real} experts and {idle} idle ones: no whole")
    width = keys.whole("expert_ffn_hidden_size", "moe_intermediate_size")
    bias = real + idle if keys.flag("router_bias", default=False) else 0
    experts = ExpertBlock(
        size.hidden,
        real,
        chosen * real // (real + idle),
        width,
        router_small=idle * size.hidden + bias,
    )
    if keys.word("zero_expert_type", default="identity") != "identity":
        raise keys.error("zero_expert_type", "idle experts are known that return their input only")
    # Factors of the latents, without weights.
    keys.ignore("mla_scale_q_lora", "mla_scale_kv_lora", "attention_method")
    attention = latent_mixer(keys, size.hidden)
    tables, projections = ngram_tables(keys, size)
    dense = DenseBlock(size.hidden, keys.whole("ffn_hidden_size", "intermediate_size"))
    pair = (
        Layer((attention,), dense, None, 2 * size.hidden),
        Layer((attention,), dense, experts, 2 * size.hidden),
    )
    return decoder(
        keys,
        outer,
        size,
        pair * pairs,
        ends=size.hidden + projections,
        # Its draft layer has no experts.
        draft=draft_of(keys, pair[0], size.hidden),
        lookup_tables=tables,
        notes=(
            f"A token visits {experts.active} experts on average: {chosen} of {real} with weights "
            f"and {idle} without.",
        )
        if idle
        else (),
    )


FAMILIES: dict[str, Builder] = {
    "longcat_flash": longcat_flash,
    "longcat_flash_ngram": longcat_flash,
}
