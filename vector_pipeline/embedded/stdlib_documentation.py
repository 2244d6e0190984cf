"""Prints the standard library's own documentation, one JSON object a line.

Importing every module of the standard library leaves traces in a process, so this runs as a program of its own
(`demo_rows` starts it). It therefore imports nothing but the standard library.

Only objects with a docstring of their own count: what is inherited, or known under a second name, is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

# These open windows, print, browse or are tests and programs rather than libraries.
LEFT_OUT = frozenset({"antigravity", "this", "idlelib", "turtledemo", "turtle", "tkinter", "test", "lib2to3"})
LEFT_OUT_PARTS = frozenset({"__main__", "test", "tests", "_test"})
SHORTEST = 20  # characters; shorter ones explain nothing


def modules() -> Iterator[ModuleType]:
    """The public modules that can be imported here, by name."""
    for top in sorted(sys.stdlib_module_names - LEFT_OUT):
        if top.startswith("_"):
            continue
        module = _import(top)
        if module is None:
            continue
        yield module
        inner = pkgutil.walk_packages(getattr(module, "__path__", []), f"{top}.", onerror=lambda _: None)
        for name in sorted(found.name for found in inner):
            parts = name.split(".")
            if LEFT_OUT_PARTS.isdisjoint(parts) and not any(part.startswith("_") for part in parts):
                module = _import(name)
                if module is not None:
                    yield module


def documented(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """Kind, qualified name and docstring of the module and of what it defines."""
    name = module.__name__
    yield "module", name, _docstring(module)
    for short, member in sorted(vars(module).items()):
        if short.startswith("_") or not _is_defined_by(member, short, module):
            continue
        qualified = f"{name}.{short}" if name != "builtins" else short
        if inspect.isclass(member):
            yield "class", qualified, _docstring(member)
            for method, function in sorted(vars(member).items()):
                if not method.startswith("_") and (inspect.isroutine(function) or isinstance(function, property)):
                    kind = "attribute" if isinstance(function, property) else "method"
                    yield kind, f"{qualified}.{method}", _docstring(function)
        elif inspect.isroutine(member):
            yield "function", qualified, _docstring(member)


def _is_defined_by(member: object, short: str, module: ModuleType) -> bool:
    home = getattr(member, "__module__", None)
    if home == module.__name__:
        return True
    # What is written in C lives in a private module: heapq.heappush says that it is _heapq's.
    return isinstance(home, str) and home.startswith("_") and short in getattr(module, "__all__", ())


def _docstring(thing: object) -> str:
    if inspect.isclass(thing):
        text = vars(thing).get("__doc__")  # the attribute itself would be the base class's
    elif isinstance(thing, classmethod | staticmethod):
        text = thing.__func__.__doc__
    else:
        text = getattr(thing, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""


def _import(name: str) -> ModuleType | None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module(name)
    except (Exception, SystemExit):
        return None  # for another system, or left out of this Python


def main() -> None:
    """Prints everything, in the order of module and name."""
    warnings.simplefilter("ignore")
    names, texts = set(), set()
    for module in modules():
        for kind, name, text in documented(module):
            if len(text) >= SHORTEST and name not in names and text not in texts:
                names.add(name)
                texts.add(text)
                print(json.dumps({"kind": kind, "name": name, "module": module.__name__, "text": text}))


if __name__ == "__main__":
    main()
