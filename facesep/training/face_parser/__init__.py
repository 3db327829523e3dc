"""Training of the bundled face parser on annotated portraits."""
