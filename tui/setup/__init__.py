"""From options to a session: what to train, where it is kept, what it resumes from.

Not here: what is typed (`cli`) and what is shown. Begin with `plan`, then `builder`.
"""
