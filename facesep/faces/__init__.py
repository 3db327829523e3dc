"""From a photo to the canonical face: detection, five points, crop."""
