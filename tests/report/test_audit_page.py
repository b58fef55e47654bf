"""The page of an audit: sentences without scripts, a map, a table that sorts, nothing to load, nothing injected."""

import pytest
from own_logits import write_stored
from stored_families import stored

import marginflow as mf
from marginflow.cli.main import main
from marginflow.report.audit_page import build_audit_report


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audits")
    files = []
    for name in ("gpt2", "llama"):
        (folder / name).mkdir()
        files.append(folder / f"{name}.npz")
        mf.audit(write_stored(stored(name), folder / name), controls=6).save(files[-1])
    return files


@pytest.fixture(scope="module")
def page(saved):
    out = saved[0].parent / "report.html"
    assert main(["report", *map(str, saved), "-o", str(out)]) == 0
    return out


def test_the_page_says_everything_without_scripts(page, saved):
    text = page.read_text()
    for file in saved:
        audit = mf.Audit.load(file)
        assert f"{audit.family}: {len(audit)} heads" in text
        assert f"law {audit.law}" in text
    assert text.count("<tr data-place=") == sum(len(mf.Audit.load(file)) for file in saved)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_opens_sorts_and_shows_a_head(page, chromium, width, theme):
    tab = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(page.as_uri())
    assert tab.locator("#map-frame rect").count() == 8
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.select_option("#checkpoint", "1")
    tab.select_option("#head", "3")
    assert "Head 0.3" in tab.locator("#detail h3").inner_text()
    assert tab.locator("#detail details").count() == 1  # the rotated pairs of a rotary head
    heading = tab.locator("#table-1 thead button").nth(4)
    for falling in (True, False):
        heading.click()
        cells = tab.locator("#table-1 tbody tr td:nth-child(5)")
        shown = [float(cells.nth(i).get_attribute("data-value")) for i in range(cells.count())]
        assert shown == sorted(shown, reverse=falling)
    tab.locator("#table-0 tbody button").nth(5).click()
    assert "Head 1.1" in tab.locator("#detail h3").inner_text()
    tab.select_option("#against", "value")
    assert not errors
    tab.close()


def test_names_are_escaped(saved, tmp_path):
    audit = mf.Audit.load(saved[0])
    object.__setattr__(audit, "source", "</script><script>alert(1)</script>")
    build_audit_report([audit], tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "<script>alert" not in text


def test_runs_and_audits_do_not_mix(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["flow", "angle", "--save", "run.npz"]) == 0
    capsys.readouterr()
    assert main(["report", "run.npz", str(saved[0]), "-o", "out.html"]) == 2
    assert "one kind" in capsys.readouterr().err and not (tmp_path / "out.html").exists()
