"""What is typed: the commands of `fivestep`, their options and their errors.

Not here: how a run is shown (`app`, `headless`). Begin with `app`, which lists the commands.
"""
