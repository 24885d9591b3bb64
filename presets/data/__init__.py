"""Data sets: what comes with packages, what is downloaded, tables of a person's own.

Not here: models and recipes (`presets`). Begin with `dataset`, then `builtin`;
for tables with `csv_dataset`.
"""
