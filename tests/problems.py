"""Inputs that cannot be used, and what the one line about each has to say."""

from typing import NamedTuple

from builders import INSTANCES

GOOD = (INSTANCES / "closed_form.yaml").read_text(encoding="utf-8")
NAMED = "rack: dgx_h100\nllm: llama_3_1_8b\nworkload: {context: 100}\n"


class Problem(NamedTuple):
    """Text of a file, the line that is wrong, and what the message names: key and remedy."""

    text: str
    line: int
    key: str
    remedy: str


def changed(old, new, key, remedy):
    """The closed-form instance with one piece of text replaced; it is wrong there, or at an @."""
    assert GOOD.count(old) == 1, f"{old!r} has to stand once"
    before = GOOD[: GOOD.index(old)] + (new[: new.index("@")] if "@" in new else "")
    line = before.count("\n") + 1
    return Problem(GOOD.replace(old, new.replace("@", "")), line, key, remedy)


LIMITS = "limits: {power_capped: false}"
CAPACITY = "hbm_capacity: 100 GB"
ATTENTION = "kind: grouped, layers: 50, heads: 10, kv_heads: 10, head_dimension: 50"
DATA_EXAMPLE = '"288 GB"'

FILES = {
    # keys
    "unknown_key": changed(
        LIMITS, "limits: {min_sped: 3 tok/s}", "limits.min_sped", "did you mean 'min_speed'?"
    ),
    "unknown_top_key": changed(
        "workload: {context: 10000}",
        "worklod: {context: 10000}",
        "worklod",
        "did you mean 'workload'?",
    ),
    "unknown_key_of_a_figure": changed(
        CAPACITY, "hbm_capacity: {valu: 100 GB}", "hbm_capacity", "did you mean 'value'?"
    ),
    "missing_key": Problem(
        NAMED.replace("workload: {context: 100}\n", ""), 1, "workload", "missing"
    ),
    "missing_nested_key": changed(
        f"{{{ATTENTION}}}",
        "{kind: grouped, layers: 50, heads: 10, kv_heads: 10}",
        "llm.attention.0",
        "the key 'head_dimension' is missing",
    ),
    # units
    "wrong_unit": changed(CAPACITY, "hbm_capacity: 100 kW", "hbm_capacity", DATA_EXAMPLE),
    "misspelt_unit": changed(CAPACITY, "hbm_capacity: 100 Gb", "hbm_capacity", "'GB'?"),
    "missing_unit": changed(CAPACITY, "hbm_capacity: 100", "hbm_capacity", DATA_EXAMPLE),
    "text_without_a_unit": changed(CAPACITY, 'hbm_capacity: "100"', "hbm_capacity", DATA_EXAMPLE),
    "no_number": changed(CAPACITY, "hbm_capacity: GB", "hbm_capacity", DATA_EXAMPLE),
    "not_a_number": changed(CAPACITY, "hbm_capacity: .nan", "hbm_capacity", DATA_EXAMPLE),
    "infinite_size": changed(CAPACITY, "hbm_capacity: 1e400 GB", "hbm_capacity", "finite"),
    # magnitudes
    "negative_size": changed(CAPACITY, "hbm_capacity: -100 GB", "hbm_capacity", "at least 0"),
    "zero_size": changed(CAPACITY, "hbm_capacity: 0 GB", "hbm_capacity", "more than 0"),
    "zero_count": changed(
        "accelerators: 1\n", "accelerators: 0\n", "rack.accelerators", "more than 0"
    ),
    "broken_count": changed(
        "accelerators: 1\n", "accelerators: 1.5\n", "rack.accelerators", "whole number"
    ),
    "share_above_one": changed(
        "  hbm_usable: 1\n", "  hbm_usable: 1.2\n", "calibration.hbm_usable", "at most 1"
    ),
    "clock_above_one": changed("clocks: [1.0]", "clocks: [1.5]", "choices.clocks", "0.1 to 1"),
    "pue_below_one": changed(LIMITS, "limits: {pue: 0.5}", "limits.pue", "at least 1"),
    "negative_choice": changed(
        "replica_accelerators: [1]",
        "replica_accelerators: [-1]",
        "choices.replica_accelerators",
        "must not be negative",
    ),
    "nothing_to_choose": changed(
        "replica_accelerators: [1]",
        "replica_accelerators: []",
        "choices.replica_accelerators",
        "leave the key out",
    ),
    "budget_without_capacity": changed(
        LIMITS,
        "limits: {budgets: [{name: cpu, capacity: 0}]}",
        "limits.budgets.0.capacity",
        "greater than 0",
    ),
    # types
    "word_for_a_number": changed("layers: 50\n", "layers: many\n", "llm.layers", "integer"),
    "list_for_a_mapping": changed(
        "workload: {context: 10000}", "workload: [10000]", "workload", "`key: value` lines"
    ),
    "mapping_for_a_list": changed("clocks: [1.0]", "clocks: {a: 1}", "choices.clocks", "list"),
    "word_for_a_list": changed(
        "weight_formats: [bf16]", "weight_formats: bf16", "choices.weight_formats", "list"
    ),
    "word_for_a_switch": changed(
        LIMITS, "limits: {power_capped: perhaps}", "limits.power_capped", "boolean"
    ),
    "two_contexts": changed(
        "workload: {context: 10000}",
        "workload: {context: 10000, prompt: 10}",
        "workload",
        "give either `context`, or `prompt` and `output`",
    ),
    "rack_left_empty": Problem(
        NAMED.replace(" dgx_h100", ""), 1, "rack", "`key: value` lines below this key"
    ),
    # names
    "unknown_rack": Problem(NAMED.replace("h100", "h10"), 1, "rack", "did you mean 'dgx_h100'?"),
    "unknown_llm": Problem(NAMED.replace("8b", "9b"), 2, "llm", "did you mean 'llama_3_1_8b'?"),
    "unknown_accelerator": Problem(
        NAMED.replace("dgx_h100", "\n  base: dgx_h100\n  accelerator: nvidia_h100_sx"),
        3,
        "rack.accelerator",
        "did you mean 'nvidia_h100_sxm'?",
    ),
    "base_that_is_no_name": Problem(
        NAMED.replace("dgx_h100", "\n  base: 3"), 2, "rack.base", "must name a catalogue entry"
    ),
    "wrong_unit_in_a_changed_entry": Problem(
        NAMED.replace("dgx_h100", "\n  base: dgx_h100\n  static_power: 3 GB"),
        3,
        "rack.static_power",
        '"120 kW"',
    ),
    "unknown_key_in_a_changed_entry": Problem(
        NAMED.replace("dgx_h100", "\n  base: dgx_h100\n  static_powr: 3 kW"),
        3,
        "rack.static_powr",
        "did you mean 'static_power'?",
    ),
    "unknown_weight_format": changed(
        "weight_formats: [bf16]",
        "weight_formats: [bf61]",
        "choices.weight_formats",
        "did you mean 'bf16'?",
    ),
    "lpus_without_a_rack_of_them": changed(
        "replica_accelerators: [1]", "lpu_units: [4]", "choices.lpu_units", "`offload`"
    ),
    "unknown_kv_format": changed(
        "kv_formats: [bf16]", "kv_formats: [fp9]", "choices.kv_formats", "did you mean 'fp8'?"
    ),
    "unknown_arithmetic": changed(
        "peak_flops: {bf16:", "peak_flops: {bf17:", "peak_flops", "did you mean 'bf16'?"
    ),
    "unknown_status": changed(
        CAPACITY,
        "hbm_capacity: {value: 100 GB, status: datashet}",
        "hbm_capacity",
        "did you mean 'datasheet'?",
    ),
    "unknown_scope": changed(LIMITS, "limits: {power_scope: rak}", "limits.power_scope", "'rack'"),
    # attention groups
    "unknown_kind_of_attention": changed(
        "kind: grouped", "kind: groupd", "llm.attention.0", "'grouped'"
    ),
    "unknown_key_of_attention": changed(
        "kv_heads: 10", "kvheads: 10", "llm.attention.0.kvheads", "did you mean 'kv_heads'?"
    ),
    "negative_key_of_attention": changed(
        "head_dimension: 50}", "head_dimension: -50}", "llm.attention.0.head_dimension", "than 0"
    ),
    "second_group_of_attention": changed(
        "head_dimension: 50}",
        "head_dimension: 50}\n    @- {kind: latent, layers: 1, heads: 1, latent_rank: 1,"
        " rope_dimension: x}",
        "llm.attention.1.rope_dimension",
        "integer",
    ),
    # YAML
    "syntax_error": changed(
        "llm:\n", "llm: ]\n", "not valid YAML", "check indentation, colons and quotes"
    ),
    "tab": changed(
        "  static_power", "\t@static_power", "tab", "check indentation, colons and quotes"
    ),
    "duplicate_key": changed(
        LIMITS, LIMITS + "\n@limits: {}", "'limits' stands twice", "keep one of them"
    ),
    "two_documents": Problem("a: 1\n---\nb: 2\n", 2, "another document", "keep one"),
    "recursive_alias": Problem(
        "rack: &a\n  x: *a\nllm: llama_3_1_8b\n", 2, "alias", "contains itself"
    ),
    "undefined_alias": Problem("rack: *nope\n", 1, "undefined alias", "no value before it"),
    "tag": Problem("a: 1\nb: !!str 5\n", 2, "the tag !!str", "leave it out"),
    "merge_key": Problem("a: &a {b: 1}\nc:\n  <<: *a\n", 3, "merge keys", "write the keys out"),
    "anchor_twice": Problem("a: &a 1\nb: &a 2\n", 2, "the anchor &a stands twice", "rename"),
    "null_byte": Problem("a: 1\nb: \0\n", 2, "control characters", "not valid YAML"),
    "list_at_the_top": Problem("- a\n- b\n", 1, "top level", "`key: value` lines"),
    "words_at_the_top": Problem("just words\n", 1, "top level", "`key: value` lines"),
    "key_that_is_a_list": Problem("? [a, b]\n: 1\n", 1, "key", "plain word"),
    "empty": Problem("", 1, "empty", "an instance needs rack, llm and workload"),
    "only_a_comment": Problem("# nothing\n", 1, "empty", "needs rack, llm and workload"),
    "number_of_5000_digits": changed("layers: 50\n", f"layers: {'9' * 5000}\n", "", ""),
    "deep_nesting": Problem("rack: " + "[" * 3000 + "]" * 3000 + "\n", 1, "", ""),
}

OVERRIDES = {
    "limits.power": ("--set limits.power", "write it as key=value"),
    "=3": ("--set =3", "write it as key=value"),
    "limits.powr=3 kW": ("--set limits.powr=3 kW: limits.powr", "did you mean 'power'?"),
    "limts.power=3 kW": ("--set limts.power=3 kW: limts", "did you mean 'limits'?"),
    "x.y.z=3": ("--set x.y.z=3: x", "valid: "),
    "limits.min_speed=3": ("limits.min_speed", '"60 tok/s/user"'),
    "limits.min_speed=3 kW": ("limits.min_speed", "it measures power"),
    "llm=llama_3_1_9b": ("--set llm=llama_3_1_9b: llm", "did you mean 'llama_3_1_8b'?"),
    "llm.attention.7.heads=3": ("llm.attention.7", "not an index of a list of 1"),
    "llm.attention.x=3": ("llm.attention.x", "not an index of a list of 1"),
    "llm.attention.0.headz=3": ("llm.attention.0.headz", "did you mean 'heads'?"),
    "llm.layers=": ("llm.layers", "integer"),
    "rack.accelerator.hbm_capacity.x=3": ("rack.accelerator.hbm_capacity", "plain value"),
    "rack.accelerators=0": ("rack.accelerators", "more than 0"),
    "limits.power=[": ("--set limits.power=[", "check indentation, colons and quotes"),
    "limits=3": ("limits", "`key: value` lines"),
}
