"""What `fivestep run` puts on the path of a script: Python imports it before anything else.

It waits until the script imports torch, and lets it be watched then. All else is as without it: it
takes itself off `sys.path`, and loads the `sitecustomize` that stands behind it there. What goes
wrong in here is told in a line; the script goes on.
"""

from __future__ import annotations

import atexit
import os
import sys
from os.path import abspath, dirname, join

VARIABLE = "FIVESTEP_RUN"
"""The environment variable with what was asked for, as JSON: see `headless.script`."""
HERE = dirname(abspath(__file__))
QUIET = ("--multiprocessing-fork", "compile_worker")
"""Words on the command lines of processes of Python's and torch's own, that may train nothing."""
EXIT_CODE: list[int] = []
"""That of the process, where it is not the script's own: a breakpoint has ended it."""


class WhenImported:
    """Finds torch as it would be found, and has it watched once it is loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Finds what Python looks for; nothing but torch."""
        if name != "torch":
            return None
        sys.meta_path.remove(cls)
        from importlib.util import find_spec

        spec = find_spec("torch")
        loader = None if spec is None else spec.loader
        if loader is not None:
            bare = loader.exec_module

            def exec_module(module):  # type: ignore[no-untyped-def]
                del loader.exec_module
                bare(module)
                safely(watch)

            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Watch what this process trains, from its first update on where most train nothing."""
    if any(word in argument for word in QUIET for argument in sys.orig_argv):
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        def first_step(*_):  # type: ignore[no-untyped-def]
            handle.remove()
            safely(begin)

        handle = register_optimizer_step_pre_hook(first_step)
    else:
        begin()


def begin() -> None:
    """Load the fivestep that has started the script, wherever it is, and have it watch."""
    if "fivestep" not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location

        home = dirname(dirname(dirname(HERE)))
        spec = spec_from_file_location(
            "fivestep", join(home, "__init__.py"), submodule_search_locations=[home]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["fivestep"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    from fivestep.tui.headless.script import watch_script

    watch_script(os.environ[VARIABLE], EXIT_CODE)


def safely(call) -> None:  # type: ignore[no-untyped-def]
    """What goes wrong is told, and ends nothing."""
    try:
        call()
    except Exception as error:
        try:
            told = "fivestep can't watch this script (%s: %s); it goes on\n"
            sys.stderr.write(told % (type(error).__name__, error))
        except Exception:
            pass


def give_way() -> None:
    """Leave the path to the `sitecustomize` that stands behind this one, if there is one."""
    sys.path[:] = [one for one in sys.path if abspath(one) != HERE]
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def leave() -> None:
    """The last thing that is done on the way out: all that others do then is done."""
    if EXIT_CODE:
        for stream in (sys.stdout, sys.stderr):
            safely(stream.flush)
        os._exit(EXIT_CODE[0])


if VARIABLE in os.environ:
    atexit.register(leave)
    sys.meta_path.insert(0, WhenImported)
give_way()
