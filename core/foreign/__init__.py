"""Training loops that are not ours: watched from the hooks that torch offers, and steered at them.

Begin with `loop.py`; `watched.py` is `fivestep.watch`, `script.py` is `fivestep run`.
"""
