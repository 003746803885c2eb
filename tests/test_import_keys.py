"""Every key of a configuration counts: it changes the entry, or is refused, or is said to be idle.

The fixtures are those of tests/configurations.py, so that a family that is added there is tested,
and the first shape of every family of tests/public_shapes.json. Of a key that says where layers
stand, or that is rounded, the account states what counts (`3 of 12 layers`): two values that give
the same entry state the same there.
"""

import pytest

from configurations import CONFIGURATIONS
from hbmopt.errors import InputError
from hbmopt.llm.importing import imported
from hbmopt.llm.importing.wrapper import NESTED
from test_public_shapes import CONFIGS

NAMES = sorted(CONFIGURATIONS)


def first_of_each_family():
    """The first public shape of every family, and of every family of decoders in a wrapper."""
    found = {}
    for name, values in CONFIGS.items():
        nested = (values.get(key) for key in NESTED)
        inside = next((one["model_type"] for one in nested if one and "model_type" in one), None)
        found.setdefault((values["model_type"], inside), name)
    return sorted(found.values())


SHAPES = first_of_each_family()


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
        return ["another", value[1:] + value[:1], value[::-1], None]
    if isinstance(value, list):
        turned = [value[::-1], value[1:] + value[:1]]
        alike = [
            value[:1] * len(value),
            value[-1:] * len(value),
            *([[2] * len(value)] * bool(value)),
        ]
        return [value[:-1], [*value, *value[:1]], *turned, *alike, None]
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


def result(values):
    """The numbers of an entry, what was imported, and the refusal; one of them is None."""
    try:
        found = imported(values)
    except InputError as error:
        return None, None, str(error)
    numbers = found.llm.model_dump(exclude={"note", "name", "status"})
    return numbers, found, None


def explained(account, path):
    """Whether a key, or a section that it is in, is said to change nothing, with a reason."""
    places = {".".join(path[:length]) for length in range(1, len(path) + 1)}
    told = {**account.ignored, **account.left_out}
    return any(told.get(place) for place in places)


def put(values, path, value):
    """The configuration with another value in one place."""
    key, *below = path
    return {**values, key: put(values[key], below, value) if below else value}


def silent(base, values, path):
    """Whether a changed configuration gives the same entry without a word about the key."""
    numbers, found, refusal = result(values)
    if refusal is not None or numbers != base[0]:
        return False
    # What was passed over is known at once; which of the others change nothing takes its time.
    if explained(found.read, path) or explained(found.account, path):
        return False
    stated = found.account.tallies.get(".".join(path))
    return stated is None or stated != base[1].account.tallies.get(".".join(path))


def other_values(values):
    """Every place of a configuration with every other value that it gives the same entry with."""
    base = result(values)
    assert base[2] is None
    return [
        (".".join(path), other)
        for path, value in leaves(values)
        for other in others(value)
        if other != value and silent(base, put(values, path, other), path)
    ]


def other_keys(values, added):
    """Every key that can be added anywhere without a word."""
    base, wrong = result(values), []
    for level in levels(values):
        place = values
        for key in level:
            place = place[key]
        for key, value in added.items():
            path = (*level, key)
            if key not in place and silent(base, put(values, path, value), path):
                wrong.append((".".join(path), value))
    return wrong


@pytest.mark.parametrize("name", NAMES)
def test_another_value_of_any_key_changes_the_count_or_is_refused_or_idle_with_a_reason(name):
    assert other_values(CONFIGURATIONS[name]) == []


@pytest.mark.parametrize("name", SHAPES)
def test_another_value_of_any_key_of_a_public_shape_is_no_silent_one(name):
    assert other_values(CONFIGS[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_another_key_anywhere_changes_the_count_or_is_refused_or_idle_with_a_reason(name):
    assert other_keys(CONFIGURATIONS[name], ADDED) == []


@pytest.mark.parametrize("number", range(len(SHAPES)), ids=SHAPES)
def test_another_key_of_a_public_shape_is_no_silent_one(number):
    # Every shape with one key in eight, each time others, so that every key is tried on many.
    added = dict(list(ADDED.items())[number % 8 :: 8])
    assert other_keys(CONFIGS[SHAPES[number]], added) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_accounted_for_once(name):
    account = result(CONFIGURATIONS[name])[1].account
    told = [*account.decided, *account.ignored, *account.left_out]
    assert len(told) == len(set(told))
    assert all(account.ignored.values())
    assert all(account.left_out.values())
    for path, _ in leaves(CONFIGURATIONS[name]):
        assert ".".join(path) in told or explained(account, path)


def test_a_mistyped_key_is_named_where_the_right_one_is_missing():
    mistyped = dict(CONFIGURATIONS["block_sparse"])
    mistyped["num_hiden_layers"] = mistyped.pop("num_hidden_layers")
    with pytest.raises(InputError, match="is it meant by 'num_hiden_layers'"):
        imported(mistyped)


def test_a_folder_without_a_model_says_what_it_lacks(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json and no GGUF file"):
        imported(tmp_path)
