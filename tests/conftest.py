"""Options and fixtures that all tests share."""

import signal

import pytest
from hypothesis import settings

from builders import GOLDEN

# The same examples on every run, and no limit of time that a busy machine would exceed.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# A shell that runs the suite in the background has it ignore Ctrl-C, and so do all processes that
# it starts; those that are sent one have to take it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write the golden files anew; check each changed coefficient by hand",
    )


@pytest.fixture
def assert_golden(request):
    """Compare text with a checked-in file, or write the file with --regenerate-golden."""

    def check(name, text):
        path = GOLDEN / f"{name}.txt"
        if request.config.getoption("--regenerate-golden"):
            path.write_text(text, encoding="utf-8")
        assert text.strip(), "a golden file without rows proves nothing"
        assert text == path.read_text(encoding="utf-8")

    return check
