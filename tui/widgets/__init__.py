"""The panels of the screens, one a file; each draws what it is given.

Not here: keys and commands (`watch`), pure drawing (`render`). Begin with `panel`, their base.
"""
