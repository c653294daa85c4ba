"""FSRF in JAX: sentiment from language, audio and vision when parts of the input are missing."""
