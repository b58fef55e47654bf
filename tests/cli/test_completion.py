"""Shells complete the words that options take: asked as bash, zsh and fish ask, and each word is one that is parsed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from marginflow.claims.registry import listing
from marginflow.cli import completion
from marginflow.cli.main import main
from marginflow.figures.runs import KINDS
from marginflow.losses.registry import LOSSES, parse_output_loss
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.norms import parse_norm
from marginflow.optim.decay import parse_decay
from marginflow.optim.rate import parse_rate
from marginflow.optim.registry import OPTIMISERS, parse_optimiser
from marginflow.problem.named import FAMILIES, family_of
from marginflow.study.engines.choose import ENGINES


def asked(capsys, monkeypatch, *words, shell="fish"):
    """What a shell is answered when the last of `words` is being typed."""
    monkeypatch.setenv("_MARGINFLOW_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", " ".join(["marginflow", *words]))
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    return [line for line in capsys.readouterr().out.splitlines() if line]


@pytest.mark.parametrize(
    "words, expected",
    [
        (("flow", "angle", "-p", ""), PARAMETERIZATIONS),
        (("attractors", "angle", "--parameterization", "diag"), ["diag-kq", "diag"]),
        (("svm", "angle", "--norm", "n"), ["nuclear"]),
        (("svm", "angle", "--norm", "entry-"), ["entry-l1", "entry-linf", "entry-lp:3"]),
        (("describe", "angle", "--loss", ""), [*LOSSES, "cross-entropy:smoothing=0.1"]),
        (("flow", "angle", "--loss", "logi"), ["logistic"]),
        (("descend", "angle", "--optimizer", ""), OPTIMISERS),
        (("descend", "angle", "--optimizer", "adam:b1=0.8,b"), ["adam:b1=0.8,b2=0.999"]),
        (("descend", "angle", "--decay", "l"), ["l2:0.001"]),
        (("figure", "a.npz", "--kind", ""), KINDS),
        (("study", "run", "plan.toml", "--engine", ""), ENGINES),
        (("svm", "nothing-of-this-name"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_words_of_options(capsys, monkeypatch, words, expected):
    assert asked(capsys, monkeypatch, *words) == list(expected)


@pytest.mark.parametrize("verb", ["describe", "svm", "flow", "descend", "attractors"])
def test_data_are_named_problems_and_files(capsys, monkeypatch, tmp_path, verb):
    monkeypatch.chdir(tmp_path)
    np.savez("gathered.npz", X=0)
    assert asked(capsys, monkeypatch, verb, "") == [*FAMILIES, "gathered.npz"]
    assert asked(capsys, monkeypatch, verb, "ga") == ["gaussian", "gathered.npz"]
    assert asked(capsys, monkeypatch, verb, "sphere:n=3,") == [
        "sphere:n=3,T=8",
        "sphere:n=3,d=10",
        "sphere:n=3,seed=0",
        "sphere:n=3,dz=0",
    ]


def test_claims_come_with_their_statements(capsys, monkeypatch):
    found = asked(capsys, monkeypatch, "claims", "")
    assert [line.split("\t")[0] for line in found] == [c.name for c in listing()]
    for line, claim in zip(found, listing(), strict=True):
        said = line.split("\t")[1].removesuffix(" [...]").strip()
        assert len(said) > 40 and " ".join(claim.statement.split()).startswith(said)


def test_zsh_is_answered_in_its_words(capsys, monkeypatch):
    assert "trap\\\\:finite" in "".join(asked(capsys, monkeypatch, "svm", "trap", shell="zsh"))


def test_every_word_offered_is_one_that_is_parsed():
    assert [parse_norm(word) for word in completion.norms("")]
    assert [parse_output_loss(word) for word in completion.losses("")]
    assert [parse_rate(word) for word in completion.rates("")]
    assert [parse_decay(word) for word in completion.decays("")]
    for name in FAMILIES:
        for word in completion.data(f"{name}:"):
            assert family_of(word)[0] == (word if word in FAMILIES else name)
    for word in OPTIMISERS:
        offered = completion.optimisers(f"{word}:")
        assert all(type(parse_optimiser(line)) is type(parse_optimiser(offered[0])) for line in offered)


BASH = """
source <(_MARGINFLOW_COMPLETE=source_bash marginflow)
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
    _marginflow_completion marginflow
    echo "${COMPREPLY[*]}"
}
ask marginflow svm trap
ask marginflow svm trap : fi
ask marginflow svm angle --norm = n
ask marginflow descend angle --optimizer = adam : b1 = 0.9,b2
ask marginflow svm orthogonal :
"""


def test_bash_replaces_only_the_piece_after_a_colon_or_an_equals_sign(tmp_path):
    """Bash hands trap:fi over as three words and puts the answer in place of the last of them."""
    command = tmp_path / "marginflow"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m marginflow "$@"\n')
    command.chmod(0o755)
    where = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", BASH], env=where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "trap:finite trap:infinity",
        "finite",
        "nuclear",
        "0.9,b2=0.999",
        "n=2 strength=1.0",
    ]
