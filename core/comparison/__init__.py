"""Several runs side by side: their numbers, whoever wrote them, and where they part. No torch.

Not here: what a run keeps and how (`storage`). Begin with `numbers`, then `comparison`.
"""
