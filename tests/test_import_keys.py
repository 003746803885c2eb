"""Every key of a configuration counts: it changes the entry, or is refused, or is said to be idle.

The fixtures are those of tests/configurations.py, so that a family that is added there is tested.
"""

import pytest

from configurations import CONFIGURATIONS, changed
from hbmopt.errors import InputError
from hbmopt.llm.importing import imported

NAMES = sorted(CONFIGURATIONS)


def levels(values, above=()):
    """The path of every mapping of a configuration, itself first."""
    yield above
    for key, value in values.items():
        if isinstance(value, dict):
            yield from levels(value, (*above, key))


def leaves(values, above=()):
    """Path and value of every key that holds no mapping."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def others(value):
    """Other values of the same kind, and of none."""
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int):
        return [value + 1, 2 * value, value - 1, None]
    if isinstance(value, float):
        return [2 * value, value + 1, None]
    if isinstance(value, str):
        return ["another", value[1:] + value[:1], None]
    if isinstance(value, list):
        longer = [*value, *value[:1]]
        return [value[:-1], longer, None, *([[2] * len(value)] if value else [])]
    return [1, True, "another", [1]]


# Keys that public configurations have and most families do not, and some that nobody has.
ADDED = {
    key: value
    for one in CONFIGURATIONS.values()
    for _, (key, value) in ((None, (path[-1], value)) for path, value in leaves(one))
} | {
    "num_experts": 64,
    "attention_head_type": "multiquery",
    "add_cross_attention": True,
    "is_encoder_decoder": True,
    "is_causal": False,
    "use_bidirectional_attention": True,
    "multi_query": True,
    "kv_channels": 3,
    "num_kv_heads": 1,
    "n_inner": 3,
    "ffn_dim": 3,
    "qk_norm": True,
    "use_qk_norm": True,
    "attention_bias": True,
    "mlp_bias": True,
    "use_bias": True,
    "parallel_attn": True,
    "moe_layer_freq": 3,
    "layer_types": ["full_attention"],
    "sliding_window": 2,
    "lora_rank": 8,
    "shared_expert_intermediate_size": 5,
    "num_nextn_predict_layers": 3,
    "torch_dtype": "float32",
    "architectures": ["TinyModel"],
    "quantization_config": {"quant_method": "fp8"},
    "talker_config": {"hidden_size": 3},
    "audio_config": {"hidden_size": 3},
    "audio_dual_ffn_layers": [1],
    "text_config": {"model_type": "llama"},
    "pruned_heads": {"0": [1]},
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "hidden_layers_shared": 2,
    "nobody_has_this": 7,
    "rope_theta": 500000.0,
    "norm_topk_prob": True,
    "eos_token_id": 3,
}


# Keys that say where layers of a kind stand; of these only the number is counted.
PLACES = {
    "attn_layer_offset",
    "attn_layer_period",
    "expert_layer_offset",
    "full_attention_interval",
    "layer_types",
    "mlp_only_layers",
    "mtp_hybrid_override_pattern",
}


def result(values):
    """The numbers of an entry, what became of its keys, and the refusal; one of them is None."""
    try:
        found = imported(values)
    except InputError as error:
        return None, None, str(error)
    numbers = found.llm.model_dump(exclude={"note", "name", "status"})
    return numbers, found.account, None


def explained(account, path):
    """Whether a key, or a section that it is in, is said to change nothing, with a reason."""
    places = {".".join(path[:length]) for length in range(1, len(path) + 1)}
    told = {**account.ignored, **account.left_out}
    return any(told.get(place) for place in places)


def silent(base, values, path):
    """Whether a changed configuration gives the same entry, and what is then said of the key."""
    numbers, account, refusal = result(values)
    same = refusal is None and numbers == base
    return same, same and not explained(account, path)


@pytest.mark.parametrize("name", NAMES)
def test_another_value_of_any_key_changes_the_count_or_is_refused_or_idle_with_a_reason(name):
    values = CONFIGURATIONS[name]
    base, _, refusal = result(values)
    assert refusal is None
    wrong = []
    for path, value in leaves(values):
        found = [
            silent(base, changed(values, ".".join(path), other), path)
            for other in others(value)
            if other != value
        ]
        # Another interval, or a list in another order, may give layers of the same number. Then
        # the key decides nevertheless, as its other values show.
        decides = not all(same for same, _ in found)
        if any(unexplained for _, unexplained in found) and not (decides and path[-1] in PLACES):
            wrong.append(".".join(path))
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_another_key_anywhere_changes_the_count_or_is_refused_or_idle_with_a_reason(name):
    values = CONFIGURATIONS[name]
    base, _, _ = result(values)
    wrong = []
    for level in levels(values):
        place = values
        for key in level:
            place = place[key]
        for key, value in ADDED.items():
            path = (*level, key)
            if key not in place and silent(base, changed(values, ".".join(path), value), path)[1]:
                wrong.append((".".join(path), value))
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_accounted_for_once(name):
    _, account, _ = result(CONFIGURATIONS[name])
    told = [*account.decided, *account.ignored, *account.left_out]
    assert len(told) == len(set(told))
    assert all(account.ignored.values())
    assert all(account.left_out.values())
    for path, _ in leaves(CONFIGURATIONS[name]):
        assert ".".join(path) in told or explained(account, path)
