"""The Textual application: it opens screens, owns the run's thread and leaves in order.

Not here: what a screen draws (`watch`, `choose`). Begin with `app`.
"""
