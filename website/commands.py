"""The page of the command line, from the commands themselves."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from markdown import cell, plain

from marginflow.cli.main import app


def verbs() -> dict[str, Any]:
    """Every command by the words that call it: "svm", "study run"."""
    return dict(_verbs(typer.main.get_command(app), ()))


def _verbs(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words), command
        return
    for name, found in inner.items():
        yield from _verbs(found, (*words, name))


def write_commands(folder: Path) -> None:
    """docs/commands.md below `folder`."""
    (folder / "docs" / "commands.md").write_text("\n".join(_page()) + "\n")


def _page() -> Iterator[str]:
    yield from ("# Commands", "", str(app.info.epilog), "")
    yield from ("`--install-completion` makes Tab complete them in your shell. Every one takes `--help`.", "")
    for words, command in verbs().items():
        yield from _entry(words, command)


def _entry(words: str, command: Any) -> Iterator[str]:
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    params = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in params if p.param_type_name == "argument"]
    options = [p for p in params if p.param_type_name == "option"]
    names = " ".join(p.metavar or p.name.upper() for p in arguments)
    yield from (f"## {words}", "", "```text", f"marginflow {words} {names} [OPTIONS]".replace("  ", " "), "```", "")
    yield from (plain(text.strip()), "")
    if example:
        yield from ("Example:", "", "```text", example.strip(), "```", "")
    if params:
        yield from ("| argument or option | what it is | default |", "|---|---|---|")
        yield from (f"| `{p.metavar or p.name.upper()}` | {cell(p.help or '')} | {_default(p)} |" for p in arguments)
        yield from (f"| {_flags(p)} | {cell(p.help or '')} | {_default(p)} |" for p in options)
        yield ""


def _flags(option: Any) -> str:
    return " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(param: Any) -> str:
    if param.required:
        return "required"
    given = param.default
    if given is None or given is False or callable(given) or given == () or given == []:
        return ""
    return f"`{', '.join(map(str, given)) if isinstance(given, (list, tuple)) else given}`"
