"""One run: it drives the loop, obeys commands, keeps records and hands out Snapshots.

Not here: the five steps themselves (`training`). Begin with `engine`, which does at each gate what
`controller` says was asked for; or with `external_loop`, for a loop of a person's own.
"""
