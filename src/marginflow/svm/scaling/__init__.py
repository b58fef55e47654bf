"""Row scaling of constraints."""
