"""The package as a stranger gets it: built, checked, and installed clean on every Python that is here."""

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from pythons import USUAL, VERSIONS, interpreter


ROOT = Path(__file__).parents[2]
HERE = [version for version in VERSIONS if interpreter(version)]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """(wheel, sdist), built away from the tree."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-q", "--outdir", out, ROOT], check=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_index_would_take_the_files(files):
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout + done.stderr


def test_the_files_hold_what_they_should(files):
    wheel, source = files
    inside = zipfile.ZipFile(wheel).namelist()
    assert {"marginflow/__init__.py", "marginflow/py.typed", "marginflow/report/assets/page.js"} <= set(inside)
    assert not [name for name in inside if not name.startswith(("marginflow/", "marginflow-"))]
    assert sum("licenses/" in name for name in inside) >= 2
    names = {name.partition("/")[2] for name in tarfile.open(source).getnames()}
    assert {"README.md", "CITATION.cff", "hatch_build.py", "docs/theory.md", "tests/test_docs.py"} <= names


def test_the_metadata_says_what_it_is(files):
    wheel, _ = files
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    found = email.message_from_string(archive.read(name).decode())
    classifiers = found.get_all("Classifier")
    assert all(f"Programming Language :: Python :: {version}" in classifiers for version in VERSIONS)
    extras = {"paper", "dask", "parquet", "audit", "torch", "gpu", "notebook", "all"}
    assert extras <= set(found.get_all("Provides-Extra"))


RELATIVE = re.compile(r"\]\((?!https?:)|<img src=\"(?!https?:)")


def test_readme_reads_right_on_an_index(files):
    """No link and no picture that leads nowhere there, and the pages by their names."""
    wheel, _ = files
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    text = email.message_from_string(archive.read(name).decode()).get_payload()
    assert text.startswith("# marginflow") and RELATIVE.search((ROOT / "README.md").read_text())
    assert not RELATIVE.search(text) and "<!--" not in text
    assert "(docs/theory.md)" in text and "| **marginflow** |" in text


def test_readme_leads_to_the_site_where_there_is_one():
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = module_from_spec(spec)
    spec.loader.exec_module(hook)
    text = hook.for_index((ROOT / "README.md").read_text(), "https://example.org/mf/")
    assert not RELATIVE.search(text)
    assert "](https://example.org/mf/docs/theory.html)" in text
    assert '<img src="https://example.org/mf/_images/norms.svg">' in text


def test_there_is_the_python_that_must_be_here():
    assert USUAL in HERE


@pytest.mark.parametrize("version", HERE)
def test_the_wheel_works_alone(files, tmp_path, version):
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OPENBLAS_NUM_THREADS": "1"}

    def run(*command: object) -> str:
        words = list(map(str, command))
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=clean)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        return done.stdout

    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", files[0])
    imported = run(python, "-W", "error", "-c", IMPORT_ALL).split()
    assert len(imported) > 300 and all("site-packages" in path for path in imported)
    command = tmp_path / "venv" / "bin" / "marginflow"
    assert "report.html" in run(command, "demo", "--out", "out")
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    rows = json.loads(run(command, "gallery", "--json"))["rows"]
    assert rows and all(row["holds"] for row in rows), [row["name"] for row in rows if not row["holds"]]


IMPORT_ALL = """
import importlib, marginflow
from pkgutil import walk_packages
# Files of the extra [torch], and the one that runs the command line.
OTHERS = ("marginflow.torch", "marginflow.svm.scaling.torch_namespace", "marginflow.__main__")
for found in walk_packages(marginflow.__path__, "marginflow."):
    if not found.name.startswith(OTHERS):
        print(importlib.import_module(found.name).__file__)
"""
