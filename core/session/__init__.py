"""One run: it drives the loop, obeys commands, keeps records and hands out Snapshots.

Not here: the five steps themselves (`training`). Begin with `session`, then `engine`.
"""
