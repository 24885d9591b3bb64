"""What autograd has recorded: which tensors a backward pass would come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor


def leaves_behind(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """The leaves that gradients of these tensors reach, the nearest first; what was computed inside
    of a checkpoint isn't seen. After a backward pass they are still there.
    """
    waiting: deque[Any] = deque(tensor.grad_fn for tensor in tensors)
    seen: set[Any] = set()
    while waiting:
        node = waiting.popleft()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            yield leaf
        waiting.extend(before for before, _ in node.next_functions)
