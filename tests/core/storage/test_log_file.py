"""A log file: damage costs a record or two, a full disk costs nothing while there is memory."""

from __future__ import annotations

import errno
import json
import os
import random
import threading
from pathlib import Path
from zlib import crc32

import pytest
from doing import failing, python  # tests is on the path
from faults import f08_damaged_log as f08

from fivestep.core.storage.log_file import LogFile, line, read_log, seal


def write(path: Path, *records: dict[str, object]) -> None:
    log = LogFile(path)
    log.append(*map(line, records))
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_a_line_is_strict_json_that_ends_in_its_check_sum(path: Path) -> None:
    write(path, {"type": "batch", "loss": float("nan"), "lr": float("inf"), "text": "a\x1b[2J\nb"})
    text = path.read_bytes()
    assert text.isascii()
    assert text.endswith(b'"}\n')
    found = json.loads(text, parse_constant=pytest.fail)
    body, _, tail = text.rpartition(b',"crc"')
    assert list(found)[-1] == "crc"
    assert found.pop("crc") == f"{crc32(body):08x}"
    assert tail.startswith(b':"')
    assert found == {"type": "batch", "loss": None, "lr": None, "text": "a[2J b"}
    assert list(read_log(path)) == [found]


def test_every_cut_and_every_flipped_byte_costs_one_record_or_two(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # hundreds of them
    written = f08.records(random.Random(4))[:3]
    whole = b"".join(map(line, written))
    for at in range(len(whole)):
        assert f08.cut(path, whole, at, written)
        for mask in (0x01, 0x20, 0x80):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            assert f08.missing(list(read_log(path)), written) in (0, 1, 2)


def test_a_short_campaign_of_damage_loses_nothing_more() -> None:
    assert f08.campaign(100, seed=1).lost == 0


def test_opening_cuts_off_a_torn_record(path: Path) -> None:
    write(path, {"batches_done": 1}, {"batches_done": 2})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    log = LogFile(path)
    assert path.read_bytes() == whole[: len(whole) // 2]
    log.append(line({"batches_done": 3}))
    log.close()
    assert [record["batches_done"] for record in read_log(path)] == [1, 3]


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 200_000, 3 << 20])
def test_zeros_where_a_machine_stopped_are_cut_off(path: Path, length: int) -> None:
    """Some file systems leave them at the end; whatever the length, the last record stays."""
    written = [{"n": n, "text": "x" * 700} for n in range(200)]
    write(path, *written)
    whole = path.read_bytes()
    for zeros in (bytes(length), bytes(length) + b"\n" + bytes(length)):
        path.write_bytes(whole + zeros)
        log = LogFile(path)
        assert path.read_bytes() == whole
        log.append(line({"n": 200}))
        log.close()
        assert path.read_bytes() == whole + line({"n": 200})


def test_damaged_lines_are_passed_over(path: Path) -> None:
    write(path, {"batches_done": 1}, {"batches_done": 2}, {"batches_done": 3})
    path.write_bytes(path.read_bytes().replace(b'"batches_done":2', b'"batches_done":9'))
    assert [record["batches_done"] for record in read_log(path)] == [1, 3]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":NaN',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' + b"9" * 5000,
        b"[1",
        b'{"a":"\xff"',
        b"",
    ],
    ids=["nan", "deep", "huge", "list", "no-utf-8", "nothing"],
)
def test_a_check_sum_alone_makes_no_record(path: Path, body: bytes) -> None:
    path.write_bytes(seal(body))
    assert list(read_log(path)) == []


def test_texts_that_others_wrote_come_out_clean(path: Path) -> None:
    path.write_bytes(seal(b'{"a\x7f":"\\u001b]52;c;x\\u0007\\u009b2J"'))
    assert list(read_log(path)) == [{"a": "]52;c;x2J"}]


def test_a_file_that_is_no_log_is_not_emptied(path: Path) -> None:
    path.write_bytes(b"a table of my own\n1 2 3\ntorn")
    log = LogFile(path)
    assert log.cut_back(lambda record: True) == (0, None)
    log.close()
    assert path.read_bytes() == b"a table of my own\n1 2 3\n"


def test_a_link_is_not_written_through(tmp_path: Path, path: Path) -> None:
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        LogFile(path)


def test_another_name_of_a_file_is_not_written_through(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other").write_text("somebody else's")
    path.hardlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="hard link"):
        LogFile(path)
    assert (tmp_path / "other").read_text() == "somebody else's"


def test_a_full_disk_is_told_and_memory_stays_bounded() -> None:
    log = LogFile(Path("/dev/full"), bound=10_000)
    log.append(line({"batches_done": 0}))
    assert not log.flush()
    assert log.error == os.strerror(errno.ENOSPC)
    for number in range(2000):
        log.append(line({"batches_done": number}))
    assert log.lost > 1500
    assert len(log._pending) <= 10_000
    log.close()
    assert log.lost == 2001


DISK_WITH_ROOM_AGAIN = """
import resource, sys
from pathlib import Path
from fivestep.core.storage.log_file import LogFile, line
path, bound = Path(sys.argv[1]), int(sys.argv[2])
log = LogFile(path, bound)
log.append(line({"n": -1}))
assert log.flush(sync=True) and log.error is None
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
for n in range(300):
    log.append(line({"n": n}))
    log.flush()
    assert path.stat().st_size <= 1000
assert log.error
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert log.flush() and log.error is None
log.append(line({"n": 300}))
log.close()
print(log.lost)
"""


@pytest.mark.parametrize("bound", [1 << 20, 3000])
def test_it_goes_on_where_it_was_once_there_is_room(path: Path, bound: int) -> None:
    done = python("-c", DISK_WITH_ROOM_AGAIN, str(path), str(bound))
    found = list(read_log(path))
    assert len(found) == path.read_bytes().count(b"\n"), "no line is damaged"
    lost = int(done.stdout)
    numbers = [record["n"] for record in found if "n" in record]
    assert numbers == [*range(-1, 300 - lost), 300]
    gaps = [record for record in found if record.get("type") == "lost"]
    assert gaps == ([{"type": "lost", "records": lost}] if lost else [])
    assert (lost > 0) == (bound == 3000)


def test_no_torn_line_stays_when_the_disk_is_full_to_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogFile(path)
    log.append(*(line({"n": n}) for n in range(3)))
    room = [40]

    def write(fd: int, texts: list[bytes]) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = b"".join(texts)
        part = min(room[0], len(data))
        room[0] -= part
        return os.write(fd, data[:part])

    monkeypatch.setattr(os, "writev", write)
    log.close()
    assert log.lost == 2
    assert list(read_log(path)) == [{"n": 0}]
    assert path.read_bytes() == line({"n": 0})


def test_partial_writes_and_errors_tear_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(3)

    def write(fd: int, texts: list[bytes]) -> int:
        if dice.random() < 0.4:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.write(fd, b"".join(texts)[: dice.randrange(1, 60)])

    log = LogFile(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", write)
        for n in range(100):
            log.append(line({"n": n}))
            log.flush()
    log.close()
    assert [record["n"] for record in read_log(path)] == list(range(100))


def test_several_threads_may_append_and_flush(path: Path) -> None:
    log = LogFile(path, bound=500)

    def write(who: int) -> None:
        for n in range(200):
            log.append(line({"who": who, "n": n}))
            if n % 7 == who:
                log.flush()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = list(read_log(path))
    for who in range(4):
        assert [record["n"] for record in found if record["who"] == who] == list(range(200))


def test_cutting_back_reaches_lines_that_the_disk_has_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogFile(path)
    log.append(*(line({"n": n}) for n in range(4)))
    log.flush()

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", failing(errno.ENOSPC))
        log.append(*(line({"n": n}) for n in range(4, 9)))
        assert log.cut_back(lambda record: record["n"] <= 6)[1] == {"n": 6}
        assert log.cut_back(lambda record: record["n"] <= 2)[1] == {"n": 2}
    log.append(line({"n": 3}))
    log.close()
    assert [record["n"] for record in read_log(path)] == [0, 1, 2, 3]
