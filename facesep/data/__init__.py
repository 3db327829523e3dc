"""From photos to shards and back."""
