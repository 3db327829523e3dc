"""Training of the bundled face finder and face pointer on composites of annotated portraits."""
