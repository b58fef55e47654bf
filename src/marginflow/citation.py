"""What to cite, as text; CITATION.cff says the same to machines, and a test compares the two."""

from typing import Final


_PAPERS: Final = (
    (
        "sheen2024implicit",
        "Implicit Regularization of Gradient Flow on One-Layer Softmax Attention",
        ("Sheen", "Chen", "Wang", "Zhou"),
        "2403.08699",
    ),
    (
        "tarzanagh2023transformers",
        "Transformers as Support Vector Machines",
        ("Tarzanagh", "Li", "Thrampoulidis", "Oymak"),
        "2308.16898",
    ),
)
"""Key, title, families of the authors, number in the arXiv."""


def cite() -> str:
    """BibTeX entries: this version of the package, then the papers whose statements it tries (docs/theory.md 1, 2)."""
    from marginflow import __version__

    package = (
        "@software{marginflow,\n"
        "  title = {marginflow: which solution does training a softmax attention layer pick, and can we prove it?},\n"
        "  author = {{The marginflow developers}},\n"
        f"  version = {{{__version__}}}\n"
        "}\n"
    )
    return "\n".join([package, *(_paper(*paper) for paper in _PAPERS)])


def _paper(key: str, title: str, families: tuple[str, ...], number: str) -> str:
    return (
        f"@misc{{{key},\n"
        f"  title = {{{title}}},\n"
        f"  author = {{{' and '.join(families)}}},\n"
        f"  year = {{20{number[:2]}}},\n"
        f"  eprint = {{{number}}},\n"
        "  archivePrefix = {arXiv}\n"
        "}\n"
    )
