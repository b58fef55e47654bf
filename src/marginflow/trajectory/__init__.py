"""What was seen of a run: snapshots, how it was made, what it means, and its file."""
