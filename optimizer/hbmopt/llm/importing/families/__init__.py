"""Families of decoders: from the keys of a configuration to the blocks of the model."""

from dataclasses import replace

from hbmopt.llm.importing.blocks import Blueprint
from hbmopt.llm.importing.families import (
    compressed,
    convolved_attention,
    cross_attention,
    delta_attention,
    dense,
    dots3,
    gated_convolution,
    gemma,
    latent,
    legacy,
    lightning,
    linear,
    longcat,
    minimax,
    mixture,
    nemotron,
    qwen4,
    renamed,
    residual,
    routed,
    rwkv,
    shared_experts,
    sparse,
    state_space,
    step,
    varied,
    zaya,
)
from hbmopt.llm.importing.families.class_defaults import class_defaults
from hbmopt.llm.importing.families.common import Builder
from hbmopt.llm.importing.families.idle import ignore_idle
from hbmopt.llm.importing.keys import Keys

BUILDERS: dict[str, Builder] = {
    **compressed.FAMILIES,
    **convolved_attention.FAMILIES,
    **cross_attention.FAMILIES,
    **delta_attention.FAMILIES,
    **dense.FAMILIES,
    **dots3.FAMILIES,
    **gated_convolution.FAMILIES,
    **gemma.FAMILIES,
    **latent.FAMILIES,
    **legacy.FAMILIES,
    **lightning.FAMILIES,
    **linear.FAMILIES,
    **longcat.FAMILIES,
    **minimax.FAMILIES,
    **mixture.FAMILIES,
    **nemotron.FAMILIES,
    **qwen4.FAMILIES,
    **renamed.FAMILIES,
    **residual.FAMILIES,
    **routed.FAMILIES,
    **rwkv.FAMILIES,
    **shared_experts.FAMILIES,
    **sparse.FAMILIES,
    **state_space.FAMILIES,
    **step.FAMILIES,
    **varied.FAMILIES,
    **zaya.FAMILIES,
}

KNOWN = frozenset(BUILDERS)
"""Every model_type that can be imported."""


def blueprint(keys: Keys, outer: Keys, family: str) -> Blueprint:
    """Return the blocks of a model of a known family.

    What a decoder inside a larger model leaves out is as its class has it; a note says which.
    """
    defaults = class_defaults(family) if keys is not outer else None
    if defaults is not None:
        keys.assume(defaults.values)
    plan = BUILDERS[family](keys, outer)
    for place in outer.opened():
        ignore_idle(place, family)
    if defaults is None or not keys.assumed:
        return plan
    used = ", ".join(f"{key} {value}" for key, value in keys.assumed.items())
    note = f"Not stated, and so as {defaults.named} has it: {used}."
    return replace(plan, notes=(*plan.notes, note))
