"""Tabs of the page, one a file: a class that lays the tab out, with its events as methods."""
