"""Claims of faces on one problem of each kind."""

from marginflow.claims import faces


def one_of_each(monkeypatch) -> None:
    """The first next-token set, and the first problem of each loss."""
    monkeypatch.setattr(faces, "EVERY", faces.EVERY[:1])
    monkeypatch.setattr(faces, "CYCLIC", faces.CYCLIC[:1])
    monkeypatch.setattr(faces, "CLASSES", {word: names[:1] for word, names in faces.CLASSES.items()})
