"""ZAYA: attention between convolutions, one expert of many or none."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    ExpertBlock,
    Layer,
    Mixer,
    RecurrentMixer,
)
from hbmopt.llm.importing.families.common import (
    Builder,
    decoder,
    sizes,
)
from hbmopt.llm.importing.families.convolved_attention import HYBRID_SLIDING, hybrid_kinds
from hbmopt.llm.importing.families.parts import (
    plain_attention,
    required_head_dimension,
    routed_experts,
)
from hbmopt.llm.importing.keys import Keys


def zaya_mixers(keys: Keys, hidden: int, window: int | None) -> tuple[Mixer, ...]:
    """Return compressed convolutional attention: convolved queries and keys, delayed values."""
    dimension = required_head_dimension(keys)
    attention = plain_attention(keys, hidden, dimension=dimension, bias="attention_bias")
    heads = attention.heads + attention.kv_heads
    channels = heads * dimension
    each, grouped = keys.whole("cca_time0"), keys.whole("cca_time1")
    # Half of every value comes from the token before, whose projection is kept.
    delayed = attention.kv_heads * dimension // 2
    convolution = RecurrentMixer(
        heads=attention.kv_heads,
        key_dimension=1,
        value_dimension=dimension // 2,
        weights=grouped * channels * dimension,
        small=each * channels + 2 * channels,
        state_format="bf16",
        convolution_elements=(each + grouped - 2) * channels,
        flops_per_element=0.0,
    )
    if delayed * 2 != attention.kv_heads * dimension:
        raise keys.error("head_dim", f"values of {dimension} cannot be halved")
    return replace(attention, window=window, extra_small=attention.kv_heads), convolution


def zaya(keys: Keys, outer: Keys) -> Blueprint:
    """ZAYA: one expert of many or none per token, a router with layers, scaled residuals."""
    size = sizes(keys)
    kinds = hybrid_kinds(keys, size.layers)
    window = keys.whole("sliding_window") if HYBRID_SLIDING in kinds else None
    if keys.whole("num_experts_per_tok") != 1:
        raise keys.error("num_experts_per_tok", "this family is known with one expert per token")
    count, inner = routed_experts(keys), keys.whole("router_hidden_size")
    # Down, norm, two layers with biases, scores of the experts and of none.
    router = size.hidden * inner + inner + inner + 2 * (inner * inner + inner)
    router += (count + 1) * inner
    layers = []
    for number, kind in enumerate(kinds):
        experts = ExpertBlock(
            size.hidden,
            count,
            1,
            keys.whole("moe_intermediate_size"),
            # All but the first also weigh the states of the router before.
            router_small=router - count * size.hidden + (inner if number else 0),
        )
        slides = window if kind == HYBRID_SLIDING else None
        mixers = zaya_mixers(keys, size.hidden, slides)
        # Two norms, and scale and bias of both terms of two residuals.
        layers.append(Layer(mixers, None, experts, (2 + 8) * size.hidden))
    return decoder(
        keys,
        outer,
        size,
        layers,
        tie=True,
        # A norm, and scale and bias of the embedding.
        ends=3 * size.hidden,
        head_bias=size.vocabulary if keys.flag("lm_head_bias", default=False) else 0,
    )


FAMILIES: dict[str, Builder] = {
    "zaya": zaya,
}
