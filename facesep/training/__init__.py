"""Losses, labels and the alternating training."""
