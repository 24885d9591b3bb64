"""A run that is served: what its clients see of it, and that what they send changes no number."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.f21_hostile_clients import another_user
from served import HERE, Served, runtime, until  # tests is on the path

from fivestep.core.protocol import commands
from fivestep.core.protocol.steps import State
from fivestep.core.serving import wire
from fivestep.core.serving.client import UnreachableError


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime() as made:
        yield made


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    run = Served()
    yield run
    run.end()


def test_a_client_sees_the_run_and_steers_it_to_its_end(served: Served) -> None:
    remote = served.attach()
    assert (remote.info, remote.location) == (served.session.info, HERE)
    until(remote, State.PAUSED)
    assert remote.taken(remote.send(commands.SetLR(0.5))) == ""
    assert remote.picture(None).lr == pytest.approx(0.5)
    remote.send(commands.Resume())
    picture = until(remote, State.FINISHED)
    assert served.session.join(30)
    assert picture == served.session.latest()
    assert remote.outcome == served.session.outcome
    changes = [change for change in picture.changes if change.by is not None]
    assert [(change.kind, change.by.pid) for change in changes] == [
        ("lr", os.getpid()),
        ("resume", os.getpid()),
    ]


def test_a_step_is_on_record_though_nothing_tells_of_it(served: Served) -> None:
    remote = served.attach()
    assert remote.taken(remote.send(commands.Advance("phase"))) == ""
    assert "one step asked for" in [change.text for change in remote.picture(None).changes]


def test_what_has_been_seen_stays_the_same_object(served: Served) -> None:
    remote = served.attach()
    assert remote.taken(remote.send(commands.SetLR(0.5))) == ""
    before = remote.picture(None)
    assert remote.taken(remote.send(commands.SetLR(0.25))) == ""
    after = remote.picture(None)
    assert len(after.changes) == len(before.changes) + 1
    assert all(new is old for new, old in zip(after.changes, before.changes, strict=False))


def test_one_screen_steers_and_another_may_take_over(served: Served) -> None:
    first, second, script = served.attach(), served.attach(), served.attach(watches=False)
    assert first.taken(first.send(commands.Validate())) == ""
    assert "steers this run" in second.taken(second.send(commands.Validate()))
    assert script.taken(script.send(commands.Validate())) == ""
    second.take_over()
    assert second.taken(second.send(commands.Validate())) == ""
    assert second.steerer == ""
    assert first.taken(first.send(commands.Validate())) != ""
    second.close()
    while first.taken(first.send(commands.Validate())):
        pass  # until it is known that the other one has left


def test_the_socket_is_private_and_gone_with_the_run(served: Served) -> None:
    path = Path(served.address)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    served.session.send(commands.Stop())
    assert served.session.join(30)
    assert not path.exists()
    with pytest.raises(UnreachableError):
        served.attach()


def test_a_dead_process_leaves_no_socket_in_the_way(served: Served) -> None:
    folder = Path(served.address).parent
    dead = folder / "0123.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(dead))
    assert dead.exists()
    another = Served()
    try:
        another.attach().picture(None)  # its thread has begun
        assert not dead.exists()
        assert Path(served.address).exists()
        served.attach().picture(None)
    finally:
        another.end()


def test_a_folder_that_others_may_enter_is_not_used(folder: Path) -> None:
    (folder / "fivestep").mkdir()
    (folder / "fivestep").chmod(0o755)
    run = Served()
    try:
        assert not run.address.startswith(str(folder))
        run.attach().picture(None)
    finally:
        run.end()


OPEN = Path("/proc/self/fd")
GARBAGE = {
    "no message": b"\0\0\0\5hello",
    "a length beyond all bounds": b"\xff\xff\xff\xff",
    "no greeting": wire.frame(wire.AskNow()),
    "another version": wire.frame(wire.Hello(99, True)),
    "no such command": wire.frame(wire.Hello(1, True))
    + wire.frame(wire.Do(1, wire.Tagged("Exec", wire.tag(commands.Pause()).fields))),
    "what only a run says of itself": wire.frame(wire.Hello(1, True))
    + wire.frame(wire.Do(1, wire.tag(commands.Note("hostile")))),
    "a value that no command has": wire.frame(wire.Hello(1, True))
    + wire.frame(wire.Do(1, wire.Tagged("ScaleLR", wire.tag(commands.SetSpeed(None)).fields))),
    "a flood": wire.frame(wire.Hello(1, True)) + wire.frame(wire.AskNow()) * 5000,
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE.keys())
def test_who_sends_what_is_no_message_is_dropped(served: Served, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as hostile:
        hostile.connect(served.address)
        try:
            hostile.sendall(sent)
            while hostile.recv(1 << 16):
                pass
        except OSError:
            pass
    remote = served.attach(watches=False)
    picture = remote.picture(None)
    assert not [change for change in picture.changes if change.by is not None]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_not_answered() -> None:
    assert another_user() == ""


def test_clients_that_say_nothing_or_die_are_forgotten(served: Served) -> None:
    before = len(list(OPEN.iterdir())) if OPEN.exists() else 0
    for _ in range(10):
        with socket.socket(socket.AF_UNIX) as dying:
            dying.connect(served.address)
            dying.send(wire.frame(wire.Hello(1, True))[:9])
    remote = served.attach()
    remote.picture(None)
    remote.close()
    remote._thread.join()
    assert threading.active_count() < 10
    if before:
        while len(list(OPEN.iterdir())) > before:
            pass


def test_texts_and_numbers_that_can_not_be_written_come_all_the_same() -> None:
    message = wire.Refused("a name with \udcff in it")
    body = wire.frame(message)[wire.HEAD.size :]
    assert wire.answer(body) == wire.Refused("a name with ? in it")
    assert json.dumps(wire.answer(body).why)
