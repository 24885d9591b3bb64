"""`fivestep serve`: the screen in a browser on this machine, through textual-serve, an extra."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...core.storage.run_directory import RunError
from ...presets.errors import reason
from ..setup.options import runs_folder
from ..terminal.output import stdout
from .errors import UsageError, refusals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

HOST: Final = "127.0.0.1"
"""Nothing but this machine reaches it."""
FONTS: Final = re.compile(r"<link[^>]*https?://[^>]*>")
"""What the page would fetch from elsewhere."""


def serve(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND...]", help="Of fivestep, as attach; else the screen."),
    ] = None,
    port: Annotated[str, typer.Option(metavar="N", help="Where it listens.")] = "8000",
) -> None:
    """Open the screen in a browser on this machine.

    The address that it prints has a token in it: without that nothing is answered.
    """
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UsageError(f"--port: expected a number from 1 to 65535, not {port}", ctx)
    from ..setup.detach import program

    with refusals():
        if words:
            _check(ctx.parent, words)
        run_server([*program(), *(words or ())], int(port))


def _check(ctx: Any, words: list[str]) -> None:
    """Refuse words that the command line would refuse: nobody is to open an address for that."""
    _, command, rest = ctx.command.resolve_command(ctx, list(words))
    params = command.make_context(words[0], list(rest), parent=ctx).params
    if words[0] == "attach" and params["name"] is not None:
        from ..setup.attach import attach_or_read

        attach_or_read(runs_folder(params["runs_dir"]), params["name"]).close()


def run_server(words: Sequence[str], port: int) -> None:
    """Serve a command until Ctrl+C.

    Raises:
        RunError: textual-serve is not installed, or the port can't be had.
    """
    import secrets

    token = secrets.token_urlsafe(32)
    served = make_app(words, port, token)
    from aiohttp import web

    output = stdout()

    def tell(*_: object) -> None:  # as soon as it listens
        output.write(f"http://{HOST}:{port}/{token}/\nCtrl+C ends it; a run trains on\n")
        output.flush()

    try:
        web.run_app(served, host=HOST, port=port, print=tell, access_log=None, shutdown_timeout=1.0)
    except OSError as error:
        raise RunError(f"--port {port}: {reason(error)}") from error


def make_app(words: Sequence[str], port: int, token: str) -> web.Application:
    """What answers, under the token alone.

    Raises:
        RunError: textual-serve is not installed.
    """
    try:
        import aiohttp_jinja2
        import jinja2
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise RunError("serve needs its library: pip install textual-serve") from error

    command = [sys.executable, "-m", f"{__package__.removesuffix('.cli')}.terminal.web_terminal"]
    server = Server(shlex.join([*command, *words]), HOST, port, "fivestep")

    async def index(request: web.Request) -> web.StreamResponse:
        page = await server.handle_index(request)
        page.text = FONTS.sub("", page.text or "")
        page.headers["Referrer-Policy"] = "no-referrer"
        page.headers["Cache-Control"] = "no-store"
        return page

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text="open the address that fivestep serve has printed\n")

    served = web.Application()
    aiohttp_jinja2.setup(served, loader=jinja2.FileSystemLoader(server.templates_path))
    served.add_routes(
        [
            web.get(f"/{token}/", index),
            web.get(f"/{token}/ws", server.handle_websocket, name="websocket"),
            web.static(f"/{token}/static", server.statics_path, name="static"),
            web.route("*", "/{anything:.*}", refuse),
        ]
    )
    return served
