"""What is wrong with a run, said from its numbers by pure rules; no torch.

Not here: measuring (`inspection`). Begin with `verdicts`, which lists the rules.
"""
