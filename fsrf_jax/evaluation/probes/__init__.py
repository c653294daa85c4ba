"""What the codes hold, and how close those of incomplete samples are to the complete ones."""
