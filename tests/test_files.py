"""Files are written whole or not at all, never over what was read, and into what is no file."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from builders import ROOT
from commands import invoke, one_line_of_error
from hbmopt.basics import files
from hbmopt.errors import InputError

CLOSED_FORM = ROOT / "instances" / "closed_form.yaml"
H100 = ROOT / "instances" / "h100.yaml"
STEPS = ROOT / "instances" / "measured" / "decode_steps.csv"


def copied(path, folder):
    """Return a copy of an instance in a folder."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.fixture
def instance(tmp_path):
    return copied(H100, tmp_path)


INTO_ITSELF = {
    "solve": (),
    "frontier": (),
    "explain": (),
    "check": ("--batch", "10", "--speed", "30"),
    "sensitivity": ("--no-resolve",),
    "report": (),
}


@pytest.mark.parametrize("command", INTO_ITSELF)
@pytest.mark.parametrize("style", ["as named", "linked", "hard link"])
def test_no_command_writes_over_its_instance(command, style, tmp_path, instance):
    before = instance.read_bytes()
    suffix = ".html" if command == "report" else ".json"
    output = tmp_path / f"out{suffix}"
    if style == "as named":
        output = instance.rename(instance.with_suffix(suffix))
        instance = output
    elif style == "linked":
        output.symlink_to(instance)
    else:
        output.hardlink_to(instance)
    more = INTO_ITSELF[command]
    text = one_line_of_error(invoke(command, instance, *more, "-o", output))
    assert "which is read; name another file to write" in text
    assert instance.read_bytes() == before


def test_nothing_that_an_instance_names_is_written_over(tmp_path):
    entry = tmp_path / "mine.yaml"
    assert invoke("catalog", "llms", "llama_3_1_70b").exit_code == 0
    entry.write_text(invoke("catalog", "llms", "llama_3_1_70b").stdout, encoding="utf-8")
    config = tmp_path / "config.json"
    config.write_text(
        '{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "vocab_size": 100,'
        ' "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,'
        ' "tie_word_embeddings": false, "torch_dtype": "bfloat16"}',
        encoding="utf-8",
    )
    instance = tmp_path / "problem.yaml"
    body = H100.read_text(encoding="utf-8").replace("llm: llama_3_1_70b", "llm: mine.yaml")
    assert "mine.yaml" in body
    instance.write_text(body, encoding="utf-8")
    for output, more in (
        (entry, ()),
        (entry, ("--set", "llm=llama_3_1_8b")),  # read all the same
        (config, ("--set", f"llm={config}", "--set", "choices.weight_formats=[bf16]")),
    ):
        before = output.read_bytes()
        text = one_line_of_error(
            invoke("solve", instance, *more, "-o", output, "--format", "table")
        )
        assert "which is read" in text or "by its name" in text
        assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda path: ("predict", path, "-o", path), STEPS),
        (lambda path: ("compare", H100, path, "-o", path, "--format", "table"), H100),
        (lambda path: ("import-llm", path, "-o", path), None),
        (lambda path: ("frontier", path, "--plot", path), H100),
        (lambda path: ("sweep", path, "--vary", "limits.power=8 kW", "-o", path), H100),
        (
            lambda path: ("sweep", path, "--vary", f"llm={path},llama_3_1_8b", "-o", path),
            H100,
        ),
    ],
)
def test_other_inputs_are_not_written_over_either(make, inputs, tmp_path):
    suffixes = {"predict": ".csv", "import-llm": ".json", "frontier": ".html", "sweep": ".csv"}
    suffix = suffixes.get(make(Path("x"))[0], ".txt")
    path = tmp_path / f"input{suffix}"
    path.write_bytes(inputs.read_bytes() if inputs is not None else b"{}")
    before = path.read_bytes()
    text = one_line_of_error(invoke(*make(path)))
    assert "which is read" in text
    assert path.read_bytes() == before


def test_a_configuration_in_a_folder_that_is_read_is_not_written_over(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    config = folder / "org--name.json"
    config.write_text("{}", encoding="utf-8")
    text = one_line_of_error(invoke("predict", STEPS, "--llm-configs", folder, "-o", config))
    assert "which is read" in text
    assert config.read_text(encoding="utf-8") == "{}"


def test_two_outputs_are_two_files(tmp_path, instance):
    path = tmp_path / "same.html"
    arguments = ("frontier", instance, "-o", path, "--format", "table", "--plot", path)
    assert "is the file of --output too" in one_line_of_error(invoke(*arguments))
    assert not path.exists()


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    link.symlink_to(target)  # to nothing yet
    for _ in range(2):
        assert invoke("solve", CLOSED_FORM, "-o", link).exit_code == 0
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8").startswith("{")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "target.json"]


def test_links_in_a_circle_are_one_line(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.symlink_to(second)
    second.symlink_to(first)
    assert "cannot be written" in one_line_of_error(invoke("solve", CLOSED_FORM, "-o", first))


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(mode, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("before", encoding="utf-8")
    path.chmod(mode)
    assert invoke("solve", CLOSED_FORM, "-o", path).exit_code == 0
    assert path.read_text(encoding="utf-8").startswith("{")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_that_the_user_asks_for(tmp_path):
    command = f"umask 027; {sys.executable} -m hbmopt schema instance -o {tmp_path / 's.json'}"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "optimizer")}
    subprocess.run(["sh", "-c", command], check=True, env=environment)
    assert stat.S_IMODE((tmp_path / "s.json").stat().st_mode) == 0o640


def test_a_named_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    assert invoke("solve", CLOSED_FORM, "-o", pipe, "--format", "json").exit_code == 0
    reader.join(10)
    assert read[0].startswith("{")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def run(command, **more):
    """Run a line of a shell, in which $hbmopt is the command line."""
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(ROOT / "optimizer"), "hbmopt": f"{sys.executable} -m hbmopt"},
        **more,
    )


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_devices_stay_devices(device):
    before = Path(device).stat()
    outcome = run(f"$hbmopt solve closed_form -o {device}")
    assert Path(device).stat().st_rdev == before.st_rdev
    assert stat.S_ISCHR(Path(device).stat().st_mode)
    if device == "/dev/null":
        assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    else:
        said = f"hbmopt: --output /dev/full: cannot be written ({os.strerror(errno.ENOSPC)})\n"
        assert (outcome.returncode, outcome.stdout, outcome.stderr) == (2, "", said)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"])
def test_standard_output_may_be_named(name, tmp_path):
    wanted = run("$hbmopt schema instance").stdout
    assert run(f"$hbmopt schema instance -o {name} | cat").stdout == wanted
    # Into a file that the shell has opened, after what is there already.
    path = tmp_path / "all.txt"
    run(f"{{ echo before; $hbmopt schema instance -o {name}; echo after; }} > {path}")
    assert path.read_text(encoding="utf-8") == f"before\n{wanted}after\n"


@pytest.mark.parametrize(
    "arguments",
    ["solve closed_form", "--help", "solve --help", "--version", "catalog", "schema instance"],
)
@pytest.mark.parametrize("closed", ["> /dev/full", ">&-"])
def test_standard_output_that_cannot_be_written_is_one_line(arguments, closed):
    outcome = run(f"$hbmopt {arguments} {closed}")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("hbmopt: standard output cannot be written (")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", ["solve closed_form", "--help", "catalog", "schema instance"])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    command = f"set -o pipefail; $hbmopt {arguments} | true"
    # What takes a moment may be faster than the reader; the others never are.
    for _ in range(3 if arguments == "--help" else 1):
        outcome = run(command)
        assert (outcome.returncode, outcome.stderr) == (0, "")


def test_a_closed_stderr_hides_nothing_else():
    outcome = run("$hbmopt solve closed_form --format json 2>&-")
    assert outcome.returncode == 0
    assert outcome.stdout.startswith("{")
    assert run("$hbmopt solve nothing.yaml 2>&-").returncode == 2


def test_an_encoding_without_bars_gets_a_table_all_the_same():
    outcome = run("PYTHONIOENCODING=ascii $hbmopt solve h100")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "Decode step" in outcome.stdout


def test_a_disk_that_fills_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "answer.json"
    path.write_text("before", encoding="utf-8")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    text = one_line_of_error(invoke("solve", CLOSED_FORM, "-o", path))
    assert "No space left on device" in text
    assert path.read_text(encoding="utf-8") == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["answer.json"]


def test_an_interruption_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "answer.txt"
    path.write_text("before", encoding="utf-8")

    def interrupted():
        with files.writing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text(encoding="utf-8") == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["answer.txt"]


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (("solve", CLOSED_FORM, "-o", "a.json"), "{"),
        (("solve", CLOSED_FORM, "-o", "a.JSON"), "{"),
        (("solve", CLOSED_FORM, "-o", "a.csv"), "instance,"),
        (("solve", CLOSED_FORM, "-o", "a.txt"), "What"),
        (("solve", CLOSED_FORM, "-o", "a"), "What"),
        (("solve", CLOSED_FORM, "-o", "a.md", "--format", "json"), "{"),
        (("frontier", H100, "-o", "a.csv"), "speed"),
        (("explain", CLOSED_FORM, "-o", "a.json"), "{"),
        (("check", H100, "--batch", "9", "--speed", "30", "-o", "a.json"), "{"),
        (("sensitivity", CLOSED_FORM, "--no-resolve", "-o", "a.json"), "{"),
        (("compare", H100, "-o", "a.json"), "{"),
        (("schema", "instance", "-o", "a.json"), "{"),
    ],
)
def test_the_suffix_says_the_format(arguments, begins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = invoke(*arguments)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    (written,) = tmp_path.iterdir()
    assert written.read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("solve", CLOSED_FORM, "-o", "a.json", "--format", "csv"), "a file of json by its name"),
        (("solve", CLOSED_FORM, "-o", "a.txt", "--format", "json"), "a file of table by its name"),
        (("frontier", H100, "-o", "a.csv", "--format", "table"), "a file of csv by its name"),
        (("solve", CLOSED_FORM, "-o", "a.xlsx"), "must end in .txt, .json, .csv"),
        (("report", CLOSED_FORM, "-o", "a.pdf"), "must end in .html"),
        (("schema", "instance", "-o", "a.yaml"), "must end in .json"),
        (("import-llm", "config.json", "-o", "a.csv"), "must end in .yaml"),
        (("calibrate", STEPS, "-o", "a.json"), "must end in .yaml"),
        (("new", "a.json"), "must end in .yaml"),
    ],
)
def test_a_suffix_that_says_otherwise_is_an_error(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in one_line_of_error(invoke(*arguments))
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    path = tmp_path / "answer.json"
    with pytest.raises(InputError, match="Permission denied"):
        files.check_writable(path)
