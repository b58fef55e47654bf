"""The page of attractors: the list's own sentence, every end with its numbers, one chosen; what is left open said."""

import dataclasses
import re

import pytest
from opened import Opened

from marginflow.attractors.find import attractors
from marginflow.cli.main import main
from marginflow.problem.named import load
from marginflow.problem.problem import Problem
from marginflow.report.attractors_page import MOST, build_attractors_report, names, render


@pytest.fixture(scope="module")
def found():
    return attractors(load("trap:infinity"), "w", sample=6, scales=(1.0, 4.0), until_margin=100.0)


def test_the_first_line_is_the_lists_own_sentence(found):
    text = render(found, "")
    said = re.search(r'<h1 class="said">(.*?)</h1>', text)[1]
    assert said.lower().startswith(found.sentence)
    best = next(end for end in found.attractors if end.optimal)
    assert said.endswith(f"Of 12 sampled starts {sum(s.count for s in best.shares)} met the minimal loss.")
    assert names(found.attractors) == ["minimal loss", "trap 1"] and text.count("data-end=") == 2


def test_what_the_list_leaves_open_is_said(found):
    open_ended = dataclasses.replace(found, complete=False, incomplete_because=("the limit was met",), infinite=False)
    text = render(open_ended, "")
    assert "looked at; the list may be incomplete." in text and "the list is complete" not in text
    assert "The list may be incomplete: the limit was met." in text
    assert "Ends at finite weights, or with attention shared among tokens, are not excluded" in text
    assert "Ends at finite weights" not in render(found, "")
    many = dataclasses.replace(found, attractors=found.attractors * MOST)
    assert f"The page shows {MOST} of {len(many)} ends" in render(many, "")


@pytest.mark.browser
def test_a_row_is_chosen_in_the_map_and_in_the_table(found, chromium, tmp_path):
    file = tmp_path / "a.html"
    build_attractors_report(found, file, "marginflow attractors trap:infinity")
    opened = Opened(chromium, file)
    assert opened.text("#detail").startswith("minimal loss\n\nEvery sample ends on its optimal token.")
    opened.page.locator("button[data-end='1']").click()
    trap = found.attractors[1]
    wrong = [i for i, token in enumerate(trap.selected) if token != found.problem.optimal[i]]
    assert opened.page.locator("#map-frame rect.wrong").count() == len(wrong)
    assert f"sample {wrong[0]} on token {trap.selected[wrong[0]]} in place of" in opened.text("#detail")
    assert opened.page.locator("#panel .between").count() == 1
    command = opened.text("#detail pre")
    opened.close(file)
    assert main(command.split()[1:]) == 0


def test_names_from_data_are_text(tmp_path):
    p = load("trap:infinity")
    evil = "</script><script>alert(1)</script>"
    text = render(attractors(Problem(p.X, p.z, p.scores, name=evil), "w"), evil)
    assert "<script>alert" not in text


@pytest.fixture(scope="module")
def heads():
    return attractors(load("heads:n=3,T=4,d=5,H=2,seed=5"), "w", sample=3, scales=(0.3, 3.0), until_margin=100.0)


def test_several_heads_are_the_product_of_their_lists(heads):
    text = render(heads, "")
    ways = [len(own) for own in heads.heads]
    assert heads.count == ways[0] * ways[1] > max(ways)
    assert f"{ways[0]} × {ways[1]} = {heads.count} ends" in text and text.count("data-end=") == min(heads.count, MOST)
    by_head = re.search(r'id="by-head".*?</section>', text, re.S)[0]
    assert by_head.count("<tr>") - 1 == sum(ways)
    assert f"{heads.count} ends among" in text and "Of 6 sampled starts" in text
    for end in heads.attractors[:3]:
        assert ",".join(map(str, end.selected.tolist())) in text or end.optimal
    # What is too much to write out is counted exactly, and the page says what it shows.
    import marginflow.attractors.product as product

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(product, "LISTED", 1)
        few = dataclasses.replace(heads)
        assert not few.listed
        said = render(few, "")
        assert f"There are {heads.count} ends, every combination" in said
        assert said.count("data-end=") == len(few.attractors) < heads.count


@pytest.mark.browser
def test_curves_of_ends_have_colours_of_their_own(found, chromium, tmp_path):
    """Whichever of many ends is chosen, no two curves drawn look alike."""
    best, trap = found.attractors
    file = tmp_path / "many.html"
    build_attractors_report(dataclasses.replace(found, attractors=(best, *[trap] * 9)), file, "")
    opened = Opened(chromium, file)
    for k in (0, 8):
        opened.page.locator(f"button[data-end='{k}']").click()
        looks = opened.page.evaluate(
            "[...document.querySelectorAll('#panel path.curve')].map((one) => "
            "[...one.classList].find((name) => name.startsWith('word-')))"
        )
        assert len(looks) >= 7 and len(set(looks)) == len(looks), looks
    opened.close(file)


@pytest.mark.browser
def test_rows_of_a_head_stand_beside_each_other(heads, chromium, tmp_path):
    file = tmp_path / "heads.html"
    build_attractors_report(heads, file, "marginflow attractors heads")
    opened = Opened(chromium, file)
    names = opened.page.locator("#map-frame text").evaluate_all("(all) => all.map((one) => one.textContent)")
    assert [name for name in names if name.startswith("head")] == ["head 0", "head 1"]
    head = heads.problem.head
    order = [int(name) for name in names if name.isdigit()][: heads.problem.n]
    assert [head[i] for i in order] == sorted(head)
    opened.page.locator("button[data-end='1']").click()
    command = opened.text("#detail pre")
    opened.close(file)
    assert main(command.split()[1:]) == 0
