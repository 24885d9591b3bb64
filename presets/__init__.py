"""Trainings by name: recipe files, and the data sets, models and options that they may name.

Not here: how training happens (`core`). Begin with `recipe`, then `catalogue` and `build`;
for Python files with `user_file`.
"""
