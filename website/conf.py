"""Sphinx's settings. Nothing here names a host: the pages work from disk, and ask nobody for anything."""

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent))

from sphinx.ext.autodoc.mock import _MockObject

import marginflow


project = "marginflow"
author = "The marginflow developers"
version = release = marginflow.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_design",
    "mathml",
    "docstrings",
]
suppress_warnings = ["ref.python"]  # "Record" in a signature may be one of two classes; both have an entry
exclude_patterns = ["README.md"]  # its text is on the first page

myst_enable_extensions = ["dollarmath", "html_image", "colon_fence"]
myst_heading_anchors = 4
smartquotes = False  # W' is a transpose
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_in_temp = True

# Torch is 900 MB; the room that needs it is described without it.
autodoc_mock_imports = ["torch"]
_MockObject.__or__ = lambda self, other: self  # `torch.Generator | None`
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "marginflow"
html_static_path = ["style"]
html_css_files = ["marginflow.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # summaries are fetched, which a browser refuses from disk
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_nav_level": 1,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "The marginflow developers, MIT licence"
