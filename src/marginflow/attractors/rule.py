"""The rule lives in the SVM room, where the verdict of a flow finds it too."""

from marginflow.svm.stability import (
    Decision as Decision,
    Verdict as Verdict,
    decide as decide,
    tied_constraints as tied_constraints,
)
