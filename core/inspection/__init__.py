"""Looking into a model while it trains: layers, pictures of what it knows, step by step.

Not here: what is wrong with it (`verdicts`). Begin with `inspector`.
"""
