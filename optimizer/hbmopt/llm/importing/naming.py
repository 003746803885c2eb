"""Names of the matrices of a model, as its files have them: what lists of exceptions speak of."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hbmopt.llm.importing.blocks import (
    Blueprint,
    ExpertBlock,
    LatentMixer,
    Layer,
    RecurrentMixer,
)


@dataclass(frozen=True)
class Matrix:
    """One matrix, or all experts' matrices of one kind in a layer, where none is singled out."""

    component: str
    names: tuple[str, ...]
    """Its names; where a part of the model has several in use, all of them."""
    parameters: int
    draft: bool = False
    bias: bool = False
    """Whether it is a bias, which no method quantizes."""
    count: int = 1
    """How many matrices of one shape it stands for."""


ATTENTION = {
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "output": "o_proj",
    "gate": "gate_proj",
    "query_down": "q_a_proj",
    "query_up": "q_b_proj",
    "latent_down": "kv_a_proj_with_mqa",
    "latent_up": "kv_b_proj",
    "output_down": "o_a_proj",
}
FEED_FORWARD = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
NUMBERED = {"gate": "w1", "up": "w3", "down": "w2"}


def _fused(*, qkv: str, output: str) -> dict[str, str]:
    """Return names where one matrix makes queries, keys and values."""
    return ATTENTION | {"query": qkv, "key": qkv, "value": qkv, "output": output}


@dataclass(frozen=True)
class Naming:
    """How a family names the modules of a layer and their matrices."""

    layers: str = "model.layers"
    attention: str = "self_attn"
    recurrent: str = "linear_attn"
    feed_forward: str = "mlp"
    experts: str = "mlp.experts"
    shared: str = "mlp.shared_experts"
    projections: dict[str, str] = field(default_factory=lambda: ATTENTION)
    matrices: dict[str, str] = field(default_factory=lambda: FEED_FORWARD)
    expert_matrices: dict[str, str] | None = None
    shared_matrices: dict[str, str] | None = None
    recurrent_matrices: dict[str, str] = field(default_factory=dict)
    embedding: str = "model.embed_tokens"
    head: str = "lm_head"


_GPT2 = Naming(
    layers="transformer.h",
    attention="attn",
    projections=_fused(qkv="c_attn", output="c_proj"),
    matrices={"up": "c_fc", "down": "c_proj"},
    embedding="transformer.wte",
)
_BLOOM = Naming(
    layers="transformer.h",
    attention="self_attention",
    projections=_fused(qkv="query_key_value", output="dense"),
    matrices={"up": "dense_h_to_4h", "down": "dense_4h_to_h"},
    embedding="transformer.word_embeddings",
)
_QWEN_MOE = Naming(
    projections=ATTENTION | {"gate": "q_proj"},
    shared="mlp.shared_expert",
)
_SPARSE_MOE = Naming(
    recurrent="self_attn",
    experts="block_sparse_moe.experts",
    shared="block_sparse_moe.shared_experts",
    expert_matrices=NUMBERED,
)
_GRANITE = Naming(
    recurrent="mamba",
    experts="block_sparse_moe",
    shared="shared_mlp",
    feed_forward="shared_mlp",
    matrices={"gate": "input_linear", "up": "input_linear", "down": "output_linear"},
)
_DEEPSEEK_V4 = Naming(
    layers="layers",
    attention="attn",
    feed_forward="ffn",
    experts="ffn.experts",
    shared="ffn.shared_experts",
    projections={
        "query_down": "wq_a",
        "query_up": "wq_b",
        "latent_down": "wkv",
        "output_down": "wo_a",
        "output": "wo_b",
    },
    matrices=NUMBERED,
    embedding="embed",
    head="head",
)
_FEED_FORWARD = Naming(
    recurrent="mamba",
    feed_forward="feed_forward",
    experts="feed_forward.experts",
    shared="feed_forward.shared_expert",
)
_SSM = Naming(layers="backbone.layers", recurrent="mixer", embedding="backbone.embeddings")
_FC = {"up": "fc1", "down": "fc2"}
_OUT = ATTENTION | {"output": "out_proj"}
_PACKED = Naming(
    projections=_fused(qkv="qkv_proj", output="o_proj"),
    matrices={"gate": "gate_up_proj", "up": "gate_up_proj", "down": "down_proj"},
)
_BAILING = Naming(
    attention="attention",
    recurrent="attention",
    projections=_fused(qkv="query_key_value", output="dense"),
    recurrent_matrices={
        "qkv_proj": "query_key_value",
        "output_gate": "g_proj",
        "out_proj": "dense",
    },
    embedding="model.word_embeddings",
)
_GROK = Naming(
    attention="attn",
    experts="moe_block.experts",
    expert_matrices={"gate": "linear", "up": "linear_v", "down": "linear_1"},
)
_STEP = Naming(experts="moe", shared="share_expert", projections=ATTENTION | {"query_up": "wq"})
_RWKV = Naming(layers="rwkv.blocks", recurrent="attention", feed_forward="feed_forward")

NAMINGS: dict[str, Naming] = {
    "bailing_moe": _BAILING,
    "bailing_moe_v2": _BAILING,
    "bailing_moe_linear": _BAILING,
    "bailing_moe_linear_v2": _BAILING,
    "bailing_moe_v2_5": _BAILING,
    "grok-1": _GROK,
    "grok1": _GROK,
    "git": _SPARSE_MOE,
    "arctic": replace(_SPARSE_MOE, feed_forward="residual_mlp", matrices=NUMBERED),
    "hunyuan": Naming(shared="mlp.shared_mlp"),
    "minimax_m1": _SPARSE_MOE,
    "openelm": Naming(
        layers="transformer.layers",
        attention="attn",
        feed_forward="ffn",
        projections=_fused(qkv="qkv_proj", output="out_proj"),
        matrices={"gate": "proj_1", "up": "proj_1", "down": "proj_2"},
        embedding="transformer.token_embeddings",
    ),
    "phi3small": Naming(
        projections=_fused(qkv="query_key_value", output="dense"),
        matrices={"gate": "up_proj", "up": "up_proj", "down": "down_proj"},
    ),
    "phi4mm": _PACKED,
    "rwkv": _RWKV,
    "rwkv5": _RWKV,
    "rwkv6": _RWKV,
    "rwkv7": Naming(recurrent="attn", feed_forward="ffn", embedding="model.embeddings"),
    "step3": _STEP,
    "step3_text": _STEP,
    "step3_vl": _STEP,
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "qwen": replace(_GPT2, matrices={"gate": "w2", "up": "w1", "down": "c_proj"}),
    "gptj": replace(_GPT2, projections=_OUT, matrices={"up": "fc_in", "down": "fc_out"}),
    "codegen": replace(
        _GPT2,
        projections=_fused(qkv="qkv_proj", output="out_proj"),
        matrices={"up": "fc_in", "down": "fc_out"},
    ),
    "gpt_neo": replace(_GPT2, attention="attn.attention", projections=_OUT),
    "exaone": replace(
        _GPT2,
        attention="attn.attention",
        projections=_OUT,
        matrices={"gate": "c_fc_0", "up": "c_fc_1", "down": "c_proj"},
    ),
    "bloom": _BLOOM,
    "falcon": _BLOOM,
    "chatglm": replace(
        _BLOOM,
        layers="transformer.encoder.layers",
        matrices={"gate": "dense_h_to_4h", "up": "dense_h_to_4h", "down": "dense_4h_to_h"},
        head="transformer.output_layer",
    ),
    "gpt_neox": replace(
        _BLOOM,
        layers="gpt_neox.layers",
        attention="attention",
        embedding="gpt_neox.embed_in",
        head="embed_out",
    ),
    "persimmon": replace(
        _BLOOM, layers="model.layers", attention="self_attn", embedding="model.embed_tokens"
    ),
    "mpt": replace(
        _GPT2,
        layers="transformer.blocks",
        feed_forward="ffn",
        projections=_fused(qkv="Wqkv", output="out_proj"),
        matrices=FEED_FORWARD,
    ),
    "dbrx": replace(
        _GPT2,
        layers="transformer.blocks",
        attention="norm_attn_norm.attn",
        experts="ffn.experts.mlp",
        projections=_fused(qkv="Wqkv", output="out_proj"),
        expert_matrices={"gate": "w1", "up": "v1", "down": "w2"},
    ),
    "opt": Naming(layers="model.decoder.layers", projections=_OUT, feed_forward="", matrices=_FC),
    "xglm": Naming(projections=_OUT, feed_forward="", matrices=_FC),
    "phi": Naming(projections=ATTENTION | {"output": "dense"}, matrices=_FC),
    "phi3": _PACKED,
    "phi4_multimodal": _PACKED,
    "glm": replace(_PACKED, projections=ATTENTION),
    "glm4": replace(_PACKED, projections=ATTENTION),
    "baichuan": Naming(projections=_fused(qkv="W_pack", output="o_proj")),
    "starcoder2": Naming(matrices={"up": "c_fc", "down": "c_proj"}),
    "internlm2": Naming(
        attention="attention",
        feed_forward="feed_forward",
        projections=_fused(qkv="wqkv", output="wo"),
        matrices=NUMBERED,
        embedding="model.tok_embeddings",
        head="output",
    ),
    "mixtral": _SPARSE_MOE,
    "phimoe": _SPARSE_MOE,
    "minimax": _SPARSE_MOE,
    "minimax_text_01": _SPARSE_MOE,
    "minimax_m2": _SPARSE_MOE,
    "minimax_m3": _SPARSE_MOE,
    "minimax_m3_vl": _SPARSE_MOE,
    "minimax_m3_vl_text": _SPARSE_MOE,
    "kimi_linear": _SPARSE_MOE,
    "granitemoe": _GRANITE,
    "granitemoeshared": _GRANITE,
    "granitemoehybrid": _GRANITE,
    "qwen2_moe": _QWEN_MOE,
    "qwen3_next": replace(
        _QWEN_MOE,
        recurrent_matrices={"in_proj_qkv": "in_proj_qkvz", "in_proj_z": "in_proj_qkvz"},
    ),
    "qwen3_5": _QWEN_MOE,
    "qwen3_5_text": _QWEN_MOE,
    "qwen3_5_moe": _QWEN_MOE,
    "qwen3_5_moe_text": _QWEN_MOE,
    "qwen4_exp": _QWEN_MOE,
    "qwen4_exp_text": _QWEN_MOE,
    "hunyuan_v1_moe": Naming(shared="mlp.shared_mlp"),
    "llama4": _FEED_FORWARD,
    "llama4_text": _FEED_FORWARD,
    "jamba": _FEED_FORWARD,
    "falcon_h1": _FEED_FORWARD,
    "bamba": _FEED_FORWARD,
    "lfm2": replace(_FEED_FORWARD, recurrent="conv", projections=_OUT, matrices=NUMBERED),
    "lfm2_moe": replace(_FEED_FORWARD, recurrent="conv", projections=_OUT, matrices=NUMBERED),
    "recurrent_gemma": Naming(
        attention="temporal_block", recurrent="temporal_block", feed_forward="mlp_block"
    ),
    "mamba": _SSM,
    "mamba2": _SSM,
    "falcon_mamba": _SSM,
    "nemotron_h": replace(
        _SSM,
        attention="mixer",
        feed_forward="mixer",
        experts="mixer.experts",
        shared="mixer.shared_experts",
    ),
    "deepseek_v4": _DEEPSEEK_V4,
    "deepseek_ref": _DEEPSEEK_V4,
    "deepseek_v41": _DEEPSEEK_V4,
    "deepseek_v41_text": _DEEPSEEK_V4,
}
"""Families that name modules otherwise than Llama and DeepSeek do, by model_type."""

WRAPPED = ("model.language_model.layers", "language_model.model.layers")
"""Where the layers of a decoder inside a multimodal model are."""

_NOT_THE_DECODER = re.compile(r"visi|visual|audio|speech|encoder\.(?!layers\.\d+\.self_attention)")


def layer_roots(patterns: Iterable[str], naming: Naming, *, nested: bool) -> tuple[str, ...]:
    """Return where the layers stand: as the patterns spell it, else as the family does."""
    found: dict[str, None] = {}
    last = re.escape(naming.layers.rsplit(".", maxsplit=1)[-1])
    for pattern in patterns:
        plain = re.sub(r"^([-+]:|re:)|[\\^]", "", pattern)
        for root in re.findall(rf"(?<![\w.])((?:[A-Za-z_]\w*\.)*{last})\b(?=[.*\[(]|$)", plain):
            # After a wildcard the beginning of the name is not there to be seen.
            whole = plain.startswith(root) or f"!{root}" in plain
            if whole and not _NOT_THE_DECODER.search(root):
                found[root] = None
    if found:
        return tuple(found)
    return WRAPPED if nested else (naming.layers,)


def matrices(
    plan: Blueprint, naming: Naming, roots: Sequence[str], *, each_expert: bool
) -> list[Matrix]:
    """Return every matrix of a model, tables last; `each_expert` where experts are told apart."""
    found: list[Matrix] = []
    for number, layer in enumerate(plan.layers):
        places = tuple(f"{root}.{number}" for root in roots)
        found += _layer(layer, naming, places, each_expert=each_expert)
    if plan.draft is not None:
        for number, layer in enumerate(plan.draft.layers):
            places = (
                *(f"{root}.{len(plan.layers) + number}" for root in roots),
                f"mtp.layers.{number}",
                f"mtp.{number}",
                f"model.mtp_layers.{number}",
            )
            drawn = _layer(layer, naming, places, each_expert=each_expert)
            names = (*_joined(places, "eh_proj"), "mtp.fc")
            drawn.append(Matrix("attention", names, plan.draft.projection))
            found += [replace(one, draft=True) for one in drawn]
    table = plan.vocabulary * plan.hidden
    outer = (naming.head, *(_head_beside(root, naming.head) for root in roots))
    found.append(Matrix("embedding", (naming.embedding,), table + plan.embedding_extra))
    found.append(Matrix("lm_head", tuple(dict.fromkeys(outer)), 0 if plan.tied else table))
    return [one for one in found if one.parameters]


def _head_beside(root: str, head: str) -> str:
    """Return the name of an output head in the module that holds the decoder."""
    above = root.rsplit(".", maxsplit=2)[0] if root.count(".") > 1 else ""
    return f"{above}.{head}" if above else head


def _joined(places: Iterable[str], *parts: str) -> tuple[str, ...]:
    return tuple(".".join((place, *(part for part in parts if part))) for place in places)


def _layer(
    layer: Layer, naming: Naming, places: tuple[str, ...], *, each_expert: bool
) -> list[Matrix]:
    found: list[Matrix] = []
    for mixer in layer.mixers:
        recurrent = isinstance(mixer, RecurrentMixer)
        module = naming.recurrent if recurrent else naming.attention
        roles = naming.projections
        if isinstance(mixer, LatentMixer):
            roles = {"gate": "g_proj"} | {k: v for k, v in roles.items() if k != "gate"}
        for role, count in mixer.matrices:
            leaf = (naming.recurrent_matrices if recurrent else roles).get(role, role)
            found.append(Matrix("attention", _joined(places, module, leaf), count))
    if layer.dense is not None:
        component = "dense_ffn" if layer.experts is None else "shared_experts"
        for role, count in layer.dense.named:
            leaf = naming.matrices.get(role, role)
            found.append(Matrix(component, _joined(places, naming.feed_forward, leaf), count))
    if layer.experts is not None:
        found += _experts(layer.experts, naming, places, each_expert=each_expert)
    return found


def _experts(
    experts: ExpertBlock, naming: Naming, places: tuple[str, ...], *, each_expert: bool
) -> Iterator[Matrix]:
    own = naming.expert_matrices or naming.matrices
    shared = naming.shared_matrices or naming.matrices
    numbers: Sequence[int] = range(experts.experts) if each_expert else (0,)
    for role, count in experts.named:
        leaf = own.get(role, role)
        # Files that keep all experts in one tensor name that.
        modules = _joined(places, naming.experts)
        packed = (*(f"{module}.{leaf}" for module in modules), *modules)
        for number in numbers:
            names = tuple(f"{module}.{number}.{leaf}" for module in modules)
            yield Matrix(
                "routed_experts",
                names + packed,
                count // len(numbers),
                bias=role == "bias",
                count=experts.experts // len(numbers),
            )
    for role, count in experts.shared_named:
        names = _joined(places, naming.shared, shared.get(role, role))
        yield Matrix("shared_experts", names, count)
