"""What a front end may see of a run and ask of it: plain values, no torch.

Not here: anything that computes, keeps or draws. Begin with `snapshot`, then `commands`.
"""
