from rich.console import Console

from fsrf_jax.reporting.document import Table
from fsrf_jax.reporting.terminal import terminal_tables


def test_names_that_look_like_markup_are_shown_as_they_are(capsys):
    table = Table("of [bold]", ["[red]", "[/]"], [["[/red]", "[1]"]], ["[/] a note"])
    Console(width=80).print(terminal_tables([table]))
    words = capsys.readouterr().out.split()
    assert words == ["of", "[bold]", "[red]", "[/]", "[/red]", "[1]", "[/]", "a", "note"]
