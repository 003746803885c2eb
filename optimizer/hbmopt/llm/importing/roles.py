"""What a checkpoint is for, as `architectures` and a few keys say: a decoder, or something else."""

import re
from dataclasses import dataclass

from hbmopt.llm.importing.keys import Keys

GENERATES, EMBEDS, CLASSIFIES = "generates", "embeds", "classifies"


@dataclass(frozen=True)
class Role:
    """What a model makes: tokens, embeddings, or scores of `labels` classes."""

    kind: str = GENERATES
    name: str = ""
    labels: int = 0
    label_bias: bool = False


_REFUSED = (
    (
        r"eagle|medusa|hydra|mtpmodel|speculator|draft|dflash|ngram_?predictor|mlpspeculator",
        "is a draft head: it proposes tokens for another model; give that one's configuration",
    ),
    (
        r"bidirectional|nvembed|biencoder|crossencoder|maskedlm|bertmodel|forpretraining$",
        "attends both ways: it keeps no cache and makes no tokens",
    ),
    (
        r"seq2seq|encoderdecoder|t5gemma|forspeech",
        "is an encoder with a decoder, of which the decoder attends to the encoder's output",
    ),
    (
        r"multiplechoice|nexttoken|rewardmodel|processreward|valuehead",
        "ends in a head whose shape is not known",
    ),
)
"""Architectures that are refused as what they are."""

_WITH_HEAD = re.compile(
    r"\w*(ForCausalLM|LMHeadModel|CausalLM|ForConditionalGeneration|ForImageTextToText"
    r"|ForMultimodalLM|ForCausalLMWithHead|ChatModel|OmniModel|MMModel|mm_model|ForCausalLMV\d|LMModel)"
)
_HEADS = (
    (re.compile(r"\w*ForSequenceClassification"), None, False),
    (re.compile(r"\w*ForTokenClassification"), None, True),
    (re.compile(r"\w*ForQuestionAnswering"), 2, True),
)
_HEADLESS = re.compile(r"\w+Model|\w+TextModel")
_WITH_HEAD_THOUGH_MODEL = frozenset({"ChatGLMModel", "Grok1Model", "RWForCausalLM"})
"""Architectures of this name that hold the output head as well."""

PREFIXED = frozenset({"paligemma"})
"""Families whose decoder looks at the prompt both ways, and back only at what it makes."""


def role_of(outer: Keys, keys: Keys) -> Role:
    """Return what a model makes. Raises `InputError` for what is no decoder of its own."""
    for place in dict.fromkeys((outer, keys)):
        if outer.family in PREFIXED:
            reason = "the prompt is looked at both ways, what is made looks back only"
            place.ignore("use_bidirectional_attention", reason=reason)
        _decodes(place, prefixed=outer.family in PREFIXED)
    roles: dict[Role, str] = {}
    for name in _architectures(outer):
        roles[_role(outer, keys, name)] = name
    # An inner configuration may name its own class, which the wrapper gives a head.
    if keys is not outer:
        keys.ignore("architectures", reason="the class of the whole model counts")
    if len(roles) > 1:
        raise outer.error("architectures", f"{' and '.join(roles.values())} do not end alike")
    return next(iter(roles), Role())


def _architectures(outer: Keys) -> list[str]:
    listed = outer.listed("architectures") or []
    for name in listed:
        if not isinstance(name, str):
            raise outer.error("architectures", f"{name!r} is not the name of a class")
        if listed.count(name) > 1:
            raise outer.error("architectures", f"{name} stands there twice")
    return listed


def _decodes(place: Keys, *, prefixed: bool) -> None:
    """Refuse models that attend to an encoder, or both ways."""
    if place.flag("is_encoder_decoder", default=False):
        raise place.error(
            "is_encoder_decoder", "an encoder with a decoder is not counted: only decoders are"
        )
    if place.flag("add_cross_attention", default=False):
        raise place.error("add_cross_attention", "attention to an encoder is not counted")
    both_ways = (
        place.raw("is_causal") is False,
        place.raw("causal") is False,
        not prefixed and place.raw("use_bidirectional_attention") is True,
        place.raw("bidirectional") is True,
    )
    if any(both_ways):
        name = ("is_causal", "causal", "use_bidirectional_attention", "bidirectional")[
            both_ways.index(True)
        ]
        raise place.error(name, "attends both ways: it keeps no cache and makes no tokens")
    for name in ("is_causal", "causal", "use_bidirectional_attention", "bidirectional"):
        stated = place.values.get(name)
        if not isinstance(stated, bool) and stated not in (None, "vision"):
            raise place.error(name, f"{place.raw(name)!r} is not known")


def _role(outer: Keys, keys: Keys, name: str) -> Role:
    for pattern, why in _REFUSED:
        if re.search(pattern, name, re.IGNORECASE):
            raise outer.error("architectures", f"{name} {why}")
    for expression, labels, bias in _HEADS:
        if expression.fullmatch(name):
            return Role(CLASSIFIES, name, labels or _labels(outer, keys), bias)
    if _WITH_HEAD.fullmatch(name) or name in _WITH_HEAD_THOUGH_MODEL:
        return Role()
    if _HEADLESS.fullmatch(name):
        return Role(EMBEDS, name)
    raise outer.error("architectures", f"{name} is not a kind of model whose output head is known")


def _labels(outer: Keys, keys: Keys) -> int:
    """Return the number of classes: as stated, as named, or two, as transformers has it."""
    for place in (outer, keys):
        stated = place.whole("num_labels") if place.has("num_labels") else None
        named = place.raw("id2label")
        counted = len(named) if isinstance(named, dict) and named else None
        if stated is not None and counted is not None and stated != counted:
            raise place.error("num_labels", f"{stated}, but `id2label` names {counted}")
        if stated is not None or counted is not None:
            return stated or counted or 2
    return 2
