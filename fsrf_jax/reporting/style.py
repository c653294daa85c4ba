"""How a page looks: one column, light or dark as the reader's system, tables in their own boxes.

Colours of the marks are those of Okabe and Ito (jfly.uni-koeln.de/color, 2008), which people with
any colour vision can tell apart, made lighter where the ground is dark; dashes and the forms of the
marks tell them apart in grey.
"""

COLOURS = {
    "ground": "#ffffff",
    "ink": "#1c1f23",
    "soft": "#5b636d",
    "line": "#d8dce1",
    **{"c0": "#0072b2", "c1": "#c25400", "c2": "#00805c"},
    **{"c3": "#a0447c", "c4": "#6b5b00", "c5": "#444b54"},
}
"""Those of pictures where the ground is light, by the name of the page's variable."""

STYLE = f"""\
:root {{ {" ".join(f"--{name}: {colour};" for name, colour in COLOURS.items())} }}
"""
STYLE += """\
:root { color-scheme: light dark; --box: #f5f6f8; --link: #0a58a8; }
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --ink: #e4e7ea; --soft: #a3acb6; --line: #373d44; --box: #1d2125;
    --link: #7db8ef;
    --c0: #56b4e9; --c1: #f0a05a; --c2: #3fc79a; --c3: #e29ac4; --c4: #d9c94a; --c5: #c0c7cf;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 {
  font-size: 1.25rem; margin: 2.5rem 0 .8rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line);
}
p, li { max-width: 46rem; }
p { margin: .5rem 0; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0; }
.scroll { overflow-x: auto; margin: 1rem 0 .4rem; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table {
  min-width: min(100%, 32rem); border-collapse: collapse;
  font-size: .9rem; font-variant-numeric: tabular-nums;
}
caption { text-align: left; font-weight: 600; padding-bottom: .35rem; font-size: 1rem; }
th, td { padding: .22rem .65rem; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); border-bottom: 1px solid var(--soft); vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--box); }
tbody + tbody th, tbody + tbody td { font-weight: 600; }
tbody + tbody tr:first-child > * { border-top: 1px solid var(--soft); }
ul.notes { margin: 0 0 1.2rem; padding-left: 1.1rem; color: var(--soft); font-size: .85rem; }
details { margin: .8rem 0; border: 1px solid var(--line); border-radius: 4px; padding: 0 .8rem; }
summary { cursor: pointer; padding: .45rem 0; }
pre {
  overflow-x: auto; background: var(--box); padding: .7rem .9rem; border-radius: 4px;
  font-size: .82rem; line-height: 1.4;
}
figure { margin: 1.2rem 0; }
figcaption { color: var(--soft); font-size: .88rem; max-width: 46rem; margin-top: .3rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .8rem; }
.panel { min-width: 0; max-width: 27rem; }
.panel .title { font-weight: 600; font-size: .88rem; margin: 0 0 .1rem; overflow-wrap: anywhere; }
.panel svg { display: block; width: 100%; height: auto; }
.legend {
  display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; padding: 0;
  margin: 0 0 .5rem; font-size: .88rem;
}
.legend svg { width: 2.6rem; height: .9rem; vertical-align: middle; }
svg text { font: 12.5px system-ui, sans-serif; }
svg path { stroke-linejoin: round; }
@media print {
  .panel { break-inside: avoid; }
  details { border: 0; }
  .scroll { overflow: visible; }
}
"""
