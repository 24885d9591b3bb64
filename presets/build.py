"""From a checked `Recipe` to a `Training`: data, model, criterion, optimizer, schedule."""

from __future__ import annotations

import copy
import fnmatch
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from ..core.inspection.eval_mode import eval_without_trace
from ..core.protocol.steps import Task
from ..core.training.data import TensorBatches
from ..core.training.device import auto_threads, choose_device
from ..core.training.fused import OPTIMIZERS
from ..core.training.rank_batches import Split, SplitTensors
from ..core.training.training import About, Amp, Training, autocast
from . import models
from .components import STANDARD
from .data import builtin
from .data.csv_table import TableError
from .data.dataset import Dataset
from .errors import printable, shown
from .recipe import Recipe, RecipeError

Schedule = tuple[LRScheduler | None, Literal["update", "epoch"]]

MOST_PARAMETERS = 100_000_000
"""More would not fit beside gradients and optimizer state in the memory of a small machine."""

VALIDATION_BATCH = 4
"""To validate or to test keeps no graph, so these batches may be this many times larger."""


def build(
    recipe: Recipe,
    doing: Callable[[str], None] = lambda what: None,
    split: Split | None = None,
) -> Training:
    """Everything that the recipe names, ready to run.

    Args:
        recipe: what to make.
        doing: is told what is being done, in a few words.
        split: how several processes share the batches, where they do.

    Seeds torch's global generator with the recipe's seed, from which the weights are drawn; the
    order of the batches is drawn from a generator of its own with the same seed.

    Raises:
        RecipeError: the parts don't fit each other, or the device is missing; one line.
    """
    amp: Amp | None = None if recipe.amp == "off" else recipe.amp
    try:
        device = choose_device(recipe.device)
        autocast(amp, device)
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"{recipe.name}: {error}") from error
    doing(f"reading {printable(str(recipe.dataset.options.get('path', recipe.dataset.name)))}")
    data = load_data(recipe)
    doing(f"making the model {recipe.model.name}")
    model = make_model(recipe, data.features.shape[1:], data.outputs)
    criterion = make_criterion(recipe)
    doing("trying the model on a few samples")
    _try_out(recipe, data, model, criterion)
    _freeze(recipe, model)
    model.to(device)
    doing(f"making the optimizer {recipe.optimizer.name}")
    optimizer = make_optimizer(recipe, model)
    batches = TensorBatches(
        data.features.to(device),
        data.labels.to(device),
        recipe.batch_size,
        torch.Generator().manual_seed(recipe.seed),
    )
    if split is not None:
        batches = SplitTensors(batches, split)

    def held_out(features: Tensor, labels: Tensor) -> TensorBatches:
        size = recipe.batch_size * VALIDATION_BATCH
        return TensorBatches(features.to(device), labels.to(device), size)

    schedule, per = make_schedule(recipe, optimizer, len(batches))
    first = data.features[: recipe.batch_size]  # (B, ...)
    training = Training(
        model=model,
        criterion=criterion,
        optimizer=optimizer,
        batches=batches,
        validation=held_out(data.val_features, data.val_labels),
        test=held_out(data.test_features, data.test_labels),
        epochs=recipe.epochs,
        task=Task(recipe.task),
        scheduler=schedule,
        scheduler_per=per,
        scheduler_metric=str(recipe.scheduler.options.get("metric", "val_loss")),
        accumulate=recipe.accumulate,
        clip_norm=None if recipe.clip_norm == "off" else recipe.clip_norm,
        device=device,
        threads=auto_threads(model, first) if recipe.threads == "auto" else recipe.threads,
        seed=recipe.seed,
        amp=amp,
        compile=recipe.compile,
        early_stop=None if recipe.early_stop == "off" else recipe.early_stop,
        min_delta=recipe.min_delta,
        about=About(
            recipe.name,
            data.about,
            recipe.model.name,
            data.label_names,
            data.feature_names,
            None if data.table is None else data.table.facts(),
            scheduler=recipe.scheduler.name,
        ),
    )
    if amp is not None:
        _try_amp(recipe, training, batches)
    return training


def load_data(recipe: Recipe) -> Dataset:
    """The recipe's data set, made by the function of the same name in `data.builtin`."""
    make = getattr(builtin, recipe.dataset.name.replace("-", "_"))
    with _refusing(recipe, "dataset"):
        data: Dataset = make(**recipe.dataset.options)
    return data


def make_model(recipe: Recipe, inputs: torch.Size, outputs: int) -> nn.Module:
    """The recipe's model, on the CPU, its weights drawn from the recipe's seed.

    Args:
        recipe: names the model and its options.
        inputs: the shape of one sample's features.
        outputs: see `Dataset.outputs`.

    Raises:
        RecipeError: its options contradict each other, or it is too large.
    """
    make = getattr(models, recipe.model.name)  # one of the catalogue's names, checked before
    with _refusing(recipe, "model"):
        with torch.device("meta"):  # counts without taking memory, or drawing numbers
            size = sum(
                p.numel() for p in make(inputs, outputs, **recipe.model.options).parameters()
            )
        if size > MOST_PARAMETERS:
            raise ValueError(f"expected at most {MOST_PARAMETERS:,} parameters, not {size:,}")
        torch.manual_seed(recipe.seed)
        model: nn.Module = make(inputs, outputs, **recipe.model.options)
    return model


@contextmanager
def _refusing(recipe: Recipe, section: str) -> Generator[None]:
    """Turn the ValueError of what can't be made of a section into the recipe's one line."""
    try:
        yield
    except ValueError as error:
        option = f".{error.option}" if isinstance(error, TableError) else ""
        raise RecipeError(f"{recipe.name}: {section}{option}: {error}") from error


def _freeze(recipe: Recipe, model: nn.Module) -> None:
    """Turn off the gradients of the parameters that the recipe's patterns name.

    The running means of a frozen batch norm still change.

    Raises:
        RecipeError: a pattern names no parameter, or nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in recipe.freeze:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise RecipeError(
                f"{recipe.name}: freeze: {shown(pattern)} names no parameter of "
                f"{recipe.model.name}; there are {some}"
            )
    for name, parameter in model.named_parameters():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.freeze):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError(f"{recipe.name}: freeze: nothing of {recipe.model.name} is left to learn")


def make_criterion(recipe: Recipe) -> nn.Module:
    """The recipe's loss, the mean over a batch."""
    criterion: nn.Module = getattr(nn, recipe.criterion.name)(**recipe.criterion.options)
    return criterion


def optimizer_options(recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """The keyword arguments for the recipe's optimizer on this device."""
    options = dict(recipe.optimizer.options)
    if options.get("fused") and not _fused_works(recipe.optimizer.name, device):
        options["fused"] = False
    return options


def make_optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    """The recipe's optimizer for this model.

    Raises:
        RecipeError: its options contradict each other.
    """
    device = next(model.parameters()).device
    make = optimizer_class(recipe.optimizer.name)
    learned = [p for p in model.parameters() if p.requires_grad]
    with _refusing(recipe, "optimizer"):
        return make(learned, **optimizer_options(recipe, device))


def optimizer_class(name: str) -> Callable[..., Optimizer]:
    """The optimizer class of this name: core's lean one where torch has a fused kernel."""
    return OPTIMIZERS.get(name) or getattr(torch.optim, name)


def _fused_works(name: str, device: torch.device) -> bool:
    """Whether torch has this optimizer's fused kernel for this device: tried on one number."""
    weight = nn.Parameter(torch.zeros(1, device=device))
    weight.grad = torch.zeros_like(weight)
    try:
        optimizer_class(name)([weight], fused=True).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def make_schedule(recipe: Recipe, optimizer: Optimizer, batches: int) -> Schedule:
    """The recipe's schedule and whether it counts updates or epochs, of `batches` batches each."""
    options: Any = recipe.scheduler.options
    lr = float(optimizer.param_groups[0]["lr"])
    updates = recipe.epochs * -(-batches // recipe.accumulate)
    match recipe.scheduler.name:
        case "cosine":
            return CosineAnnealingLR(optimizer, updates, eta_min=lr * options["floor"]), "update"
        case "plateau":
            how = {key: value for key, value in options.items() if key != "metric"}
            rises = Task(recipe.task).rises(options["metric"])
            return ReduceLROnPlateau(optimizer, "max" if rises else "min", **how), "epoch"
        case "step":
            return StepLR(optimizer, options["step_size"], options["gamma"]), "epoch"
        case "onecycle":
            one = OneCycleLR(optimizer, lr, total_steps=updates, cycle_momentum=False, **options)
            return one, "update"
        case "warmup-cosine":
            return _warmup_cosine(optimizer, updates, lr, **options), "update"
    return None, "epoch"


def _warmup_cosine(
    optimizer: Optimizer, updates: int, lr: float, *, warmup: float, floor: float
) -> LRScheduler:
    """A schedule that rises linearly to lr, then falls along a cosine to lr * `floor`."""
    rising = max(round(updates * warmup), 1)
    up = LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    down = CosineAnnealingLR(optimizer, max(updates - rising, 1), eta_min=lr * floor)
    return SequentialLR(optimizer, [up, down], milestones=[rising])


def _try_out(recipe: Recipe, data: Dataset, model: nn.Module, criterion: nn.Module) -> None:
    """Run a few samples through model and criterion; weights, buffers and RNG stay as they were.

    Raises:
        RecipeError: the criterion does not take what the model gives and the data wants, or
            the last batch of an epoch is too small for the model.
    """
    few = 3 if data.outputs == 2 else 2  # or labels (2,) would stretch over outputs (2, 2)
    labels = data.labels[:few]  # (few, ...)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # torch only warns of labels that it stretches over the outputs; that is never meant
        warnings.filterwarnings("error", "Using a target size")
        outputs = model.eval()(data.features[:few])  # (few, ...)
        try:
            criterion(outputs, labels)
        except (RuntimeError, ValueError, IndexError, TypeError, UserWarning) as error:
            raise RecipeError(
                f"{recipe.name}: criterion.name: {recipe.criterion.name} can't take the outputs "
                f"{_shape(outputs)} of {recipe.model.name} with the labels {_shape(labels)} of "
                f"{recipe.dataset.name}; {STANDARD[recipe.task]} can"
            ) from error
        if len(data.features) % recipe.batch_size == 1 or recipe.batch_size == 1:
            _try_single(recipe, data, model)
    model.train()


def _try_single(recipe: Recipe, data: Dataset, model: nn.Module) -> None:
    """Run one sample through a copy of the model in train mode, which batch norm may refuse."""
    try:
        copy.deepcopy(model).train()(data.features[:1])
    except ValueError as error:
        raise RecipeError(
            f"{recipe.name}: batch_size: {recipe.batch_size} leaves a batch of one of the "
            f"{len(data.features):,} samples, and batch norm needs two; take another size"
        ) from error


def _try_amp(recipe: Recipe, training: Training, batches: TensorBatches) -> None:
    """Run a few samples in mixed precision; nothing of the training changes.

    Raises:
        RecipeError: the device has no such computation for the model or the criterion.
    """
    try:
        with eval_without_trace(training) as model, training.autocast():
            training.criterion(model(batches.features[:3]), batches.labels[:3])
    except RuntimeError as error:
        first = str(error).strip().split("\n", 1)[0]
        raise RecipeError(
            f"{recipe.name}: amp: {recipe.model.name} with {recipe.criterion.name} can't be "
            f"computed in {recipe.amp} on {training.device}: {first}"
        ) from error


def _shape(batch: Tensor) -> str:
    sizes = ", ".join(str(size) for size in batch.shape[1:])
    return f"({f'B, {sizes}' if sizes else 'B,'}) {str(batch.dtype).removeprefix('torch.')}"
