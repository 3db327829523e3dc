"""Ports of other projects' networks, in the layout of their official weights; ours are one folder up."""
