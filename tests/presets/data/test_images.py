"""MNIST and its like, with small files from a server on this machine."""

from __future__ import annotations

import gc
import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fivestep.presets.build import build
from fivestep.presets.data import download, images
from fivestep.presets.errors import RecipeError
from fivestep.presets.recipe import load


class Server(ThreadingHTTPServer):
    """Serves a folder, counts what is asked for, and breaks off where it is told to."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.breaks_off: set[str] = set()
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.asked.append(name)
        if name not in self.server.breaks_off:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(
    tmp_path: Path, packed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A server of small files whose checksums are taken for the published ones."""
    sums = tuple(hashlib.sha256(packed[f"{name}.gz"]).hexdigest() for name in images.FILES)
    monkeypatch.setattr(images, "MNIST", replace(images.MNIST, sha256=sums))
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.setenv(download.FOLDER, str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mnist(url: str = "http://127.0.0.1:9/", **changes: Any) -> Any:
    return images.mnist(**{"validation": 0.1, "seed": 0, "data_dir": "", "url": url} | changes)


def refusal(*arguments: Any, **changes: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        mnist(*arguments, **changes)
    text = str(caught.value)
    assert text.isprintable(), "one line, nothing that a terminal obeys"
    return text


def test_the_first_run_downloads_and_the_second_reads_the_cache(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = mnist(server.url)
    assert sorted(server.asked) == sorted(f"{name}.gz" for name in images.FILES)
    told = capsys.readouterr()
    assert not told.out
    assert "mnist: train-images-idx3-ubyte.gz: 100 % of 0.0 MB" in told.err
    assert data.features.shape == (36, 1, 28, 28)
    assert data.val_features.shape == (4, 1, 28, 28)
    assert data.test_features.shape == (20, 1, 28, 28)
    for pixels, labels in (
        (data.features, data.labels),
        (data.val_features, data.val_labels),
        (data.test_features, data.test_labels),
    ):
        assert torch.allclose(pixels.mean((1, 2, 3)), labels * 20 / 255)
    server.asked.clear()
    again = mnist(server.url)
    assert not server.asked
    assert not capsys.readouterr().err
    assert torch.equal(data.features, again.features)
    assert images.at_hand("mnist", "")
    assert not list(tmp_path.rglob("tmp*")), "nothing half done is left"


def test_a_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "train-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes() + b"x")
    text = refusal(server.url)
    assert "mnist: train-labels-idx1-ubyte.gz can't be had from http://127.0.0.1" in text
    assert "what came has another checksum than what was published" in text
    kept = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept == ["train-images-idx3-ubyte.gz"]
    assert not images.at_hand("mnist", "")


def test_a_download_that_breaks_off_keeps_nothing_and_can_be_tried_again(
    server: Server, tmp_path: Path
) -> None:
    server.breaks_off.add("train-images-idx3-ubyte.gz")
    text = refusal(server.url)
    assert "the download broke off" in text
    assert "--data-dir" in text
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    server.breaks_off.clear()
    assert len(mnist(server.url).features) == 36


def test_a_file_that_was_spoiled_in_the_cache_is_downloaded_again(
    server: Server, tmp_path: Path
) -> None:
    mnist(server.url)
    file = tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-7])
    server.asked.clear()
    assert len(mnist(server.url).test_features) == 20
    assert server.asked == [file.name]


def test_offline_is_one_clear_line(server: Server) -> None:
    text = refusal("http://127.0.0.1:9/")
    assert "mnist: train-images-idx3-ubyte.gz can't be had from http://127.0.0.1:9/" in text
    assert "no connection; with the files at hand, name their folder: --data-dir" in text


def test_a_server_without_the_file_is_one_clear_line(server: Server) -> None:
    assert "the server answered 404" in refusal(f"{server.url}elsewhere")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_endless_download_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pooch leaves the connection to the garbage collector, which warns."""
    monkeypatch.setattr(download, "MOST", 10)
    noise = np.random.default_rng(0).bytes(500_000)
    (tmp_path / f"{images.FILES[0]}.gz").write_bytes(noise)
    assert "it has more than 0 million bytes" in refusal(server.url)
    gc.collect()


@pytest.mark.parametrize("zipped", [True, False])
def test_files_at_hand_need_no_server(
    tmp_path: Path, packed: dict[str, bytes], *, zipped: bool
) -> None:
    for name, data in packed.items():
        if not zipped:
            (tmp_path / name).unlink()
            (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress(data))
    training = build(load("mnist-cnn", {"dataset.data_dir": str(tmp_path), "batch_size": 8}))
    assert training.about.data == "36 images 28x28, 10 classes"
    assert training.test is not None
    features, labels = next(iter(training.batches))
    assert training.criterion(training.model(features), labels).isfinite()
    clothes = build(load("fashion-cnn", {"dataset.data_dir": str(tmp_path), "batch_size": 8}))
    assert clothes.about.label_names[-1] == "ankle boot"


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
packed = partial(gzip.compress, mtime=0)  # no time in the tests' names
GOOD = struct.pack(">4BI", 0, 0, 8, 1, 40)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (IMAGES, b"", "this is no IDX file"),
        (IMAGES, b"not gzip", "can't be read: Not a gzipped file"),
        (IMAGES, packed(b"\0\0\x08\x03")[:-9], f"{IMAGES} ends too early"),
        (IMAGES, packed(b"GIF89a" * 9), "this is no IDX file of bytes in 3 dimensions"),
        (
            IMAGES,
            packed(struct.pack(">4B3I", 0, 0, 8, 3, 40, 28, 28) + b"\0" * 9),
            f"{IMAGES} ends too early",
        ),
        (
            IMAGES,
            packed(struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 28)),
            "expected up to 200,000 images of 28x28 pixels, or labels, not 4294967295 x",
        ),
        (IMAGES, packed(struct.pack(">4B3I", 0, 0, 8, 3, 0, 28, 28)), "not 0 x 28 x 28"),
        (LABELS, packed(GOOD + b"\0" * 41), f"{LABELS} goes on after its end"),
        (LABELS, packed(GOOD + b"\x0a" * 40), "expected labels from 0 to 9"),
        (LABELS, packed(struct.pack(">4BI", 0, 0, 8, 1, 3) + b"\0" * 3), "40 images but 3 labels"),
    ],
)
@pytest.mark.usefixtures("packed")
def test_broken_files_are_told_in_one_line(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refusal(data_dir=str(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    text = refusal(data_dir=str(tmp_path))
    assert "mnist: --data-dir: there is no train-images-idx3-ubyte.gz in" in text
