import json
import math

import pytest

from builders import INSTANCES
from commands import runner
from hbmopt.cli import cli
from hbmopt.demand.configuration import Layout
from hbmopt.documents.model_ids import architecture_name
from hbmopt.errors import InputError
from hbmopt.instance import universal as universal_constants
from hbmopt.studies.accuracy.known_models import KnownModels, known_chip
from hbmopt.studies.accuracy.measured_steps import (
    Row,
    UnusableRowError,
    cache_format,
    placement,
    read_measured_steps,
)
from hbmopt.studies.accuracy.prediction import predict, summarised

MEASURED = INSTANCES / "measured" / "decode_steps.csv"
HEAD = (
    "model,weight_format,kv_format,accelerator,accelerators,tensor_parallel,expert_parallel,"
    "attention_data_parallel,context_tokens,context_recorded,batch,step_ms\n"
)


def table(tmp_path, *lines, head=HEAD):
    path = tmp_path / "rows.csv"
    path.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def only(tmp_path, line, head=HEAD, **options):
    (row,) = predict(table(tmp_path, line, head=head), **options).rows
    return row


LLAMA = "meta-llama/Llama-3.1-8B,bf16,bf16,nvidia_h100_sxm,1,1,1,false,1000,true,2,10"


@pytest.fixture(scope="module")
def universal():
    return predict(MEASURED)


def test_a_row_computed_by_hand(tmp_path):
    layers, hidden, wide, heads, kv_heads, size, words = 32, 4096, 14336, 32, 8, 128, 128256
    batch, context, bandwidth = 2, 1000, 3.35e12
    attention = hidden * size * (2 * heads + 2 * kv_heads)
    multiplied = layers * (attention + 3 * hidden * wide + 2 * hidden) + hidden + words * hidden
    # Products hide behind the weights that they read, scores behind the cache.
    attained, waited = universal_constants().efficiency, universal_constants().latency
    weights = (2 * multiplied + batch * 2 * hidden) / bandwidth
    cache = batch * context * layers * 2 * kv_heads * size * 2 / bandwidth
    latency = layers * float(waited.per_layer) + batch * float(waited.per_sequence)
    read = 1e3 * (weights / float(attained.weights) + cache / float(attained.kv))
    row = only(tmp_path, LLAMA)
    assert row.predicted_ms == pytest.approx(read + latency, rel=1e-3)
    assert row.error == pytest.approx(row.predicted_ms / 10 - 1)
    assert row.parts_ms["weights"] == pytest.approx(
        1e3 * weights / float(attained.weights), rel=1e-3
    )
    assert row.parts_ms["kv"] == pytest.approx(1e3 * cache / float(attained.kv), rel=1e-9)
    assert row.parts_ms["latency"] == pytest.approx(latency)
    assert row.parts_ms["gemm"] == row.parts_ms["attention"] == row.parts_ms["prefill"] == 0
    assert sum(row.parts_ms.values()) == pytest.approx(row.predicted_ms)
    operations = batch * 2 * multiplied + batch * layers * 4 * heads * size * context
    law = universal_constants().power_law
    drawn = 700 * float(law.idle) + 1e3 * float(law.running)
    drawn += 1e-9 * float(law.hbm) * (weights + cache) * bandwidth / 10e-3
    drawn += 1e-9 * float(law.flop["bf16"]) * operations / 10e-3
    assert row.predicted_power_w == pytest.approx(drawn, rel=1e-3)


def test_large_batches_are_bound_by_arithmetic(tmp_path):
    # Llama-3.1-8B in bf16 on one H100, batch 256, context 1,024: 19.6 ms were measured.
    line = LLAMA.replace("1000,true,2,10", "1024,true,256,19.56")
    row = only(tmp_path, line, calibration="kernels")
    assert row.parts_ms["weights"] == 0
    assert row.parts_ms["gemm"] > 5
    assert row.predicted_ms == pytest.approx(19.56, rel=0.03)
    # A serving engine takes longer: it schedules and samples in between.
    assert only(tmp_path, line).predicted_ms > 1.2 * row.predicted_ms


PROMPTS = "prompt_tokens,output_tokens,serving," + HEAD


@pytest.mark.parametrize(
    ("serving", "factor"), [("aggregated", 8), ("Aggregated", 8), ("decode_only", 0), ("", 0)]
)
def test_prompts_between_the_steps_take_their_arithmetic(tmp_path, serving, factor):
    row = only(tmp_path, f"8000,1000,{serving},{LLAMA}", head=PROMPTS)
    plain = only(tmp_path, LLAMA)
    products = 2 * 2 * 6.98e9 * factor
    scores = 2 * factor * 32 * 4 * 32 * 128 * 4000
    expected = (
        1e3 * (products + scores) / 989.5e12 / float(universal_constants().efficiency.prefill)
    )
    assert row.parts_ms["prefill"] == pytest.approx(expected, rel=0.02)
    assert row.predicted_ms == pytest.approx(plain.predicted_ms + row.parts_ms["prefill"], rel=1e-4)


def test_a_serving_that_is_not_known_is_a_reason(tmp_path):
    row = only(tmp_path, f"8000,1000,agregated,{LLAMA}", head=PROMPTS)
    assert "serving: no 'agregated' is known; did you mean 'aggregated'" in row.reason


def test_tensor_parallelism_beyond_a_scale_up_domain_is_refused(tmp_path):
    row = only(
        tmp_path, "meta-llama/Llama-3.1-70B,fp8,fp8,nvidia_h100_sxm,16,16,1,false,1000,true,8,23.2"
    )
    assert row.predicted_ms is None
    assert "tensor parallelism is wider than the scale-up domain of 8" in row.reason


def test_the_roofline_is_the_slowest_resource(tmp_path):
    row = only(tmp_path, LLAMA, calibration="spec sheet")
    parts = row.parts_ms
    assert row.predicted_ms == pytest.approx(parts["weights"] + parts["kv"])
    assert parts["latency"] == 0
    assert row.calibration == "spec_sheet"


def test_a_row_that_would_not_fit_did_run(tmp_path):
    # 2,000 caches of 131 MB on 80 GB: what is recorded is wrong, or was held elsewhere.
    row = only(tmp_path, LLAMA.replace("true,2,10", "true,2000,10"))
    assert row.predicted_ms == pytest.approx(sum(row.parts_ms.values()))
    assert row.parts_ms["kv"] > 50


def test_every_shipped_row_is_predicted(universal):
    # What ran over two nodes at tensor parallelism 16 is no plan.
    reasons = {row.reason.partition(": ")[2] for row in universal.rows if row.reason}
    assert reasons == {"tensor parallelism is wider than the scale-up domain of 8"}
    assert universal.summary.rows == 1188
    assert universal.summary.predicted == 1180
    assert universal.recorded.rows == 1093


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def test_universal_constants_are_within_their_marks(universal):
    """Recomputed from measured and predicted numbers alone."""
    errors = {"nvidia": [], "all": []}
    for row in universal.rows:
        if not row.context_recorded or row.reason:
            continue
        error = abs(row.predicted_ms - row.measured_ms) / row.measured_ms
        errors["all"].append(error)
        if row.accelerator.startswith("nvidia"):
            errors["nvidia"].append(error)
    assert len(errors["nvidia"]) == 957
    assert median(errors["nvidia"]) <= 0.08
    assert median(errors["all"]) <= 0.085
    assert universal.recorded.median_abs_error == pytest.approx(median(errors["all"]))


def test_power_of_the_calibrated_laws_is_within_its_mark():
    found = predict(MEASURED, calibration="calibrated")
    errors = [
        abs(row.predicted_power_w - row.measured_power_w) / row.measured_power_w
        for row in found.rows
        if row.measured_power_w is not None and row.power_compared
    ]
    assert len(errors) >= 70
    assert sum(errors) / len(errors) <= 0.08
    assert found.power.mean_abs_error == pytest.approx(sum(errors) / len(errors))


def test_summaries_are_those_of_the_errors():
    found = summarised(5, 4, [-0.1, 0.2, 0.3, -0.6])
    assert (found.rows, found.predicted, found.compared) == (5, 4, 4)
    assert found.median_abs_error == pytest.approx(0.25)
    assert found.mean_abs_error == pytest.approx(0.3)
    assert found.p90_abs_error == pytest.approx(0.3 + 0.7 * 0.3)
    assert found.bias == pytest.approx(0.05)
    assert summarised(1, 0, []).median_abs_error is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "nobody/Nothing-9B"}, "'nobody/nothing-9b' is not in the catalogue"),
        ({"model": ""}, "model: is blank"),
        ({"accelerator": "abacus"}, "accelerator: no 'abacus' in the catalogue"),
        ({"accelerator": "A100"}, "it may be nvidia_a100_40gb, nvidia_a100_80gb"),
        ({"weight_format": "fp5"}, "weight_format: no format 'fp5'; did you mean 'fp8'?"),
        ({"kv_format": "zip"}, "kv_format: no format 'zip'"),
        ({"batch": "0"}, "batch: 0 must be finite and more than 0"),
        ({"batch": "many"}, "batch: 'many' is not a number"),
        ({"step_ms": "inf"}, "step_ms: inf must be finite"),
        ({"context_tokens": ""}, "context_tokens: is blank"),
        ({"accelerators": "1.5"}, "accelerators: 1.5 must be a whole number"),
        ({"accelerators": "8", "tensor_parallel": "3"}, "3 ranks do not divide 8 accelerators"),
        ({"accelerators": "6", "tensor_parallel": "6"}, "32 attention heads do not divide by 6"),
        ({"attention_data_parallel": "perhaps"}, "'perhaps' is neither true nor false"),
        (
            {"model": "openai/gpt-oss-120b", "accelerators": "8", "tensor_parallel": "8"}
            | {"expert_parallel": "3", "weight_format": ""},
            "expert_parallel: 3 ranks do not divide the 8 accelerators of a replica",
        ),
    ],
)
def test_a_row_that_cannot_be_predicted_says_why_and_stays(tmp_path, change, reason):
    names = HEAD.strip().split(",")
    cells = dict(zip(names, LLAMA.split(","), strict=True)) | change
    found = predict(table(tmp_path, ",".join(cells[name] for name in names), LLAMA))
    bad, good = found.rows
    assert reason in bad.reason
    assert "\n" not in bad.reason
    assert bad.predicted_ms is None
    assert bad.error is None
    assert good.reason is None
    assert (found.summary.rows, found.summary.predicted) == (2, 1)


def test_optional_columns_may_be_missing(tmp_path):
    head = "Model,ACCELERATOR,context_tokens,batch,tensor_parallel\n"
    row = only(tmp_path, "META-LLAMA/llama-3.1-8b-instruct,h200,1000.0,1.5,2", head=head)
    assert (row.layout, row.weight_format, row.kv_format) == ("TP2 on 2", "bf16", "fp8")
    assert row.predicted_ms > 0
    assert row.error is None
    assert row.context_recorded


def test_a_blank_step_is_predicted_without_an_error(tmp_path):
    found = predict(table(tmp_path, LLAMA.removesuffix("10")))
    assert (found.summary.predicted, found.summary.compared) == (1, 0)
    assert found.rows[0].predicted_ms > 0


def test_rows_without_a_recorded_context_can_be_left_out(tmp_path):
    path = table(tmp_path, LLAMA, LLAMA.replace("true", "FALSE"))
    kept, left = predict(path, recorded_only=True).rows
    assert kept.predicted_ms > 0
    assert left.reason.startswith("context_recorded: is false")
    assert predict(path).summary.predicted == 2


def row_of(**cells):
    return Row(2, {name: str(cell) for name, cell in cells.items()})


@pytest.mark.parametrize(
    ("count", "tensor", "expert", "data", "layout", "replicas"),
    [
        (8, 8, 1, "false", Layout(8, 8, 1, 1), 1),
        (8, 8, 8, "false", Layout(8, 8, 8, 1), 1),
        (8, 4, 1, "False", Layout(4, 4, 1, 1), 2),
        (64, 8, 8, "false", Layout(8, 8, 8, 1), 8),  # eight nodes, or a product
        (8, 64, 8, "false", Layout(8, 8, 8, 1), 1),  # tensor parallelism as the product
        (32, 1, 32, "TRUE", Layout(32, 1, 32, 32), 1),
        (32, 1, 1, "yes", Layout(32, 1, 32, 32), 1),
        (8, 8, 8, "true", Layout(8, 1, 8, 8), 1),  # tensor parallelism counts all ranks
        (16, 1, 4, "true", Layout(4, 1, 4, 4), 4),
        (16, 2, 16, "8", Layout(16, 2, 16, 8), 1),
        (8, 1, 8, "false", Layout(8, 1, 8, 8), 1),  # experts over more ranks than attention
    ],
)
def test_layouts_are_read(count, tensor, expert, data, layout, replicas):
    row = row_of(
        accelerators=count,
        tensor_parallel=tensor,
        expert_parallel=expert,
        attention_data_parallel=data,
    )
    found = placement(row, experts=True, flags=False)
    assert (found.layout, found.replicas) == (layout, replicas)
    assert found.layout.accelerators * found.replicas == count


def test_a_dense_model_with_attention_data_parallelism_is_several_replicas():
    row = row_of(accelerators=8, tensor_parallel=2, attention_data_parallel="true")
    found = placement(row, experts=False, flags=False)
    assert (found.layout, found.replicas) == (Layout(2, 2, 1, 1), 4)


def test_zero_and_one_are_no_and_yes_where_a_column_has_nothing_else(tmp_path):
    def written(value):
        row = LLAMA.split(",")
        return ",".join([*row[:7], value, *row[8:]])

    assert read_measured_steps(table(tmp_path, written("0"), written("1"))).flags
    assert not read_measured_steps(table(tmp_path, written("0"), written("8"))).flags


@pytest.mark.parametrize(
    ("weights", "cache", "expected"),
    [
        ("bf16", "", "bf16"),
        ("FP16", "auto", "bf16"),
        ("nvfp4", "", "fp8"),
        ("", "", "fp8"),
        ("fp8", "BF16", "bf16"),
        ("fp8", "fp8_e4m3", "fp8"),
    ],
)
def test_a_blank_kv_format_follows_the_weights(weights, cache, expected):
    assert cache_format(row_of(weight_format=weights, kv_format=cache)) == expected


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-r1"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen3-235b-a22b"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("deepseek-ai/DeepSeek-V2", "deepseek-v2"),
    ],
)
def test_tuning_and_quantization_do_not_change_the_architecture(model, name):
    assert architecture_name(model) == name


def test_models_are_found_by_identifier_by_architecture_and_in_a_folder(tmp_path):
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 512,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 1000,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    (tmp_path / "Someone--Tiny-1B.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "Someone--Broken.json").write_text("{}", encoding="utf-8")
    unsaid = config | {"quantization_config": {"quant_method": "homemade"}}
    (tmp_path / "Someone--Small-2B.json").write_text(json.dumps(unsaid), encoding="utf-8")
    known = KnownModels(tmp_path)
    assert known.find("deepseek-ai/DeepSeek-R1").name == "deepseek_r1"
    assert known.find("deepseek-ai/deepseek-r1-0528").name == "deepseek_r1"
    assert known.find("meta-llama/Llama-3.3-70B-Instruct").name == "llama_3_1_70b"
    assert known.find("someone/tiny-1b").hidden_size == 512
    assert known.find("Other/Tiny-1B-Instruct-FP8").hidden_size == 512
    assert known.find("someone/small-2b", "nvfp4").native_format == "nvfp4"
    with pytest.raises(UnusableRowError, match="say what the weights are with weight_format"):
        known.find("someone/small-2b")
    with pytest.raises(UnusableRowError, match="model: "):
        known.find("someone/broken", "fp8")
    with pytest.raises(InputError, match="there is no such folder"):
        KnownModels(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("written", "chip"),
    [
        ("NVIDIA_H100_SXM", "nvidia_h100_sxm"),
        ("nvidia-gb300", "nvidia_gb300"),
        ("B200", "nvidia_b200_sxm"),
        ("AMD MI325X", "amd_mi325x"),
        ("AMD Instinct MI325X", "amd_mi325x"),
        ("NVIDIA H100 SXM5 80 GB", "nvidia_h100_sxm"),
        ("H100-SXM5-80GB", "nvidia_h100_sxm"),
        ("Gaudi 3", "intel_gaudi3"),
        ("Rubin", "nvidia_rubin"),
        ("Rubin CPX", "nvidia_rubin_cpx"),
    ],
)
def test_chips_are_found_by_words_of_their_names(written, chip):
    assert known_chip(written) == chip


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("NVIDIA H100 PCIe", "it may be nvidia_h100_sxm"),
        ("GB300 NVL72", "it may be nvidia_gb300"),
        ("Blackwell", "hbmopt catalog accelerators lists them"),
        ("TPU", "it may be google_tpu_8i, google_tpu_8t, google_tpu_v6e, google_tpu_v7_ironwood"),
    ],
)
def test_a_chip_is_not_taken_for_another_variant(written, hint):
    with pytest.raises(UnusableRowError) as refusal:
        known_chip(written)
    assert str(refusal.value) == f"accelerator: no {written!r} in the catalogue; {hint}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the column 'model' is missing; the file is empty"),
        (
            "foo,bar\n1,2\n",
            "'model' is missing; needed are model, accelerator, context_tokens and batch; the file "
            "has foo, bar",
        ),
        ("modell,accelerator,batch\n", "'model' is missing; did you mean 'modell'? needed are"),
        ("model,accelerator,batch\n", "'context_tokens' is missing; needed are"),
        ("model,batch\na,1\n", "the column 'accelerator' is missing"),
        ("\n\nmodel;batch\na;1\n", ":3: the column 'accelerator' is missing"),
        (f"model,{HEAD}", ":1: there are two columns 'model'"),
    ],
)
def test_a_file_that_is_no_such_table_is_one_line(tmp_path, text, problem):
    path = tmp_path / "wrong.csv"
    path.write_text(text, encoding="utf-8")
    found = runner().invoke(cli, ["predict", str(path)])
    assert found.exit_code == 2
    assert problem in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "written",
    [
        (HEAD + LLAMA).replace(",", ";").encode(),
        (HEAD + LLAMA).replace(",", "\t").encode(),
        ("\ufeff" + HEAD + LLAMA).encode(),
        ("\n\n" + HEAD + LLAMA + "\n").replace("\n", "\r\n").encode(),
    ],
    ids=["semicolons", "tabs", "byte order mark", "blank lines and Windows line ends"],
)
def test_tables_of_spreadsheets_are_read(tmp_path, written):
    path = tmp_path / "rows.csv"
    path.write_bytes(written)
    (row,) = predict(path).rows
    assert row.predicted_ms == only(tmp_path, LLAMA).predicted_ms
    assert row.line == 2 + written.count(b"\r\n\r\n") * 2


def test_text_that_is_not_utf_8_says_so(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(HEAD + LLAMA, encoding="utf-16")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        predict(path)


@pytest.mark.parametrize("column", ["batch", "context_tokens", "step_ms", "accelerators"])
@pytest.mark.parametrize("value", ["5e-324", "1e-300", "1e308", "1e300", "1e999"])
def test_numbers_beyond_all_measure_are_a_reason(tmp_path, column, value):
    names = HEAD.strip().split(",")
    cells = dict(zip(names, LLAMA.split(","), strict=True)) | {column: value}
    row = only(tmp_path, ",".join(cells.values()))
    assert row.predicted_ms is None
    assert row.reason.startswith(f"{column}: {value} ")


def test_a_row_with_more_cells_than_columns_says_so(tmp_path):
    assert "has 13 cells, and the head has 12 columns" in only(tmp_path, LLAMA + ",1").reason
    assert only(tmp_path, LLAMA + ",,").reason is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing.csv"], "there is no such file"),
        ([str(MEASURED), "--calibration", "guess"], "--calibration guess: no 'guess' among"),
        ([str(MEASURED), "--calibration", "guess.yaml"], "there is no file guess.yaml"),
        ([str(MEASURED), "--llm-configs", "nowhere"], "--llm-configs nowhere"),
    ],
)
def test_wrong_calls_of_predict_are_one_line(arguments, problem):
    found = runner().invoke(cli, ["predict", *arguments])
    assert found.exit_code == 2
    assert problem in found.stderr
    assert found.stderr.count("\n") == 1


def test_predict_writes_tables_json_and_csv(tmp_path):
    path = table(tmp_path, LLAMA, LLAMA.replace("h100", "h9"))
    printed = runner().invoke(cli, ["predict", str(path)])
    assert printed.exit_code == 0
    for word in ("1 of 2 rows predicted", "By chip", "By model", "By layout", "Not predicted"):
        assert word in printed.stdout
    found = json.loads(runner().invoke(cli, ["predict", str(path), "--format", "json"]).stdout)
    assert found["summary"]["rows"] == 2
    assert {"predicted", "median_abs_error", "mean_abs_error", "p90_abs_error", "bias"} <= set(
        found["summary"]
    )
    assert [row["reason"] is None for row in found["rows"]] == [True, False]
    lines = runner().invoke(cli, ["predict", str(path), "--format", "csv"]).stdout.splitlines()
    assert len(lines) == 3
    nothing = table(tmp_path, LLAMA.replace("h100", "h9"))
    assert runner().invoke(cli, ["predict", str(nothing)]).exit_code == 1


def test_the_batch_is_shared_by_the_replicas(tmp_path):
    together = only(tmp_path, LLAMA.replace(",1,1,1,", ",4,1,1,").replace(",2,10", ",8,10"))
    alone = only(tmp_path, LLAMA)
    assert together.replicas == 4
    assert math.isclose(together.predicted_ms, alone.predicted_ms)
