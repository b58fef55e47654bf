"""What a study asks for: the plan, its cells, the code that answers."""
