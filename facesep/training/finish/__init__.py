"""Training of the Finish network: pairs of drafts and truths from single photos, batches, losses."""
