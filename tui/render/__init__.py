"""From values to styled text: pure functions, no Textual, no run.

Not here: anything with a size or a life of its own (`widgets`). Begin with `spans`.
"""
