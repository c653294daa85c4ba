"""The packages of the wheel; all else stands in pyproject.toml.

The folder configs/ is at the top, where people look for it, and has to be in the wheel. Only here
can one package be placed elsewhere and the others still be found by themselves.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fsrf_jax*"]), "fsrf_jax.configs"],
    package_dir={"fsrf_jax.configs": "configs"},
    package_data={
        "fsrf_jax": ["py.typed", "**/*.css", "**/*.jinja", "**/*.yaml"],
        "fsrf_jax.configs": ["**/*.yaml"],
    },
    include_package_data=False,
)
