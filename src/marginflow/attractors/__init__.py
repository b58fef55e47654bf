"""Where training can end, before any training: `attractors(problem, parameterization)`."""

from marginflow.attractors.find import attractors as attractors
