"""A run that other processes of the same user can look at and steer, over a private socket.

Not here: what a run does with a command (`session`), and any screen. Begin with `wire`, which says
what is sent; then `server`, which answers for a run, and `client`, which asks.
"""
