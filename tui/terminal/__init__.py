"""The terminal itself: its state, its output, signals, start-up time.

Not here: what is written to it. Begin with `terminal`.
"""
