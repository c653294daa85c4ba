"""Words and pictures: tables, plots and reports of results; nothing is measured here."""
