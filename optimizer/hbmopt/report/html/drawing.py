"""The script that draws charts in a page, as wide as their place, whatever the width and font."""

DRAWING = """
const NARROW = 560, LEAST = 120, SIZE = 12, ROW = 46;
const pen = document.createElement("canvas").getContext("2d");
// How wide a text is in the font that the reader has.
function wide(text, font, size = SIZE, weight = "normal") {
  pen.font = `${weight} ${size}px ${font}`;
  return pen.measureText(text).width;
}
function wrapped(lines, room, measure) {
  const found = [];
  for (const line of lines) {
    let held = "";
    for (const word of line.split(" ")) {
      const more = held ? `${held} ${word}` : word;
      if (held && measure(more) > room) { found.push(held); held = word; } else { held = more; }
    }
    found.push(held);
  }
  return found;
}
// Panels are charts with a width: the whole, or each of several under each other.
const panels = (whole) => whole.vconcat ?? [whole];
const layers = (whole) => panels(whole).flatMap((panel) => panel.layer);
const rows = (whole, data) => data.values ?? whole.datasets[data.name];
function legends(whole) {
  return layers(whole).flatMap((layer) => Object.values(layer.encoding ?? {}))
    .map((channel) => channel?.legend).filter(Boolean);
}
function axes(whole) {
  return layers(whole).flatMap((layer) => [layer.encoding?.x?.axis, layer.encoding?.y?.axis])
    .filter(Boolean);
}
// Names of rows take the width of a narrow chart, so they stand above their bars.
function named(panel, room, font) {
  for (const { encoding } of panel.layer) {
    const y = encoding?.y;
    if (!Array.isArray(y?.sort) || encoding.x?.type === "ordinal") { continue; }
    if (Math.max(...y.sort.map((name) => wide(name, font))) < room / 4) { continue; }
    const count = y.sort.length;
    panel.height = ROW * count;
    y.title = null;
    y.scale = { ...y.scale, paddingInner: 0.45, paddingOuter: 0.42 };
    const band = panel.height / (count - 0.45 + 2 * 0.42) * 0.55;
    y.axis = { ...y.axis, labelAlign: "left", labelBaseline: "bottom", labelPadding: -3,
      labelOffset: -band / 2 - 1, ticks: false };
  }
}
// A copy of a chart whose plots are so wide, with what its place has no room for elsewhere.
function shaped(source, width, room) {
  const whole = structuredClone(source), narrow = room < NARROW;
  const font = whole.config.font, natural = panels(source)[0].width;
  for (const panel of panels(whole)) {
    panel.width = width;
    panel.layer = panel.layer.filter(({ name }) => !name?.endsWith(narrow ? "_wide" : "_narrow"));
    if (narrow) { named(panel, room, font); }
    for (const { name, mark, encoding } of panel.layer) {
      if (mark.type === "bar" && mark.size) { mark.size *= width / natural; }
      if (!encoding?.x?.sort || !encoding.y?.sort) { continue; }
      // Cells of a heat map: square hatching, and numbers where all of them have room.
      const cell = Math.min(width / encoding.x.sort.length, panel.height / encoding.y.sort.length);
      if (name === "hatching") { mark.size = (cell - 4) ** 2; }
      if (cell - 4 < Math.max(...encoding.x.sort.map((text) => wide(text, font)))) {
        encoding.x.axis.labelAngle = -45;
      }
    }
    panel.layer = panel.layer.filter(({ name, encoding, data }) => !name?.startsWith("numbers") ||
      rows(whole, data ?? panel.data ?? whole.data).every(({ text }) =>
        wide(text, font, 11) < width / encoding.x.sort.length - 2));
  }
  for (const axis of axes(whole)) {
    if (!axis.labelBaseline) { Object.assign(axis, { labelOverlap: true, labelSeparation: 3 }); }
  }
  if (narrow) {
    for (const legend of legends(whole)) {
      if (Array.isArray(legend.title)) { legend.title = legend.title.join(" "); }
      if (legend.title) {
        legend.title = wrapped([legend.title], room - 10, (text) => wide(text, font));
      }
      if (legend.gradientLength) { legend.gradientLength = Math.min(legend.gradientLength, width); }
      legend.direction = legend.gradientLength ? "horizontal" : "vertical";
      if (legend.orient !== "top") { legend.orient = "bottom"; }
    }
    whole.config.legend.layout = { bottom: { anchor: "start", direction: "vertical" } };
  }
  for (const panel of panels(whole)) {
    for (const { encoding } of panel.layer) {
      for (const [channel, space] of [[encoding?.x, room - 20], [encoding?.y, panel.height]]) {
        if (channel?.title && wide(channel.title, font, 13) > space) {
          channel.title = wrapped([channel.title], space, (text) => wide(text, font, 13));
        }
      }
    }
  }
  const title = whole.title;
  if (title?.text) {
    const space = room - 24;
    title.text = wrapped([title.text.join(" ")], space - 40,
      (text) => wide(text, font, 16, "bold"));
    if (title.subtitle) {
      // A line that ends no sentence was broken for the width of the picture.
      const lines = title.subtitle.join("\\n").replace(/([^.?!])\\n/g, "$1 ").split("\\n");
      title.subtitle = wrapped(lines, space, (text) => wide(text, font));
    }
  }
  return whole;
}
// Of numbers and names that touch, in whatever font, the later ones are left out; hovers have all.
function decluttered(place) {
  const kept = [];
  for (const text of place.querySelectorAll("svg.marks .mark-text text")) {
    if (!text.textContent.trim()) { continue; }
    const box = text.getBoundingClientRect();
    const touches = kept.some((other) => box.left < other.right + 2 && other.left < box.right + 2 &&
      box.top + 2 < other.bottom - 2 && other.top + 2 < box.bottom - 2);
    if (touches) { text.setAttribute("visibility", "hidden"); } else { kept.push(box); }
  }
}
const drawnAs = new Map();
async function draw(place, source) {
  const room = place.clientWidth, most = panels(source)[0].width;
  // A chart of few columns stays as narrow as it is; all others grow with the page.
  const limit = most < 600 ? most : Infinity;
  let width = Math.min(room * 0.75, limit), view = null;
  for (let turn = 0; turn < 4; turn += 1) {
    view?.finalize();
    view = await vegaEmbed(place, shaped(source, width, room), {
      renderer: "svg", actions: { export: true, source: false, editor: false }
    });
    const picture = place.querySelector("svg.marks");
    const better = Math.min(Math.max(width + room - picture.width.baseVal.value, LEAST), limit);
    if (Math.abs(better - width) < 1) { break; }
    width = Math.floor(better);
  }
  drawnAs.get(place)?.view?.finalize();
  drawnAs.set(place, { room, view });
  decluttered(place);
  place.dataset.drawn = String(room);
}
// Draws a chart, and again whenever its place gets another width.
async function keep(place, source) {
  let busy = Promise.resolve();
  await draw(place, source);
  new ResizeObserver(() => {
    busy = busy.then(async () => {
      if (place.clientWidth > 0 && place.clientWidth !== drawnAs.get(place).room &&
          !matchMedia("print").matches) { await draw(place, source); }
    });
  }).observe(place);
}
"""
"""`keep(place, specification)`: layers named ``_wide`` or ``_narrow`` are for such places alone."""
