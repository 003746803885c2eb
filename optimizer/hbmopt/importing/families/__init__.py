"""Families of decoders: from the keys of a configuration to the blocks of the model."""

from hbmopt.importing.blocks import Blueprint
from hbmopt.importing.families.compressed import COMPRESSED
from hbmopt.importing.families.convolved_attention import CONVOLVED
from hbmopt.importing.families.dense import DENSE, DENSE_BUILDERS, dense
from hbmopt.importing.families.gated_convolution import CONVOLUTIONAL
from hbmopt.importing.families.gemma import GEMMA
from hbmopt.importing.families.latent import LATENT
from hbmopt.importing.families.legacy import LEGACY
from hbmopt.importing.families.linear import LINEAR_ATTENTION
from hbmopt.importing.families.mixture import MIXTURE, Builder
from hbmopt.importing.families.nemotron import NEMOTRON
from hbmopt.importing.families.qwen4 import QWEN4
from hbmopt.importing.families.routed import ROUTED
from hbmopt.importing.families.sparse import SPARSE_LATENT
from hbmopt.importing.families.state_space import STATE_SPACE
from hbmopt.importing.families.varied import VARIED
from hbmopt.importing.keys import Keys

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
