"""The choosing screen: which preset, on which data, with which settings.

Not here: what a recipe may say (`presets`). Begin with `screen`.
"""
