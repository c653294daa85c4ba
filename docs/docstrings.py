"""An extension of griffe, which reads docstrings for the API pages: habits of this project."""

import ast
import re

import griffe

EXAMPLE = re.compile(r"^( *)Example:$", re.M)


class Habits(griffe.Extension):
    """`Example:` is a section, and `from x import name as name` makes the name public."""

    def on_instance(self, *, obj, **_):
        """Call the section of an example as Google's style does, and hide what Python calls."""
        if obj.name.startswith("__"):
            obj.public = False
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_alias_instance(self, *, node, alias, **_):
        """Show what a package exports."""
        if isinstance(node, ast.ImportFrom):
            alias.public = any(name.asname == alias.name == name.name for name in node.names)
