"""F8: a log cut anywhere, any byte of it flipped, written to again behind a torn tail."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from faults.result import Result

from fivestep.core.storage.log_file import LogFile, line, read_log

Records = list[dict[str, Any]]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a file costs no disk: the damage is done by hand."""


def records(dice: random.Random) -> Records:
    """What a log may hold: numbers of all sizes, nothing, texts that look like records."""
    texts = ('"},"crc":"00000000"}\n', "lr ÷2 → 5.0e-4", "\\", "", '{"type":"batch"}')
    return [
        {
            "type": "batch",
            "batches_done": number,
            "loss": dice.choice([dice.random(), 1e-300, -0.0, None, dice.randrange(10**12)]),
            "text": dice.choice(texts).strip(),
        }
        for number in range(1, dice.randrange(3, 9))
    ]


def missing(found: Records, written: Records) -> int | None:
    """How many of the written records are not there; None if one is there that was not written."""
    rest = iter(written)
    if not all(any(record == other for other in rest) for record in found):
        return None
    return len(written) - len(found)


def cut(path: Path, whole: bytes, at: int, written: Records) -> bool:
    """Whether a log cut at a byte keeps all but one record, then and when it is written on."""
    path.write_bytes(whole[:at])
    kept = whole[:at].count(b"\n")  # every record whose line is whole
    first = missing(list(read_log(path)), written[: kept + 1])
    more = [{"type": "batch", "batches_done": 1000 + number} for number in range(3)]
    log = LogFile(path)
    log.append(*map(line, more))
    log.close()
    on = missing(list(read_log(path)), written[: kept + 1] + more)
    return first in (0, 1) and on in (0, 1)


def flip(path: Path, whole: bytes, at: int, mask: int, written: Records) -> bool:
    """Whether a log with some bits of a byte flipped keeps all but two, then and written on."""
    path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
    first = missing(list(read_log(path)), written)
    more = [{"type": "batch", "batches_done": 1000}]
    log = LogFile(path)
    log.append(*map(line, more))
    log.close()
    on = missing(list(read_log(path)), written + more)
    return first in (0, 1, 2) and on in (0, 1, 2)


def campaign(trials: int, seed: int) -> Result:
    """Damage `trials` small logs."""
    dice = random.Random(seed)
    lost = 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, "metrics.jsonl")
        for _ in range(trials):
            written = records(dice)
            whole = b"".join(map(line, written))
            at = dice.randrange(len(whole))
            if dice.random() < 0.5:
                lost += not cut(path, whole, at, written)
            else:
                lost += not flip(path, whole, at, dice.randrange(1, 256), written)
    return Result("F8", "a log cut or flipped at a byte", trials, lost)
