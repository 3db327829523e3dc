"""Tabs of the page, each with its layout and its events; what they do is in plain functions elsewhere."""
