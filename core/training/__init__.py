"""How training happens: the model, its data and the five steps of every batch.

Not here: watching, steering, files. Begin with `loop`, which is the guide's loop; `part_checks` and
`schedules` refuse what can't be trained.
"""
