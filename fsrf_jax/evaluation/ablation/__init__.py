"""Variants of a method side by side."""
