"""The report: saved runs as one self-contained page, and figures for papers."""
