"""How signals are weighed: linear, curves, trees; gate, segments, guard rails, diversity;
stored versions.
"""
