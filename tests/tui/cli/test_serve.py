"""`fivestep serve`: a terminal in a browser, for whoever has the token."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fivestep.tui.cli.serve import HOST

from ..conftest import Cli

ASKS = "import os; print(os.get_terminal_size(), input(), os.environ['TERM'], flush=True); input()"
PROGRAM = (sys.executable, "-c", ASKS)
BRIDGE = (sys.executable, "-m", "fivestep.tui.terminal.web_terminal")


def packet(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "big") + content


async def test_whoever_has_the_token_is_at_the_terminal_and_nobody_else() -> None:
    pytest.importorskip("textual_serve")
    import aiohttp

    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    run = f"from fivestep.tui.cli.serve import run_server; run_server({PROGRAM!r}, {port})"
    server = subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    home = server.stdout.readline().rstrip("\n")
    token = re.fullmatch(f"(http://127.0.0.1:{port}/)([A-Za-z0-9_-]{{40,}})/", home)[2]
    async with aiohttp.ClientSession(home.removesuffix(f"{token}/")) as browser:
        for path in ("", "ws", "static/js/textual.js", "wrong/", "wrong/ws", token):
            async with browser.get(f"/{path}") as answer:
                assert answer.status == 403, path
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.ws_connect("/wrong/ws")
        async with browser.get(f"/{token}/") as answer:
            assert answer.status == 200
            page = await answer.text()
        address = re.search('data-session-websocket-url="([^"]*)"', page)[1]
        assert address == f"ws://{HOST}:{port}/{token}/ws"
        assert not re.search(r"https?://(?!127\.0\.0\.1)", page.replace("www.w3.org", HOST))
        async with browser.get(re.search('script src="([^"]*)"', page)[1]) as answer:
            assert answer.status == 200
        async with browser.ws_connect(f"{address}?width=90&height=30") as terminal:
            await terminal.send_json(["stdin", "typed\r"])
            shown = b""
            while b"typed xterm-256color" not in shown:
                message = await terminal.receive(timeout=60)
                assert isinstance(message.data, bytes), message
                shown += message.data
            assert b"columns=90, lines=30" in shown
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
    server.stdout.close()


def test_a_page_that_is_closed_takes_the_terminal_away(tmp_path: Path) -> None:
    """As a lost connection does, which a run that trains outlives."""
    told = tmp_path / "told"
    script = (
        "import signal, sys, os, time\n"
        f"signal.signal(signal.SIGHUP, lambda *_: open({str(told)!r}, 'w').write('gone'))\n"
        "print('ready', os.get_terminal_size().columns, flush=True)\n"
        f"while not os.path.exists({str(told)!r}): time.sleep(0.01)\n"
    )
    bridge = subprocess.Popen(
        [*BRIDGE, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "100", "ROWS": "20"},
    )
    assert bridge.stdin is not None
    assert bridge.stdout is not None
    assert bridge.stdout.readline() == b"__GANGLION__\n"
    shown = b""
    while b"\r\n" not in shown:
        head = bridge.stdout.read(5)
        shown += bridge.stdout.read(int.from_bytes(head[1:], "big"))
    assert shown == b"ready 100\r\n"
    resize = json.dumps({"type": "resize", "width": 10**9, "height": -1}).encode()
    bridge.stdin.write(packet(b"M", resize) + packet(b"M", b'{"type": "quit"}'))
    bridge.stdin.close()
    assert bridge.wait(60) == 0
    bridge.stdout.close()
    while not told.exists():
        pass


def test_a_port_that_is_none_or_taken_is_refused(cli: Cli) -> None:
    assert "--port: expected a number from 1 to 65535" in cli.refused("serve", "--port", "http")
    pytest.importorskip("textual_serve")
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        line = cli.refused("serve", "--port", str(taken.getsockname()[1]))
    assert "address already in use" in line


def test_what_can_not_be_opened_is_refused_before_an_address_is_printed(cli: Cli) -> None:
    assert "there is no command" in cli.refused("serve", "nosuch")
    assert "there is no run" in cli.refused("serve", "attach", "nosuch")
    assert "there is no option --nosuch" in cli.refused("serve", "--", "train", "--nosuch")
