"""The colours of pictures where the ground is light, by the name of the page's variable."""

COLOURS = {
    "ground": "#ffffff",
    "ink": "#1c1f23",
    "soft": "#5b636d",
    "line": "#d8dce1",
    **{"c0": "#0072b2", "c1": "#c25400", "c2": "#00805c"},
    **{"c3": "#a0447c", "c4": "#6b5b00", "c5": "#444b54"},
}
