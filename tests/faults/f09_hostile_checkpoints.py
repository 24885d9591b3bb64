"""F9: checkpoints cut short, altered, and armed, some with the right digest.

A trial has a good checkpoint and, as a newer one, a hostile one. Lost is each that executed
something, was altered and taken for good, ended in anything but one clean line, or kept the good
one from being found.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import os
import pickle
import random
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import torch
from faults.result import Result, in_own_process

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore, load, save

TEMPLATES = ("system", "exec", "eval", "import", "touch", "pickle", "torch", "getattr", "state")
Draw = random.Random


def signed(data: bytes) -> bytes:
    """An archive with the digest that fivestep would give it, as anybody can."""
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:-2] + b"\x50\0fivestep sha256=" + digest


class _Call:
    """Pickles as the call of a function, with what is to be set on the result."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.made = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.made


def _call(draw: Draw, canary: Path) -> object:
    """Something that leaves the canary's file behind if it is unpickled without care."""
    touch = f"open({str(canary)!r}, 'w').close()"
    kind = draw.choice(TEMPLATES)
    match kind:
        case "system":
            return _Call(draw.choice((os.system, os.popen)), f"touch {canary}")
        case "exec":
            return _Call(exec, touch)
        case "eval":
            return _Call(eval, touch)
        case "import":
            return _Call(__import__, draw.choice(("antigravity", "this", "turtledemo")))
        case "touch":
            return draw.choice((_Call(Path.touch, canary), _Call(open, str(canary), "w")))
        case "pickle":
            return _Call(pickle.loads, pickle.dumps(_Call(exec, touch)))
        case "torch":
            inner = io.BytesIO()
            torch.save(_Call(exec, touch), inner)
            return _Call(torch.load, _Call(io.BytesIO, inner.getvalue()))
        case "getattr":
            return _Call(getattr, _Call(__import__, "os"), "system")
        case _:
            return _Call(torch.nn.Linear, 1, 1, state={"forward": _Call(exec, touch)})


def _bomb(draw: Draw, canary: Path, _: bytes) -> bytes:
    """An archive of torch.save's with a call somewhere in it."""
    call = _call(draw, canary)
    state = draw.choice((call, {"format": 1, "a": call}, {"format": call}, [call], {1: {2: call}}))
    out = io.BytesIO()
    torch.save(state, out)
    return signed(out.getvalue())


def _old(draw: Draw, canary: Path, _: bytes) -> bytes:
    """The layouts that torch.load still knows besides: a bare pickle, a tar archive."""
    call = _call(draw, canary)
    out = io.BytesIO()
    if draw.randrange(2):
        torch.save(call, out, _use_new_zipfile_serialization=False)
        return signed(out.getvalue() + b"\0\0")
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = pickle.dumps(call, 2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return signed(out.getvalue() + b"\0\0")


def _repacked(draw: Draw, canary: Path, good: bytes) -> bytes:
    """The good archive with one member replaced, packed, doubled, or added."""
    out = io.BytesIO()
    bomb = pickle.dumps({"format": 1, "a": _call(draw, canary)}, 2)
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        kind = draw.randrange(4)
        for name in old.namelist():
            data = old.read(name)
            packed = zipfile.ZIP_DEFLATED if kind == 0 else zipfile.ZIP_STORED
            if kind == 1 and name.endswith("data.pkl"):
                data = bomb
            if kind == 0 and "/data/" in name:
                data = bytes(1 << 22)
            new.writestr(name, data, packed)
        if kind == 2:
            new.writestr("archive/constants.pkl", bomb)
            new.writestr("archive/code/__torch__.py", "import os\nos.system('true')\n")
        if kind == 3:
            new.writestr("archive\\data.pkl", bomb)
    return signed(out.getvalue())


def _cut(draw: Draw, _: Path, good: bytes) -> bytes:
    return good[: draw.randrange(len(good))]


def _flipped(draw: Draw, _: Path, good: bytes) -> bytes:
    data = bytearray(good)
    for at in draw.sample(range(len(data)), draw.choice((1, 1, 2, 8))):
        data[at] ^= 1 << draw.randrange(8)
    return bytes(data)


def _flipped_and_signed(draw: Draw, _: Path, good: bytes) -> bytes:
    """Altered by somebody who can calculate a digest, mostly in what is unpickled."""
    plain = good[:-82] + b"\0\0"
    first, last = plain.index(b"\x80\x02"), plain.index(b".PK")
    data = bytearray(plain)
    for _ in range(draw.choice((1, 2, 8))):
        at = draw.randrange(len(data) - 2) if draw.randrange(4) == 0 else draw.randint(first, last)
        data[at] = draw.randrange(256)
    return signed(bytes(data))


def _newer(draw: Draw, _: Path, __: bytes) -> bytes:
    out = io.BytesIO()
    found = draw.choice((2, 10**20, 0, -1, True, "1", None, 1.0))
    torch.save({"format": found, "a": 1}, out)
    return signed(out.getvalue())


KINDS: dict[str, Callable[[Draw, Path, bytes], bytes]] = {
    "cut short": _cut,
    "bits flipped": _flipped,
    "altered and signed": _flipped_and_signed,
    "pickle bomb, signed": _bomb,
    "old layout with a bomb, signed": _old,
    "repacked archive, signed": _repacked,
    "another format, signed": _newer,
}
MAY_LOAD = ("altered and signed", "repacked archive, signed")
"""A digest is no signature: whoever wrote the file may have put other numbers into it."""


def _trial(kind: str, draw: Draw, folder: Path, good: bytes) -> str | None:
    """What went wrong; None if nothing did."""
    canary, newer = folder / "canary", folder / "batch-000000002.pt"
    newer.write_bytes(KINDS[kind](draw, canary, good))
    hostile.events.clear()
    hostile.watching = True
    try:
        found = CheckpointStore(folder).newest()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        hostile.watching = False
    if hostile.events or canary.exists():
        canary.unlink(missing_ok=True)
        return f"executed: {hostile.events[:3]}"
    if kind in MAY_LOAD:
        return None
    if found.path == newer:
        return "taken for good"
    told = found.skipped
    if len(told) != 1 or not told[0].isprintable() or len(told[0]) > 200:
        return f"told as {told!r}"
    return None if torch.equal(found.state["weights"], torch.arange(100.0)) else "altered the other"


def _prove(canary: Path) -> None:
    """The bombs go off without care, and both canary and hook notice."""
    for name in ("touch", "exec"):
        draw = Draw(0)
        while (call := _call(draw, canary)).__reduce__()[0].__name__ != name:  # type: ignore[index]
            pass
        hostile.events.clear()
        hostile.watching = True
        pickle.loads(pickle.dumps(call))
        hostile.watching = False
        assert hostile.events
        assert canary.exists()
        canary.unlink()


def _main(trials: int, seed: int) -> Result:
    draw = Draw(seed)
    torch.set_num_threads(1)
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    sys.addaudithook(hostile.audit)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _prove(folder / "canary")
        path = folder / "batch-000000001.pt"
        save(path, {"progress": {"batches_done": 1}, "weights": torch.arange(100.0)})
        good = path.read_bytes()
        codecs.lookup("cp437")  # what is imported late is imported now: zipfile's codec, and errors
        for make in (_bomb, _flipped_and_signed):
            _warm(folder / "batch-000000002.pt", make(draw, folder / "canary", good))
        for number in range(trials):
            kind = list(KINDS)[number % len(KINDS)]
            counts[kind] += 1
            if what := _trial(kind, draw, folder, good):
                wrong.append(f"trial {number}, {kind}: {what}"[:500])
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Result("F9", "hostile checkpoints", trials, len(wrong), (kinds, *wrong[:20]))


def _warm(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with contextlib.suppress(CheckpointError):
        load(path)


def campaign(trials: int, seed: int) -> Result:
    """So many hostile files, in a process of its own."""
    return in_own_process(__name__, trials, seed)


if __name__ == "__main__":
    sys.stdout.write(_main(int(sys.argv[1]), int(sys.argv[2])).to_json())
