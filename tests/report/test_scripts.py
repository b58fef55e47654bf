"""The parser of `make lint` reads the language that the pages use, and notices what breaks a page."""

import importlib.util
from pathlib import Path

import pytest


FILE = Path(__file__).parents[2] / "tools" / "parse_javascript.py"


@pytest.fixture(scope="module")
def lint():
    spec = importlib.util.spec_from_file_location("parse_javascript", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_parses_and_is_in_a_page(lint, capsys):
    assert lint.main() == 0
    assert "scripts parse" in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [
        "const a = {...b}; let c = a?.b ?? 1;",
        "const s = `a${1}`; for (const [k, v] of Object.entries({})) {}",
        "x ??= 2n;",
    ],
)
def test_the_language_of_the_pages(lint, code):
    assert lint.error_in("let x, b;\n" + code) == ""


@pytest.mark.parametrize(
    "code",
    ["const a = 1; const a = 2;", "let x = [1,,;", "function f() { return 1 +; }", "if (a { }", "`${`", "a?.b = 1;"],
)
def test_errors_are_named(lint, code):
    assert "SyntaxError" in lint.error_in(code)


def test_a_broken_file_fails_the_lint(lint, tmp_path, monkeypatch, capsys):
    (tmp_path / "report" / "assets").mkdir(parents=True)
    (tmp_path / "report" / "assets" / "page.js").write_text("function f( {")
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    monkeypatch.setattr(lint, "PAGES", {"run report": ("report/assets/page.js",)})
    assert lint.main() == 1
    assert "page.js: SyntaxError" in capsys.readouterr().out
