"""Print one line that says what an environment holds: its name, Python, the main packages."""

import platform
import sys
from importlib.metadata import version

MAIN = ("pyomo", "highspy", "numpy", "pandas", "click", "pydantic", "PyYAML", "rich", "pytest")


if __name__ == "__main__":
    held = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in MAIN)]
    print(f"== {sys.argv[1]}: {', '.join(held)}", flush=True)
