"""Writes docs/api.md from the docstrings of the public names; `--check` fails when the file has drifted."""

import enum
import inspect
import sys
from importlib import import_module
from pathlib import Path

import marginflow as mf
from marginflow.problem import named


PAGE = Path(__file__).with_name("api.md")
INTRO = """# API reference

Generated from the docstrings by `make docs`; `make test` fails when it has drifted. The names are those of
`import marginflow as mf`.
"""


def public_names() -> list[str]:
    eager = [name for name in vars(mf) if name[0].isupper() and name not in ("TYPE_CHECKING", "Any")]
    return sorted({*eager, *mf._HOMES}, key=lambda name: (name.lower(), name))


def _thing(name: str) -> object:
    """The function, also where a room of its name stands in front of it."""
    return getattr(import_module(mf._HOMES[name]), name) if name in mf._HOMES else getattr(mf, name)


def losses() -> list[str]:
    """The classes of `mf.losses`; what a method of a loss does its base class says."""
    found = {name: thing for name, thing in sorted(vars(mf.losses).items()) if inspect.isclass(thing)}
    entries = [(name, entry(f"losses.{name}", thing)) for name, thing in found.items()]
    return [text if inspect.isabstract(found[name]) else text.partition("### ")[0] for name, text in entries]


def entry(name: str, thing: object) -> str:
    lines = [f"## {name}", ""]
    if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, enum.Enum | Exception)):
        lines += ["```text", f"{name}{_signature(thing)}", "```", ""]
    lines += ["```text", inspect.getdoc(thing) or "", "```", ""]
    if inspect.isclass(thing) and issubclass(thing, enum.Enum):
        lines += [f"- `{member.name}`: {member.value}" for member in thing] + [""]
    elif inspect.isclass(thing):
        for key, member in sorted(vars(thing).items()):
            text = _member(key, member)
            if text:
                lines += [f"### {name}.{key}", "", "```text", text, "```", ""]
    return "\n".join(lines)


def _member(key: str, member: object) -> str:
    if key.startswith("_"):
        return ""
    target = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
    if not inspect.isfunction(target):
        return ""
    shown = "" if isinstance(member, property) or target is not member else f"{key}{_signature(target)}\n\n"
    return shown + (inspect.getdoc(target) or "")


def _signature(thing: object) -> str:
    text = str(inspect.signature(thing))  # type: ignore[arg-type]
    for long in ("numpy.ndarray[tuple[typing.Any, ...], numpy.dtype[numpy.float64]]",):
        text = text.replace(long, "Floats")
    return text


def page() -> str:
    parts = [INTRO, *[entry(name, _thing(name)) for name in public_names()]]
    parts += losses()
    families = "\n".join(
        f"- `{name}`: " + (inspect.getdoc(make) or "").splitlines()[0] for name, make in named.FAMILIES.items()
    )
    parts.append(f"## Named problems\n\n{families}\n")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text else "docs/api.md has drifted from the docstrings; run `make docs`")
    PAGE.write_text(text)
