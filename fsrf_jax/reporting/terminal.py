"""Tables on the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table as TerminalTable
from rich.text import Text

from fsrf_jax.evaluation.results import Results
from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.results_tables import brief_tables, main_table


def terminal_results(results: Results) -> Group:
    """Lay results out for `rich.print`; fits 80 columns with three modalities."""
    return terminal_tables([main_table(results, brief=True), *brief_tables(results)])


def terminal_tables(tables: list[Table]) -> Group:
    """Lay tables out for `rich.print`, one below the other."""
    parts: list[RenderableType] = []
    for table in tables:
        parts += [Text(), Text(table.caption, style="bold"), Text(), _table(table), Text()]
        parts.append(Text("\n".join(table.notes), style="dim"))
    return Group(*parts[1:])


def _table(table: Table) -> TerminalTable:
    drawn = TerminalTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="right" if index else "left", no_wrap=True)
    plain = len(table.rows) - table.strong
    for index, row in enumerate(table.rows):
        if index == plain:
            drawn.add_row()
        marked = row[0].endswith(")")
        style = "bold" if index >= plain else "dim" if marked else None
        drawn.add_row(*map(Text, row), style=style)
    return drawn
