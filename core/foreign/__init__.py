"""Training loops that are not ours: watched through torch's hooks, and steered at them.

Not here: our own loop and what drives it (`session`). Begin with `loop`; `watched` is
`fivestep.watch`, `script` is what `fivestep run` watches.
"""
