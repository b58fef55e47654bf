"""The optimum over attention itself, before training: which tokens share it, and how (theory 10)."""
