"""The mathematics of a rack, one constraint family per file.

Nothing in this package reads a file, calls a solver or knows where its numbers come from.
It declares with `pyomo.core`: `pyomo.environ` loads Pyomo's solvers too, which takes as long again.
"""
