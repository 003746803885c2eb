"""Entry point: `python -m hbmopt` and the console script.

Asking for help is the one call that should feel immediate, so its text is kept beside the
program (a test holds it equal to what the command line would print) and nothing is imported.
"""

import os
import sys

from hbmopt.standard_output import complain, write_out


def main() -> None:
    """Run the command line, or print the kept help text."""
    # A shell that asks what completes a line gives no arguments, and wants no help.
    if sys.argv[1:] in ([], ["--help"], ["-h"]) and "_HBMOPT_COMPLETE" not in os.environ:
        with open(__file__.replace("__main__.py", "help.txt"), encoding="utf-8") as text:  # noqa: PTH123 -- pathlib costs as much as the interpreter
            code = write_out(text.read())
        if code:
            sys.exit(code)
        return
    try:
        from hbmopt.cli import main as run

        run()
    except KeyboardInterrupt:
        complain("interrupted; nothing was done")
        sys.exit(130)


if __name__ == "__main__":
    main()
