"""Measures a checkpoint: metrics, references, intervals, tables, contact sheets and speed."""
