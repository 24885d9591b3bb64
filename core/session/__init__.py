"""One run: it drives the loop, obeys commands, keeps records and hands out Snapshots.

Not here: the five steps themselves (`training`). Begin with `engine`, which does at each gate what
`controller` says was asked for. Loops that are not ours are in `foreign`.
"""
