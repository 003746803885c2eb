"""Entry point: `python -m hbmopt` and the console script.

Asking for help is the one call that should feel immediate, so its text is kept beside the
program (a test holds it equal to what the command line would print) and nothing is imported.
"""

import sys


def main() -> None:
    """Run the command line, or print the kept help text."""
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        with open(__file__.replace("__main__.py", "help.txt"), encoding="utf-8") as text:  # noqa: PTH123 -- pathlib costs as much as the interpreter
            sys.stdout.write(text.read())
        return
    from hbmopt.cli import main as run

    run()


if __name__ == "__main__":
    main()
