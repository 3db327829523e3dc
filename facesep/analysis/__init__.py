"""Closed-form analysis of photos with an open morphable model: labels that pretrain the heads."""
