"""Bricks that methods are built of: stateless Flax modules, arrays in and arrays out."""
