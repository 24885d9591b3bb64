"""What training frameworks do with a loss and an update, hooked in classes that they publish."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from torch import Tensor

from .hooks import LoopHooks, Watching
from .loss import LossReader

Update = Callable[[Any, Callable[[], Any]], Any]
"""Called with something that has `param_groups`, and what moves its parameters; has to call it."""
HOOKED: Final = (
    ("accelerate", "Accelerator", "backward"),
    ("keras", "Optimizer", "apply"),
    ("lightning.pytorch", "LightningModule", "backward"),
    ("pytorch_lightning", "LightningModule", "backward"),
)
"""Module, class and method."""


class KerasGroup(dict[str, Any]):
    """The parameters of an optimizer of Keras; "lr" is what that has now."""

    def __init__(self, optimizer: Any, parameters: list[Tensor]) -> None:
        super().__init__(params=parameters)
        self._optimizer = ref(optimizer)

    @property
    def is_scheduled(self) -> bool:
        """Whether a schedule of Keras gives the learning rate, so that it can't be set."""
        try:
            self["lr"] = self["lr"]
        except TypeError:
            return True
        return False

    def get(self, name: str, default: Any = None) -> Any:
        if name != "lr":
            return super().get(name, default)
        optimizer = self._optimizer()
        return None if optimizer is None else float(optimizer.learning_rate)

    def __getitem__(self, name: str) -> Any:
        return self.get(name) if name == "lr" else super().__getitem__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Raises TypeError: a schedule gives the learning rate."""
        optimizer = self._optimizer()
        if name == "lr" and optimizer is not None:
            optimizer.learning_rate = value


class KerasOptimizer:
    """An optimizer of Keras with what one of torch's has."""

    def __init__(self, optimizer: Any, parameters: list[Tensor]) -> None:
        self.kind = type(optimizer).__name__
        self.param_groups = [KerasGroup(optimizer, parameters)]
        self.state: dict[Tensor, Any] = {}
        self.defaults: dict[str, Any] = {}


class Frameworks:
    """Hooks those that a script has imported; none is imported here.

    Args:
        reader: is told of losses before they are divided.
        update: is called in the place of an update that is none of torch's optimizers.
    """

    def __init__(self, hooks: LoopHooks, reader: LossReader, update: Update) -> None:
        self._hooks, self._reader, self._update = hooks, reader, update
        self._waiting = set(HOOKED)
        self._watching: dict[str, Watching] = {
            "accelerate": self._accelerate,
            "keras": self._keras,
            "lightning.pytorch": self._lightning,
            "pytorch_lightning": self._lightning,
        }
        self._of_keras: WeakKeyDictionary[Any, KerasOptimizer] = WeakKeyDictionary()

    def look(self) -> None:
        """Hook what was imported since."""
        for one in list(self._waiting):
            module, name, method = one
            kind = vars(sys.modules[module]).get(name) if module in sys.modules else None
            if kind is not None:  # it may be imported at this moment
                self._waiting.remove(one)
                home = next(one for one in kind.__mro__ if method in vars(one))
                self._hooks.around(home, method, self._watching[module])

    def _safely(self, call: Callable[..., Any], *args: Any) -> None:
        try:
            call(*args)
        except Exception as error:
            self._hooks.fail(error)

    def _accelerate(
        self, bare: Callable[..., Any], accelerator: Any, loss: Any, *args: Any, **options: Any
    ) -> Any:
        """It divides by the number of batches that make an update."""
        self._safely(self._reader.computed, loss)
        return bare(accelerator, loss, *args, **options)

    def _lightning(
        self, bare: Callable[..., Any], module: Any, loss: Any, *args: Any, **options: Any
    ) -> Any:
        """The same, before: what it gives is multiplied again."""
        self._safely(self._undivide, module, loss)
        return bare(module, loss, *args, **options)

    def _undivide(self, module: Any, loss: Tensor) -> None:
        batches = module.trainer.accumulate_grad_batches if module.automatic_optimization else 1
        if batches > 1:
            self._reader.scaled(loss, loss.detach() * batches)

    def _keras(
        self,
        bare: Callable[..., Any],
        optimizer: Any,
        gradients: Any,
        variables: Iterable[Any] | None = None,
    ) -> Any:
        """An optimizer of Keras moves the parameters."""
        variables = None if variables is None else list(variables)
        known = self._of_keras.get(optimizer)
        if known is None:
            if not variables:
                return bare(optimizer, gradients, variables)
            known = KerasOptimizer(optimizer, [one.value for one in variables])
            self._of_keras[optimizer] = known
        return self._update(known, lambda: bare(optimizer, gradients, variables))
