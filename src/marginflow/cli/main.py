"""The command `marginflow`: registers the verbs and turns every failure into one line and an exit code."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from marginflow.cli import (
    attractors,
    audit,
    claims,
    demo,
    descend,
    describe,
    export,
    figure,
    flow,
    gallery,
    problems,
    report,
    study,
    svm,
    watch,
)
from marginflow.cli.completion import answered
from marginflow.cli.interrupt import stops_within
from marginflow.errors import InputError, UndefinedError


class _Interrupted(BaseException):
    """Ctrl-C inside a verb, with the verb's words; typer would turn a KeyboardInterrupt into a bare exit code."""


class _Verbs(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise _Interrupted(*stop.args) from None


app = typer.Typer(
    name="marginflow",
    cls=_Verbs,
    help="Which solution does training a softmax attention layer pick, and can we prove it?",
    epilog="Exit codes: 0 answered, 1 not to the tolerance asked, 2 bad input or usage, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
VERBS: dict[str, Callable[..., int]] = {
    "demo": demo.demo,
    "describe": describe.describe,
    "problems": problems.problems,
    "svm": svm.svm,
    "flow": flow.flow,
    "descend": descend.descend,
    "attractors": attractors.attractors,
    "audit": audit.audit,
    "watch": watch.watch,
    "claims": claims.claims,
    "gallery": gallery.gallery,
    "report": report.report,
    "figure": figure.figure,
    "export": export.export,
}
for name, verb in VERBS.items():
    app.command(name)(verb)
app.add_typer(study.app, name="study")


def _show_version(wanted: bool) -> None:
    if wanted:
        from marginflow import __version__

        print(f"marginflow {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Which solution does training a softmax attention layer pick, and can we prove it?"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    with warnings.catch_warnings():
        # The doors warn of what they leave out; here that is a line of its own, not Python's two with a source line.
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_: _say(f"note: {message}")
        try:
            with stops_within():
                with answered():
                    return _main(given)
        except KeyboardInterrupt:
            return 130  # pressed again while the first was answered


def _main(given: list[str]) -> int:
    try:
        code = app(args=given or ["--help"], prog_name="marginflow", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:
            return _interrupted("")
        return code if isinstance(code, int) else 0
    except (InputError, UndefinedError) as error:
        return _complain(str(error))
    except TyperException as error:
        return _complain(f"{error.format_message()} (see marginflow --help)")
    except (typer.Abort, KeyboardInterrupt, _Interrupted) as stop:
        return _interrupted(str(stop))
    except BrokenPipeError:
        # The reader went away (marginflow ... | head): leave without a traceback, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _complain(f"{error.filename or 'file'}: {error.strerror or error}; check the path and the disk")
    except MemoryError:
        return _complain("out of memory; use a smaller problem")


def _complain(message: str) -> int:
    _say(message)
    return 2


def _interrupted(said: str) -> int:
    _say(f"interrupted; {said or 'the answer was not printed'}")
    return 130


def _say(message: str) -> None:
    print("marginflow: " + " ".join(message.split()), file=sys.stderr)
