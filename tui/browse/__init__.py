"""The screens about runs that are kept: all of them in a list, and some next to each other.

Not here: watching one (`watch`). Begin with `run_list`.
"""
