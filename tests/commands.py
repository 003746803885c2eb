"""The command line, called in this process."""

from inspect import signature

from click.testing import CliRunner

from hbmopt.cli import cli


def runner():
    """Return a runner that keeps stdout and stderr apart, which click before 8.2 has to be told."""
    apart = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    return CliRunner(**apart)


def invoke(*arguments):
    """Run the command line in this process; a bug keeps its traceback."""
    outcome = runner().invoke(cli, [str(one) for one in arguments], prog_name="hbmopt")
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def one_line_of_error(outcome):
    """Return what a wrong call says: one line, on stderr, and nothing else."""
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("hbmopt: ")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.endswith("\n")
    return outcome.stderr
