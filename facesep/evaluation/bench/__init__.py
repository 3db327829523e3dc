"""Timings: the steps from a photo to a picture, forms of computing a model, and how cost grows with size."""
