"""A report on finished runs: one document, written as HTML and as Markdown."""
