"""Families whose experts stand beside a dense block that every token visits: Grok, Arctic."""

from hbmopt.llm.importing.blocks import Blueprint, DenseBlock, ExpertBlock, Layer
from hbmopt.llm.importing.families.common import Builder, decoder, picked, sizes
from hbmopt.llm.importing.families.mixture_table import NO_BIAS
from hbmopt.llm.importing.families.traits import mixer
from hbmopt.llm.importing.keys import Keys


def grok(keys: Keys, outer: Keys) -> Blueprint:
    """Grok-1, and Grok-2 with a dense block beside its experts: four norms, wide experts."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    beside = keys.flag("residual_moe", default=False)
    experts = ExpertBlock(
        size.hidden,
        keys.whole("num_experts", "num_local_experts"),
        keys.whole("num_experts_per_tok", "num_selected_experts"),
        keys.whole("moe_intermediate_size", default=None if beside else width),
    )
    if keys.whole("global_attn_every_n", default=1) != 1:
        raise keys.error("global_attn_every_n", "windows are not known in this family")
    # -1 is none, and with every layer global it would not be used.
    keys.ignore("sliding_window_size")
    layer = Layer(
        (mixer(keys, NO_BIAS, size.hidden, None),),
        DenseBlock(size.hidden, width) if beside else None,
        experts,
        4 * size.hidden,
    )
    # Files of Grok-2 borrow the class of GIT, whose head is a table of its own.
    tie = keys.family != "git"
    return decoder(keys, outer, size, (layer,) * size.layers, tie=tie)


def arctic(keys: Keys, outer: Keys) -> Blueprint:
    """Arctic: beside the experts a dense block as wide as the hidden size, with a norm."""
    size = sizes(keys)
    width = keys.whole("intermediate_size")
    experts = ExpertBlock(
        size.hidden, keys.whole("num_local_experts"), keys.whole("num_experts_per_tok"), width
    )
    every = keys.whole("moe_layer_frequency")
    beside = keys.flag("use_residual")
    # Where both blocks get their inputs, and how they were trained, changes no weights.
    keys.ignore("parallel_attn_mlp_res", "moe_train_capacity_factor", "moe_eval_capacity_factor")
    keys.ignore("moe_min_capacity", "moe_token_dropping", "enable_expert_tensor_parallelism")
    attention = mixer(keys, NO_BIAS, size.hidden, None)
    sparse = Layer(
        (attention,),
        DenseBlock(size.hidden, size.hidden) if beside else None,
        experts,
        (3 if beside else 2) * size.hidden,
    )
    dense = Layer((attention,), DenseBlock(size.hidden, width), None, 2 * size.hidden)
    found = [(layer + 1) % every == 0 for layer in range(size.layers)]
    picked(keys, found, "with experts", "moe_layer_frequency")
    layers = [sparse if has else dense for has in found]
    return decoder(keys, outer, size, layers)


FAMILIES: dict[str, Builder] = {
    "arctic": arctic,
    "git": grok,
    "grok-1": grok,
    "grok1": grok,
}
