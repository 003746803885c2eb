"""How pages look, on light and dark screens and on paper, and the scripts of their charts."""

from hbmopt.report.html.dark import DARK_CHARTS, NIGHT, PAPER
from hbmopt.report.html.drawing import DRAWING

COLOURS = f"""
:root {{ color-scheme: light; --paper: {PAPER}; --ink: #1d1d1f; --grey: #5c5c60; --line: #d9d9de;
  --blue: #0072b2; --pale: #f4f6f9; --warm: #fdf3ec; --warning: #d55e00; }}
@media screen and (prefers-color-scheme: dark) {{
:root {{ color-scheme: dark; --paper: {NIGHT}; --ink: #e9e9ec; --grey: #b0b0b6; --line: #3c3d43;
  --blue: #6cb8f0; --pale: #24262b; --warm: #33251c; --warning: #f08a48; }}
{DARK_CHARTS}
svg.marks {{ background: none !important; }}
#vg-tooltip-element.vg-tooltip, .vega-embed .vega-actions {{ color: var(--ink) !important;
  background: var(--pale) !important; border-color: var(--line) !important; }}
#vg-tooltip-element.vg-tooltip table tr td.key {{ color: var(--grey); }}
.vega-embed .vega-actions::before, .vega-embed .vega-actions::after {{
  display: none !important; }}
.vega-embed .vega-actions a:hover {{ background: var(--line) !important; }}
.vega-embed .vega-actions a {{ color: var(--ink) !important; }}
.vega-embed summary {{ background: var(--pale) !important; color: var(--ink) !important;
  border-color: var(--line) !important; }}
}}
"""
"""Colours by what they are for; in the dark those of the charts as well."""

STYLE = (
    COLOURS
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 3rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; padding-top: .7rem; border-top: 1px solid
  var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--blue); }
.remark, figcaption { color: var(--grey); font-size: .9rem; max-width: 46rem; }
.lead { font-size: 1.15rem; }
nav ul { list-style: none; margin: .8rem 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: .2rem 1rem; font-size: .9rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.figures div { background: var(--pale); border-radius: .4rem; padding: .6rem .8rem;
  overflow-wrap: anywhere; }
.figures dt { color: var(--grey); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.1rem; font-weight: 600; }
.figures dd.remark { font-size: .8rem; font-weight: 400; }
figure { margin: .6rem 0; }
.scrolled, .chart:not(.vega-embed) { overflow-x: auto; }
.chart svg.marks { max-width: 100%; height: auto; }
.chart.vega-embed { display: block; }
.chart.vega-embed.has-actions { padding-right: 0; }
.chart.vega-embed summary { top: -2rem; right: 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--grey); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
thead .number { white-space: normal; }
.binds { font-weight: 600; }
.bar { display: inline-block; height: .8em; background: var(--blue);
  width: max(.05rem, calc(12rem * var(--share))); }
code { font-size: .85em; overflow-wrap: anywhere; }
.conflict { border-left: .3rem solid var(--warning); background: var(--warm); padding: .6rem 1rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--blue); }
li { max-width: 46rem; }
footer { margin-top: 2.5rem; color: var(--grey); font-size: .85rem; border-top: 1px solid
  var(--line); padding-top: .6rem; }
@media screen and (max-width: 44rem) {
  .bar { width: max(.05rem, calc(4rem * var(--share))); }
  .named, .named tbody, .named tr, .named th, .named td { display: block; }
  .named thead, .named td:empty { display: none; }
  .named tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .named th, .named td { border: 0; padding: 0; text-align: left; white-space: normal; }
  .named td[data-name]::before { content: attr(data-name) ": "; color: var(--grey); }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .vega-embed details { display: none; }
  table { font-size: 8pt; }
  figure, tr, li, .figures div, .conflict { break-inside: avoid; }
  h2, h3, thead, summary, figcaption { break-after: avoid; }
  footer, figcaption, .lead + * { break-before: avoid; }
  p, li, td { orphans: 3; widows: 3; }
  .scrolled, .chart, .chart:not(.vega-embed) { overflow: visible; }
  .chart svg.marks, .chart img { max-width: 100%; max-height: 22cm; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .figures div, .bar, .conflict { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
)

SCRIPT = (
    DRAWING
    + """
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const specification = JSON.parse(figure.querySelector("script").textContent);
  keep(figure.querySelector(".chart"), specification).then(() => {
    figure.dataset.chart = "drawn";
  });
}
"""
)
"""Each figure holds a specification, and a picture of it that stays where scripts do not run."""

PRINTING = """
const closed = () => [...document.querySelectorAll("main details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => {
  opened = closed();
  for (const one of opened) { one.open = true; }
});
addEventListener("afterprint", () => { for (const one of opened) { one.open = false; } });
"""
"""Nothing is folded away in print, in browsers as well that know no style for it."""

CHART_STYLE = (
    COLOURS
    + """
body { margin: 0; background: var(--paper); }
#chart { display: block; width: 100%; }
#chart.has-actions { padding-right: 0; }
svg.marks { max-width: 100%; height: auto; }
@media print { .vega-embed details { display: none; } }
"""
)

CHART_SCRIPT = (
    DRAWING
    + """
const specification = JSON.parse(document.querySelector("#specification").textContent);
await keep(document.querySelector("#chart"), specification);
"""
)
"""A file of one chart, which states itself how it is embedded."""
