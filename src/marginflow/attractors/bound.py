"""Margins over all optima: in the SVM room, where the verdict of a flow finds them too."""

from marginflow.svm.optimal_margins import OptimalMargins as OptimalMargins
