"""How pages look, and the scripts that draw their charts."""

STYLE = """
:root { --ink: #1d1d1f; --grey: #5c5c60; --line: #d9d9de; --blue: #0072b2; --pale: #f4f6f9; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 3rem; color: var(--ink);
  background: #fff; font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial,
  sans-serif; }
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
.figures div { background: var(--pale); border-radius: .4rem; padding: .6rem .8rem; }
.figures dt { color: var(--grey); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.1rem; font-weight: 600; }
.figures dd.remark { font-size: .8rem; font-weight: 400; }
figure { margin: .6rem 0; }
.chart, .scrolled { overflow-x: auto; }
.scrolled thead .number { white-space: normal; }
.chart svg, .chart img { max-width: 100%; height: auto; }
.chart.wide svg { max-width: none; }
.chart.vega-embed { display: block; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--grey); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
.binds { font-weight: 600; }
.bar { display: inline-block; height: .8em; background: var(--blue);
  width: max(.05rem, calc(12rem * var(--share))); }
code { font-size: .85em; overflow-wrap: anywhere; }
.conflict { border-left: .3rem solid #d55e00; background: #fdf3ec; padding: .6rem 1rem; }
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
  figure, tr, .figures div, .conflict { break-inside: avoid; }
  h2, h3, thead { break-after: avoid; }
  .chart, .scrolled { overflow: visible; }
  .figures div, .bar, .conflict { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
const drawn = document.querySelectorAll("figure[data-chart]");
// A chart that is wider than the page gets narrower panels, and its legend below.
function narrowed(node, width) {
  if (Array.isArray(node)) { node.forEach((one) => narrowed(one, width)); return; }
  if (node === null || typeof node !== "object") { return; }
  for (const [key, value] of Object.entries(node)) {
    if (key === "width" && typeof value === "number") { node.width = width; }
    else if (key === "axis" && value) { value.labelOverlap = true; }
    else if (key === "legend" && value) {
      value.orient = "bottom";
      value.direction = "vertical";
      if (Array.isArray(value.title)) { value.title = value.title.join(" "); }
    } else if (key !== "values" && key !== "datasets") { narrowed(value, width); }
  }
}
async function draw(figure) {
  const specification = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".chart");
  const least = Number(figure.dataset.least);
  if (place.clientWidth < Number(figure.dataset.width)) {
    const width = Math.max(place.clientWidth - 90, least);
    narrowed(specification, width);
    place.classList.toggle("wide", width === least);
  }
  await vegaEmbed(place, specification, {
    renderer: "svg", actions: { export: true, source: false, editor: false }
  });
  figure.dataset.chart = "drawn";
}
for (const figure of drawn) { draw(figure); }
"""
"""Each figure holds a specification, and a picture of it that stays where scripts do not run."""

CHART_STYLE = "body { margin: 0; background: #fff; }"

CHART_SCRIPT = """
const specification = JSON.parse(document.querySelector("#specification").textContent);
await vegaEmbed("#chart", specification);
"""
"""A file of one chart, which states itself how it is embedded."""
