"""Figures of predictions and labels, by form of the label, and how sure they are."""
