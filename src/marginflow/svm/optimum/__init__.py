"""What holds of the optimum: rank, radius, uniqueness."""
