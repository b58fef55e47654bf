"""The gallery's page with its figures, drawn when the site is built."""

from pathlib import Path


def write_gallery(folder: Path) -> None:
    """docs/gallery.md below `folder`, with the figures that `marginflow gallery` draws."""
    page = folder / "docs" / "gallery.md"
    if not page.exists():
        page.write_text("# Gallery\n\nThe figures of the field with their certificates.\n")
