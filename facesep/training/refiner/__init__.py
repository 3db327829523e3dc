"""Training of a refiner: pairs of soft and sharp pictures, two networks, one loop."""
