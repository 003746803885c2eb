"""The mathematics of a rack, one constraint family per file.

Nothing in this package reads a file, calls a solver or knows where its numbers come from.
"""
