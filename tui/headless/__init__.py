"""A run without a screen: the same facts as lines for people or JSON for programs.

Not here: how a run is built (`setup`). Begin with `runner`.
"""
