"""Samples that are to be predicted: any readable data, with or without labels, some at a time."""
