"""What is trained: weights from arrays, logits from weights, a loss of the logits, and back."""
