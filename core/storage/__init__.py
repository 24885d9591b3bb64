"""What is on the disk: a run's directory, its log, its checkpoints.

Not here: when something is kept (`session` decides). Begin with `run_directory`, then
`persistence`.
"""
