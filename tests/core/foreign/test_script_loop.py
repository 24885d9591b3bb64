"""Scripts that have never heard of us: the same bits, and everything found by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from listeners import Keeper  # tests is on the path

from fivestep.core.foreign.script import ScriptLoop
from fivestep.core.protocol.commands import (
    Advance,
    Command,
    Pause,
    Resume,
    ScaleLR,
    SetBreakpoints,
    SetFault,
    Show,
    Stop,
)
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.snapshot import Certainty, Outcome, Snapshot
from fivestep.core.protocol.steps import FIVE, State, Step

BEGINNING = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(3)
x = torch.randn(24, 4)
y = (x[:, 0] > 0).long()
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
losses = []
"""


@dataclass
class Run:
    """A script that has run, and what was seen of it."""

    loop: ScriptLoop
    left: dict[str, Any]
    """Its variables."""
    outcome: Outcome
    told: Keeper
    complaints: list[str] = field(default_factory=list)

    @property
    def last(self) -> Snapshot:
        assert self.loop.mailbox.newest is not None
        return self.loop.mailbox.newest

    @property
    def losses(self) -> list[float]:
        return [loss for _, _, _, loss, *_ in self.told.batches]

    def sure(self, step: Step) -> Certainty:
        return self.loop.info.phases[step]


def bare(script: str, file: str = "script.py", **given: Any) -> dict[str, Any]:
    left: dict[str, Any] = {"__name__": "__main__", **given}
    exec(compile(BEGINNING + textwrap.dedent(script), file, "exec"), left)
    return left


def run(script: str) -> Run:
    told, complaints, left = Keeper(), [], {}
    loop = ScriptLoop(told, complaints.append)
    loop.install()
    error: BaseException | None = None
    try:
        left = bare(script)
    except BaseException as raised:
        error = raised
    return Run(loop, left, loop.finish(error), told, complaints)


def same_bits(script: str) -> Run:
    """Run a script bare, and under watch: its losses, parameters and generators are the same."""
    expected = bare(script)
    random = torch.get_rng_state()
    seen = run(script)
    assert seen.outcome.state is State.FINISHED, seen.outcome
    assert seen.complaints == []
    assert seen.left["losses"] == expected["losses"]
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in expected.items():
        if isinstance(value, torch.nn.Module):
            ours = seen.left[name].state_dict()
            assert all(map(torch.equal, ours.values(), value.state_dict().values())), name
            assert not seen.left[name]._forward_hooks
    return seen


def test_a_tutorial_is_watched_without_a_change() -> None:
    seen = same_bits(
        """
        for epoch in range(3):
            model.train()
            for features, labels in loader:
                loss = criterion(model(features), labels)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
            model.eval()
            with torch.no_grad():
                sums = [
                    criterion(model(features), labels).item() * len(features)
                    for features, labels in DataLoader(loader.dataset, batch_size=10)
                ]
        """
    )
    assert seen.last.val_loss == pytest.approx(sum(seen.left["sums"]) / 24)
    assert seen.told.epochs[-1].val_loss == seen.last.val_loss
    assert seen.loop.info.val_loss is Certainty.INFERRED
    assert seen.losses == seen.left["losses"]
    assert [epoch.batches for epoch in seen.told.epochs] == [3, 3, 3]
    info = seen.loop.info
    assert (info.model, info.optimizer, info.parameters) == ("Sequential", "SGD", 58)
    assert (info.data, info.batches_per_epoch, info.batch_size) == ("24 samples", 3, 8)
    assert info.foreign
    assert info.loss is Certainty.EXACT
    exact = (Step.DATA, Step.FORWARD, Step.BACKWARD, Step.UPDATE, Step.ZERO_GRAD, Step.VALIDATE)
    assert {seen.sure(step) for step in exact} == {Certainty.EXACT}


def test_both_networks_of_a_gan_have_names_losses_and_steps_of_their_own() -> None:
    seen = same_bits(
        """
        class Generator(nn.Linear):
            pass

        class Critic(nn.Linear):
            pass

        makes, judges = Generator(3, 4), Critic(4, 1)
        of_makes = torch.optim.Adam(makes.parameters(), lr=0.01)
        of_judges = torch.optim.SGD(judges.parameters(), lr=0.1)
        for features, _ in loader:
            judges.zero_grad()
            real = F.softplus(-judges(features)).mean()
            real.backward()
            made = makes(torch.randn(len(features), 3))
            fake = F.softplus(judges(made.detach())).mean()
            fake.backward()
            of_judges.step()
            makes.zero_grad()
            fooled = F.softplus(-judges(made)).mean()
            fooled.backward()
            of_makes.step()
            losses.append((real + fake).item())
        """
    )
    critic, generator, unused = seen.last.learners
    assert (critic.name, critic.optimizer, critic.updates) == ("Critic", "SGD", 3)
    assert (generator.name, generator.optimizer, generator.updates) == ("Generator", "Adam", 3)
    assert unused.updates == 0
    assert seen.losses == pytest.approx(seen.left["losses"])
    assert generator.loss == seen.left["fooled"].item()
    assert {"loss Critic", "loss Generator"} <= dict(seen.last.curves).keys()


VALIDATED = """
    class Focal(nn.Module):
        def forward(self, outputs, labels):
            each = F.cross_entropy(outputs, labels, reduction="none")
            return ((1 - torch.exp(-each)) ** 2 * each).mean()

    focal = Focal()
    for epoch in range(2):
        model.train()
        for features, labels in loader:
            loss = LOSS
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        validation = []
        with torch.no_grad():
            for features, labels in DataLoader(loader.dataset, batch_size=12):
                validation.append((LOSS).item())
"""


@pytest.mark.parametrize(
    ("loss", "known"),
    [
        ("F.cross_entropy(model(features), labels)", True),  # looked up before the model is called
        ("focal(model(features), labels)", True),
        ("F.cross_entropy(model(features), labels) + model[0].weight.pow(2).sum()", False),
    ],
)
def test_the_loss_of_a_validation_is_the_one_that_is_trained_or_unknown(
    loss: str, known: bool
) -> None:
    seen = same_bits(VALIDATED.replace("LOSS", loss))
    mean = sum(seen.left["validation"]) / 2
    assert seen.last.val_loss == (pytest.approx(mean) if known else None)


@pytest.mark.slow
def test_what_is_compiled_behind_a_validation_meets_no_hook_of_ours() -> None:
    seen = same_bits(
        """
        for epoch in range(2):
            for features, labels in loader:
                @torch.compile(backend="aot_eager")
                def compiled(features, labels):
                    return criterion(model(features), labels)

                loss = compiled(features, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            model.eval()
            with torch.no_grad():
                criterion(model(x), y)
            model.train()
        """
    )
    assert seen.losses == seen.left["losses"]


KINDS = {
    "in a thread of its own": """
        import threading
        beside = torch.optim.SGD(nn.Linear(4, 2).parameters(), lr=0.1)

        def work():
            model = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for features, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(features), labels)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    "groups of parameters that are gone in the end": """
        def main():
            groups = [{"params": layer.parameters()} for layer in (model[0], model[3])]
            optimizer = torch.optim.SGD(groups, lr=0.1)
            for features, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(features), labels)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())

        del optimizer
        main()
        """,
    "functional loss, model.zero_grad": """
        for features, labels in loader:
            loss = F.cross_entropy(model(features), labels)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        """,
    "accumulation, clipping, a schedule": """
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=2)
        for i, (features, labels) in enumerate(loader):
            loss = criterion(model(features), labels)
            (loss / 3).backward()
            if i % 3 == 2:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(loss.item())
        """,
    "GradScaler and autocast": """
        scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
        for features, labels in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(features), labels)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        """,
    "LBFGS": """
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)
        for features, labels in loader:
            def closure():
                optimizer.zero_grad()
                loss = criterion(model(features), labels)
                loss.backward()
                return loss
            losses.append(optimizer.step(closure).item())
        """,
    "an update by hand": """
        del optimizer
        for features, labels in loader:
            loss = criterion(model(features), labels)
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
                    p.grad = None
            losses.append(loss.item())
        """,
    "the loss among the outputs": """
        class Wrapped(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = model

            def forward(self, features, labels):
                logits = self.inner(features)
                return {"loss": F.cross_entropy(logits, labels), "logits": logits}

        wrapped = Wrapped()
        for features, labels in loader:
            loss = wrapped(features, labels=labels)["loss"]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        """,
    "compiled": """
        whole = torch.compile(model, backend="eager", fullgraph=True)
        for features, labels in loader:
            optimizer.zero_grad()
            loss = criterion(whole(features), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        """,
    "a stream, workers": """
        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                return iter(list(zip(x, y)))

        for features, labels in DataLoader(Stream(), batch_size=8, num_workers=1):
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        """,
    "two loaders, a validation within": """
        other = DataLoader(TensorDataset(x, y), batch_size=8)
        for (features, labels), (noise, _) in zip(loader, other):
            optimizer.zero_grad()
            loss = criterion(model(features + 0.1 * noise), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            model.eval()
            with torch.no_grad():
                for features, labels in other:
                    F.cross_entropy(model(features), labels)
            model.train()
        """,
    "no loader": """
        import os
        for i in range(3):
            features, labels = x[i::3], y[i::3]
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            child = os.fork()
            if not child:
                optimizer.step()
                os._exit(0)
            os.waitpid(child, 0)
        """,
    "parts called one by one": """
        class Coder(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 2)

            def encode(self, x):
                packed = nn.utils.rnn.pack_padded_sequence(x[:, None], [1] * len(x), True)
                return self.a(packed)[1][0]

        coder = Coder()
        optimizer = torch.optim.Adam(coder.parameters())
        for features, labels in loader:
            optimizer.zero_grad()
            loss = criterion(coder.b(coder.encode(features)), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        """,
    "its own patch of backward": """
        import functools
        bare = torch.Tensor.backward
        def patched(self, *args, **options):
            return bare(self, *args, **options)
        torch.Tensor.backward = patched
        for features, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        torch.Tensor.backward = bare
        """,
}


@pytest.mark.parametrize("script", KINDS.values(), ids=KINDS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_script_of_any_kind_keeps_its_bits_and_shows_its_losses(script: str) -> None:
    seen = same_bits(script)
    assert seen.losses == pytest.approx(seen.left["losses"])
    assert seen.loop.progress.batches_done == len(seen.losses) == 3
    assert seen.loop.progress.epoch == 1
    for step in (Step.FORWARD, Step.BACKWARD):
        assert seen.sure(step) is Certainty.EXACT


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_a_class_is_scripted_with_the_names_around_it() -> None:
    loop = ScriptLoop(complain=pytest.fail)
    loop.install()
    with contextlib.ExitStack() as last:
        last.callback(loop.finish)

        @torch.jit.script
        class Scale:
            def __init__(self, by: float):
                self.by = by

        @torch.jit.script
        class Scales:
            def __init__(self, by: float):
                self.inner = Scale(by)

        assert Scales(2.0).inner.by == 2.0


def test_a_loader_that_is_not_gone_through_to_its_end_is_counted_all_the_same() -> None:
    """As ignite does it, which knows how many batches an epoch has, and validates with a loop of
    its own.
    """
    seen = run(
        """
        for epoch in range(3):
            batches = iter(loader)
            for _ in range(3):
                features, labels = next(batches)
                optimizer.zero_grad()
                criterion(model(features), labels).backward()
                optimizer.step()
            model.eval()
            for epoch in range(1):
                with torch.no_grad():
                    for features, labels in loader:
                        criterion(model(features), labels)
            model.train()
        """
    )
    assert (seen.loop.progress.batches_done, seen.loop.progress.epoch) == (9, 3)
    assert [epoch.val_loss is None for epoch in seen.told.epochs] == [False] * 3


TRAINS = """
    import argparse, itertools, sys

    def bar(steps, **words):
        return steps

    def train_one(batches):
        for features, labels in batches:
            optimizer.zero_grad()
            criterion(model(features), labels).backward()
            optimizer.step()
"""
EPOCHS = {
    "a progress bar over a range of arguments": """
        def main(args, first=1):
            large = torch.ones(1000)
            for fold in range(7):
                for epoch in bar(range(first, args.epochs + 1), leave=False):
                    train_one(loader)
                return

        main(argparse.Namespace(epochs=4))
        """,
    "what was typed": """
        sys.argv[1:] = ["4"]
        for epoch in range(int(sys.argv[1])):
            train_one(loader)
        """,
    "a dict of settings": """
        settings = {"train": {"epochs": 4.0}}
        for n_epoch in range(int(settings["train"]["epochs"])):
            train_one(loader)
        """,
    "no loader": """
        def main(epochs):
            for epoch in range(epochs):
                for i in range(0, 24, 8):
                    train_one([(x[i : i + 8], y[i : i + 8])])

        main(4)
        """,
    "no loader, two optimizers": """
        other = nn.Linear(4, 2)
        second = torch.optim.SGD(other.parameters(), lr=0.1)
        for epoch in range(4):
            for features, labels in [(x, y)] * 3:
                for one, moves in (model, optimizer), (other, second):
                    moves.zero_grad()
                    criterion(one(features), labels).backward()
                    moves.step()
        """,
    "no loader, no optimizer": """
        del optimizer
        for epoch in range(4):
            for features, labels in [(x, y)] * 3:
                criterion(model(features), labels).backward()
                for p in model.parameters():
                    p.data -= 0.1 * p.grad
                model.zero_grad()
        """,
    "a short loader that begins anew within each": """
        few = DataLoader(TensorDataset(x[:8], y[:8]), batch_size=8)
        for epoch in range(4):
            for batch, _ in zip(itertools.cycle(few), loader):
                train_one([batch])
        """,
    "two loaders, one after the other": """
        few = DataLoader(TensorDataset(x[:8], y[:8]), batch_size=8)
        more = DataLoader(TensorDataset(x[8:], y[8:]), batch_size=8)
        for epoch in range(4):
            train_one(few)
            train_one(more)
        """,
}


@pytest.mark.parametrize("script", EPOCHS.values(), ids=EPOCHS)
def test_epochs_that_a_script_means_to_train_are_read_from_its_loops(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    script = textwrap.dedent(TRAINS) + textwrap.dedent(script)
    file, told = tmp_path / "train.py", Keeper()
    file.write_text(BEGINNING + script, encoding="utf-8-sig")  # with a mark before it
    loop = ScriptLoop(told, complain=pytest.fail)
    loop.install()
    bare(script, str(file))
    loop.finish()
    assert (loop.info.epochs, loop.info.length) == (4, Certainty.INFERRED)
    assert [epoch.batches for epoch in told.epochs] == [3] * 4
    assert (loop.progress.epoch, loop.mailbox.newest.epoch) == (4, 4)


FOLDS = """
def train(fold):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept.append(optimizer)
    for epoch in range(2):
        for features, labels in loader:
            optimizer.zero_grad()
            criterion(model(features), labels).backward()
            optimizer.step()

del optimizer
kept = []
for fold in range(3):
    train(fold)
"""


def test_of_several_trainings_each_has_its_epochs_and_losses(tmp_path: Path) -> None:
    file, told = tmp_path / "train.py", Keeper()
    file.write_text(BEGINNING + FOLDS, encoding="utf-8")
    loop = ScriptLoop(told, complain=pytest.fail)
    loop.install()
    bare(FOLDS, str(file))
    loop.finish()
    assert [epoch.batches for epoch in told.epochs] == [3] * 6
    assert len(told.batches) == 18
    assert (loop.latest().learners, loop.info.optimizer) == ((), "SGD")
    assert not loop.info.should_fall


def test_a_loop_without_end_has_no_number_of_epochs(tmp_path: Path) -> None:
    script = f"for epoch in range({2**64}):\n    for _ in loader:\n        pass\n    break"
    file = tmp_path / "train.py"
    file.write_text(BEGINNING + script, encoding="utf-8")
    loop = ScriptLoop(complain=pytest.fail)
    loop.install()
    bare(script, str(file))
    loop.finish()
    assert (loop.info.epochs, loop.info.length) == (0, Certainty.UNKNOWN)


LOOP = """
def batches():
    for _ in range(1000):
        yield from loader
for features, labels in batches():
    optimizer.zero_grad()
    loss = criterion(model(features), labels)
    loss.backward()
    optimizer.step()
"""


class Person:
    """Somebody who steers a script that runs in another thread."""

    def __init__(self, script: str) -> None:
        self.loop = ScriptLoop(complain=pytest.fail)
        self.left: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, args=(script,))
        self.loop.steering.is_attended = lambda: True
        self.loop.mailbox.send(Pause())

    def _run(self, script: str) -> None:
        self.loop.install()
        error: BaseException | None = None
        try:
            self.left = bare(script)
        except BaseException as raised:
            error = raised
        self.loop.finish(error)

    def __enter__(self) -> Person:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.send(Stop())
        self._thread.join(60)
        assert not self._thread.is_alive()

    def send(self, command: Command) -> None:
        self.loop.mailbox.send(command)

    def held(self) -> Snapshot:
        """A picture of the loop, once it is held."""
        while True:
            picture = self.loop.mailbox.fresh(60)
            if picture.state is State.PAUSED or picture.outcome is not None:
                return picture

    def take(self, command: Command) -> Snapshot:
        self.send(command)
        return self.held()


def test_a_script_is_held_stepped_steered_and_stopped() -> None:
    with Person(LOOP) as person:
        first = person.held()
        assert (first.step, first.batches_done) == (Step.DATA, 0)
        steps = [person.take(Advance("phase")).step for _ in range(6)]
        assert steps == [*FIVE, Step.DATA]
        assert person.take(ScaleLR(2.0)).lr == 0.2
        assert person.take(Advance("batch")).batches_done == 2
        person.take(Advance("phase"))
        person.send(Show(layers=True, batch=True))
        person.take(Advance("phase"))
        person.take(Advance("phase"))
        person.take(Advance("phase"))
        behind = person.take(Advance("phase"))
        assert (behind.step, len(behind.inside.layers)) == (Step.UPDATE, 3)
        filled = {difference.grads for difference in behind.inside.differences}
        assert "filled" in filled
        assert behind.batch_loss == behind.inside.batch.loss is not None
        assert behind.grad_norm is not None
        assert behind.grad_norm_batch == behind.batches_done + 1
        moved = person.take(Advance("phase")).inside.differences
        assert {one.weights for one in moved if one.after.parameters} == {"moved"}
        told = person.take(SetFault(Fault.NO_ZERO_GRAD, True))
        assert "can't be broken on purpose" in told.changes[-1].text
        broken = person.take(SetBreakpoints(("batches_done >= 7",)))
        person.send(Resume())
        assert person.held().batches_done == 7
        assert broken.breakpoints == ("batches_done >= 7",)
    assert person.loop.outcome.state is State.STOPPED
    assert person.left == {}
    assert person.loop.mailbox.newest.lr == 0.2


def test_a_criterion_that_several_losses_share_holds_once_for_each() -> None:
    script = """
for features, labels in loader:
    optimizer.zero_grad()
    criterion(model(features), labels).backward()
    criterion(model(features), 1 - labels).backward()
    optimizer.step()
"""
    with Person(script) as person:
        person.held()
        steps = [person.take(Advance("phase")).step for _ in range(18)]
    twice = [Step.FORWARD, Step.LOSS, Step.BACKWARD] * 2
    assert steps == [Step.ZERO_GRAD, *twice, Step.UPDATE, Step.DATA] * 2


def test_a_second_stop_is_at_once_whatever_is_asked_behind_it() -> None:
    loop = ScriptLoop()
    for command in (Stop(), Stop(), Show()):
        loop.mailbox.send(command)
    with pytest.raises(KeyboardInterrupt):
        loop.steering.attend(Step.FORWARD, lambda *_: pytest.fail("held"), edge=False)


@pytest.mark.parametrize(
    ("does", "raised", "batches"),
    [
        ("sys.exit(3)", SystemExit, 4),
        ("raise LookupError('enough')", LookupError, 4),
        ("caught.append(1)", KeyboardInterrupt, 5),  # comes back: the second stop does not ask it
    ],
)
def test_a_stop_goes_through_the_scripts_own_handler_of_ctrl_c(
    does: str, raised: type[BaseException], batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, loop = signal.getsignal(signal.SIGINT), ScriptLoop(complain=pytest.fail)
    monkeypatch.setattr(loop.steering, "is_attended", lambda: True)
    script = f"""
import signal, sys
caught = []
def own(number, frame):
    {does}
signal.signal(signal.SIGINT, own)
for epoch in range(3):
    for features, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(features), labels)
        loss.backward()
        optimizer.step()
        if loop.progress.batches_done >= 3:
            loop.mailbox.send(Stop())
"""
    loop.install()
    try:
        with pytest.raises(raised) as found:
            bare(script, loop=loop, Stop=Stop)
    finally:
        signal.signal(signal.SIGINT, before)
        outcome = loop.finish(found.value)
    assert (outcome.state, outcome.reason) == (State.STOPPED, "stopped by hand")
    assert loop.progress.batches_done == batches
    told = [change.text for change in loop.mailbox.newest.changes]
    assert any("own handler" in text for text in told) == (raised is KeyboardInterrupt)


def test_nan_holds_before_the_step_that_would_spread_it() -> None:
    script = LOOP.replace("model(features)", "model(features * float('nan'))")
    with Person(script) as person:
        person.held()
        person.send(Resume())
        held = person.held()
        assert (held.step, held.batches_done) == (Step.UPDATE, 0)
        assert held.changes[-1].text == "held: the loss is nan, noticed before optimizer.step()"


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ("raise SystemExit", State.FINISHED),
        ("raise SystemExit(3)", State.STOPPED),
        ("raise KeyboardInterrupt", State.STOPPED),
        ("model(torch.ones(1, 9))", State.FAILED),
    ],
)
def test_however_a_script_ends_no_hook_stays(ends: str, state: State) -> None:
    seen = run(f"for _ in loader:\n    {ends}")
    assert seen.outcome.state is state
    assert not torch.nn.modules.module._global_forward_hooks
    for kind in (torch.optim.Optimizer, torch.nn.Module, torch.utils.data.DataLoader):
        for name in ("__init__", "zero_grad", "__iter__"):
            assert not hasattr(getattr(kind, name, None), "watchers")


@pytest.mark.parametrize(
    ("leaves", "reason"),
    [
        ("sys.exit(3)", "left with exit code 3 in epoch 3, batch 2"),
        ("exit('no more data')", "left with exit code 1 (no more data) in epoch 3, batch 2"),
        ("raise SystemExit(3)", "2 epochs trained"),
    ],
)
def test_a_script_that_leaves_in_an_epoch_has_not_trained_it(leaves: str, reason: str) -> None:
    told = Keeper()
    loop = ScriptLoop(told)
    loop.install()
    with pytest.raises(SystemExit):
        bare(
            f"""
            import sys
            for epoch in range(5):
                for i, (features, labels) in enumerate(loader):
                    optimizer.zero_grad()
                    criterion(model(features), labels).backward()
                    optimizer.step()
                    if epoch == 0 and i == 0:
                        try:
                            sys.exit(5)  # and goes on
                        except SystemExit:
                            pass
                    if epoch == 2 and i == 1:
                        {leaves}
            """
        )
    assert loop.finish().reason == reason  # as at the end of a process, which keeps no SystemExit
    assert (loop.progress.epoch, loop.progress.batches_done, len(told.epochs)) == (2, 8, 2)


def test_a_mistake_of_ours_is_told_once_and_the_script_goes_on() -> None:
    class Failing(Keeper):
        def batch(self, *at: Any) -> None:
            raise RuntimeError("a listener's")

    complaints: list[str] = []
    loop = ScriptLoop(Failing(), complaints.append)
    loop.install()
    with contextlib.ExitStack() as last:
        last.callback(loop.finish)
        left = bare(
            """
            for features, labels in loader:
                optimizer.zero_grad()
                criterion(model(features), labels).backward()
                optimizer.step()
                losses.append(1)
            """
        )
    assert len(left["losses"]) == 3
    assert complaints == [
        "could not go on watching (RuntimeError: a listener's); the script goes on without it"
    ]


@pytest.mark.parametrize(("code", "state"), [(7, State.FAILED), (0, State.FINISHED)])
def test_a_script_that_ends_its_process_itself_has_an_end(
    code: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    exits = os._exit
    seen = run(
        f"""
        import os
        criterion(model(x), y).backward()
        optimizer.step()
        os._exit({code})
        """
    )
    assert ended == [code]
    assert os._exit is exits
    assert (seen.outcome.state, "os._exit(7)" in seen.outcome.reason) == (state, code == 7)
    assert seen.last.outcome == seen.outcome


def test_a_frameworks_loop_is_counted_and_its_validations_are_whole() -> None:
    """The loss is a function, looked up before the forward pass; the loop of a framework, which
    tries a validation before it trains, and leaves its loaders before their ends.
    """
    seen = same_bits(
        """
        class Trainer:
            def validate(self, batches):
                model.eval()
                self.sums, samples = 0.0, 0
                each = iter(other)
                with torch.inference_mode():
                    for _ in range(batches):
                        features, labels = next(each)
                        loss = F.cross_entropy(model(features), labels)
                        self.sums += loss.item() * len(labels)
                        samples += len(labels)
                self.loss, self.each = self.sums / samples, each
                model.train()

            def fit(self):
                self.validate(2)
                for epoch in range(2):
                    self.batches = iter(loader)
                    for i in range(3):
                        features, labels = next(self.batches)
                        def closure():
                            loss = F.cross_entropy(model(features), labels)
                            optimizer.zero_grad()
                            loss.backward()
                            losses.append(loss.item())
                            norms.append(nn.utils.get_total_norm(
                                [p.grad for p in model.parameters()]
                            ).item())
                            return loss
                        optimizer.step(closure)
                    self.validate(3)

        other = DataLoader(loader.dataset, batch_size=7)
        norms = []
        trainer = Trainer()
        trainer.fit()
        """
    )
    assert (seen.loop.progress.epoch, seen.loop.progress.batches_done) == (2, 6)
    assert seen.losses == seen.left["losses"]
    assert seen.last.val_loss == pytest.approx(seen.left["trainer"].loss)
    assert [one.val_loss is None for one in seen.told.epochs] == [False, False]
    assert (seen.loop.info.data, seen.loop.info.batches_per_epoch) == ("24 samples", 3)
    assert seen.loop.learners[0].grad_norm in seen.left["norms"]


CLOSURE = """
for features, labels in loader:
    def closure():
        optimizer.zero_grad()
        loss = criterion(model(features), labels)
        loss.backward()
        return loss
    optimizer.step(closure)
"""


def test_an_update_with_a_closure_begins_behind_its_backward_pass() -> None:
    with Person(CLOSURE) as person:
        person.held()
        steps = [person.take(Advance("phase")).step for _ in range(5)]
        assert steps == [*FIVE]
        before = person.loop.models[0][0].weight.clone()
        person.take(ScaleLR(1e-30))
        assert person.take(Advance("phase")).step is Step.DATA
        assert torch.equal(person.loop.models[0][0].weight, before)
    bad = CLOSURE.replace("model(features)", "model(features * float('nan'))")
    with Person(bad) as person:
        person.held()
        person.send(Resume())
        held = person.held()
        assert (held.step, held.batches_done) == (Step.UPDATE, 0)
        assert "noticed before optimizer.step()" in held.changes[-1].text


def test_a_rate_that_only_the_script_knows_is_not_scaled() -> None:
    with Person(KINDS["an update by hand"]) as person:
        person.held()
        person.take(Advance("batch"))
        told = person.take(ScaleLR(2.0)).changes[-1].text
    assert told == "lr stays: only the loop itself knows its learning rate"
