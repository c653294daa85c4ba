"""FSRF at its default options once more, as an ordinary PyTorch program.

Written from docs/method.md and docs/losses.md with PyTorch's own layers, so that it serves twice:
as a second proof of the mathematics (tests/methods/test_torch_twin.py), and as what the benchmarks
compare with. Axis letters are those of `fsrf_jax.types`; n counts pairs or modalities that a loss
takes at once.
"""
