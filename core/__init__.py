"""How training happens: the loop, the session that drives it, what it reports.

Nothing here knows a preset or a terminal; torch and numpy are all it needs.
"""
