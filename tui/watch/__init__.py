"""The watching screen: draws the newest Snapshot, turns keys into commands.

Not here: single panels (`widgets`) and pure drawing (`render`). Begin with `watch`.
"""
