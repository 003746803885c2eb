"""The rows of a fleet: one family per file, over pools, types of racks and periods.

Units are racks, kW, USD, GB and seconds.
"""
