"""Families of decoders: from the keys of a configuration to the blocks of the model."""

from hbmopt.llm.importing.blocks import Blueprint
from hbmopt.llm.importing.families.compressed import COMPRESSED
from hbmopt.llm.importing.families.convolved_attention import CONVOLVED
from hbmopt.llm.importing.families.dense import DENSE, DENSE_BUILDERS, dense
from hbmopt.llm.importing.families.gated_convolution import CONVOLUTIONAL
from hbmopt.llm.importing.families.gemma import GEMMA
from hbmopt.llm.importing.families.latent import LATENT
from hbmopt.llm.importing.families.legacy import LEGACY
from hbmopt.llm.importing.families.linear import LINEAR_ATTENTION
from hbmopt.llm.importing.families.mixture import MIXTURE, Builder
from hbmopt.llm.importing.families.nemotron import NEMOTRON
from hbmopt.llm.importing.families.qwen4 import QWEN4
from hbmopt.llm.importing.families.routed import ROUTED
from hbmopt.llm.importing.families.sparse import SPARSE_LATENT
from hbmopt.llm.importing.families.state_space import STATE_SPACE
from hbmopt.llm.importing.families.varied import VARIED
from hbmopt.llm.importing.keys import Keys

BUILDERS: dict[str, Builder] = {
    **DENSE_BUILDERS,
    **LEGACY,
    **MIXTURE,
    **ROUTED,
    **VARIED,
    **LATENT,
    **COMPRESSED,
    **SPARSE_LATENT,
    **LINEAR_ATTENTION,
    **STATE_SPACE,
    **QWEN4,
    **NEMOTRON,
    **CONVOLUTIONAL,
    **CONVOLVED,
    **GEMMA,
}

KNOWN = frozenset(DENSE) | frozenset(BUILDERS)
"""Every model_type that can be imported."""


def blueprint(keys: Keys, outer: Keys, family: str) -> Blueprint:
    """Return the blocks of a model of a known family."""
    if family in DENSE:
        return dense(keys, outer, DENSE[family])
    return BUILDERS[family](keys, outer)
