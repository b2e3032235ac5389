// The script of a report: sorts, filters and copies the table of cells, draws the view of a cell when it is opened, and makes
// the graphs readable value by value. Text from outside enters the page as text only, never as markup.
"use strict";

// ---- elements

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A table in a box that scrolls by itself, also by keyboard.
function scrolled(table, words) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words }, table);
}

function tableOf(header, rows, caption) {
  const table = make("table", {});
  if (caption) table.append(make("caption", {}, caption));
  table.append(make("thead", {}, make("tr", {}, ...header.map((name) => make("th", { scope: "col" }, name)))));
  table.append(make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, text))))));
  return table;
}

// ---- light and dark

const theme = document.getElementById("theme");
const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.hidden = false;
nameTheme();
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});

// ---- the table of cells

// There is none where no repetition counts.
const table = document.getElementById("table");
const body = table && table.tBodies[0];
const told = document.getElementById("told");
const selects = [...document.querySelectorAll("#filters select")];

function sortBy(column) {
  const heading = table.tHead.rows[0].cells[column];
  const falls = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const before = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    // Entries without a value come last, in either direction.
    if (typeof a !== typeof b) return (typeof a === "number" ? -1 : 1) * (falls ? -1 : 1);
    return a.localeCompare(b, "en", { numeric: true });
  };
  const rows = [...body.rows].map((row) => [value(row), row]);
  rows.sort((a, b) => before(a[0], b[0]) * (falls ? -1 : 1));
  body.append(...rows.map(([, row]) => row));
}

function choose() {
  let shown = 0;
  for (const row of body.rows) {
    const fits = selects.every((select) => select.value === "" || row.cells[select.dataset.column].textContent === select.value);
    row.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  told.textContent = `${shown} of ${body.rows.length} rows`;
}

// As CSV a program reads it: numbers in base units, which the header names. As Markdown people do: the words of the page.
function copied(form) {
  const head = table.tHead.rows[0];
  const shown = [...body.rows].filter((row) => !row.hidden);
  const of = (row, words) => [...row.cells].slice(0, -1).map(words);
  if (form === "csv") {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const name = (cell) => cell.textContent.trim() + (cell.dataset.unit ? ` (${cell.dataset.unit})` : "");
    const value = (cell) => cell.dataset.v ?? (cell.classList.contains("n") ? "" : cell.textContent.trim());
    return [of(head, name), ...shown.map((row) => of(row, value))].map((row) => row.map(quoted).join(",")).join("\r\n");
  }
  const rows = [head, ...shown].map((row) => of(row, (cell) => cell.textContent.trim()));
  const line = (row) => `| ${row.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = [...table.tHead.rows[0].cells].slice(0, -1).map((cell) => (cell.classList.contains("n") ? "---:" : "---"));
  return [line(rows[0]), line(rule), ...rows.slice(1).map(line)].join("\n");
}

async function copy(form) {
  const text = copied(form);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A file that was opened from a disk may not use the clipboard; copying a selection works.
    const area = make("textarea", { readonly: "", class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  told.textContent = "Copied.";
  told.dataset.copied = text;
}

for (const button of document.querySelectorAll("#table .sort")) button.addEventListener("click", () => sortBy(Number(button.dataset.column)));
for (const select of selects) select.addEventListener("change", choose);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button.dataset.copy));

// ---- numbers on axes

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return found;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  return String(Number(value.toPrecision(3)));
}

// ---- small charts

const WIDE = 400;
const HIGH = 190;
const LEFT = 46;
const BOTTOM = 22;
const TOP = 8;

// A frame with axes; `x` and `y` turn values into places.
function frame(words, xs, ys, options) {
  const [low, high] = ys;
  const place = options.log ? Math.log10 : (value) => value;
  const y = (value) => HIGH - BOTTOM - ((place(value) - place(low)) / (place(high) - place(low) || 1)) * (HIGH - BOTTOM - TOP);
  const x = (value) => LEFT + ((value - xs[0]) / (xs[1] - xs[0] || 1)) * (WIDE - LEFT - 8);
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": words });
  for (const phase of options.phases || []) {
    const from = Math.max(x(phase[1]), LEFT);
    const fault = phase[0].startsWith("fault: ");
    const kind = fault ? "fault" : `phase${phase[0].endsWith("during") ? " marked" : ""}`;
    const stretch = draw("rect", { class: kind, x: from, y: TOP, width: Math.max(x(phase[2]) - from, fault ? 1.5 : 0), height: HIGH - BOTTOM - TOP });
    svg.append(stretch);
    if (!fault) continue;
    stretch.append(draw("title", {}, phase[0]));
    const late = from > WIDE / 2;
    svg.append(draw("text", { class: "fault-name", x: late ? from - 3 : from + 3, y: TOP + 10, "text-anchor": late ? "end" : "start", "font-size": "11" }, phase[0]));
  }
  const powers = () => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) found.push(10 ** power);
    const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    return inside.length > 1 ? inside : ticks(low, high, 4).filter((value) => value > 0);
  };
  for (const value of options.log ? powers() : ticks(low, high, 4)) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDE - 8, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end", "font-size": "11" }, short(value)));
  }
  for (const [value, label] of options.marks) {
    const anchor = x(value) > WIDE - 24 ? "end" : "middle";
    svg.append(draw("text", { x: anchor === "end" ? WIDE : x(value), y: HIGH - 6, "text-anchor": anchor, "font-size": "11" }, label));
  }
  svg.append(draw("path", { class: "axis", d: `M${LEFT} ${TOP}V${HIGH - BOTTOM}H${WIDE - 8}` }));
  return { svg, x, y };
}

function figureOf(caption, svg, below) {
  return make("figure", {}, make("figcaption", {}, caption), svg, ...(below ? [below] : []));
}

function legend(names) {
  const entry = (name, at) => make("span", {}, make("span", { class: `key s${at % 8}` }), name);
  return make("div", { class: "legend" }, ...names.map(entry));
}

const named = (name, unit) => (unit ? `${name} (${unit})` : name);

// A dot for each repetition, the median and its interval.
function repetitionsChart(figure, data, chosen, choose) {
  const there = figure.values.map((value, at) => [data.repetitions[at].n, value, at]).filter((dot) => dot[1] !== null);
  const all = there.map((dot) => dot[1]).concat(figure.interval || []);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const space = (most - least || Math.abs(most) || 1) * 0.1;
  const bottom = least >= 0 ? Math.max(0, least - space) : least - space;
  const numbers = there.map((dot) => dot[0]);
  const xs = [Math.min(...numbers) - 0.5, Math.max(...numbers) + 0.5];
  const marks = ticks(xs[0], xs[1], 6).filter((n) => Number.isInteger(n)).map((n) => [n, String(n)]);
  const median = figure.median ? `, median ${figure.median[0]}` : "";
  const { svg, x, y } = frame(`${figure.name} of ${there.length} repetitions${median}`, xs, [bottom, most + space], { marks });
  if (figure.interval) {
    const [low, high] = figure.interval;
    svg.append(draw("rect", { class: "band s0", x: LEFT, width: WIDE - 8 - LEFT, y: y(high), height: Math.max(y(low) - y(high), 1) }));
  }
  if (figure.median) svg.append(draw("line", { class: "median s0", x1: LEFT, x2: WIDE - 8, y1: y(figure.median[1]), y2: y(figure.median[1]) }));
  for (const [n, value, at] of there) {
    const dot = draw("circle", { class: `dot s0${data.repetitions[at].state === "valid" ? "" : " out"}`, cx: x(n), cy: y(value), r: chosen === at ? 6 : 3.5, "data-tip": `repetition ${n}: ${figure.texts[at]}` });
    dot.addEventListener("click", () => choose(at));
    svg.append(dot);
  }
  return figureOf(named(figure.name, figure.unit), svg);
}

// A thin line for each repetition, the chosen one thick.
function overTimeChart(over, data, chosen) {
  let [last, most] = [0, 0];
  for (const [, lines] of over.parts) {
    for (const line of lines) {
      for (let at = 0; at < line.length; at += 2) {
        last = Math.max(last, line[at]);
        most = Math.max(most, line[at + 1]);
      }
    }
  }
  const marks = ticks(0, last / 1000, 5).map((s) => [s * 1000, `${short(s)} s`]);
  const of = data.repetitions[chosen === null ? 0 : chosen];
  const phases = of ? of.phases.map(([name, from, to]) => [data.phases[name], from, to]) : [];
  const words = `${over.name} over time, ${data.repetitions.length} repetitions, at most ${short(most)} ${over.unit}`;
  const { svg, x, y } = frame(words, [0, last || 1], [0, most * 1.05 || 1], { marks, phases });
  over.parts.forEach(([name, lines], part) => {
    lines.forEach((line, at) => {
      if (line.length < 4) return;
      let path = "";
      for (let i = 0; i < line.length; i += 2) {
        path += i === 0 ? "M" : over.steps ? `H${x(line[i]).toFixed(1)}L` : "L";
        path += `${x(line[i]).toFixed(1)} ${y(line[i + 1]).toFixed(1)}`;
      }
      const is = chosen === at || data.repetitions.length === 1;
      svg.append(draw("path", { class: `${is ? "thick" : "thin"} s${part % 8}`, d: path, "data-tip": `${name}, repetition ${data.repetitions[at].n}` }));
    });
  });
  const names = over.parts.map(([name]) => name);
  return figureOf(`${named(over.name, over.unit)} over time`, svg, names.length > 1 ? legend(names) : null);
}

// Response times by quantile: every further nine has the same width.
function quantilesChart(curves) {
  const points = curves.flatMap(([, points]) => points);
  const values = points.map((point) => point[1]).filter((value) => value > 0);
  const ys = [Math.min(...values), Math.max(...values)];
  if (ys[0] === ys[1]) ys[1] = ys[0] * 1.1;
  const far = Math.max(1, ...points.map((point) => point[0]));
  const marks = [[0, "0"], [0.30103, "50 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"], [4, "99.99 %"], [5, "99.999 %"]].filter(([at]) => at <= far && (at !== 0.30103 || far < 3.5));
  const { svg, x, y } = frame(`response time by quantile, at most ${short(ys[1])} ms`, [0, far], ys, { marks, log: true });
  curves.forEach(([name, points], at) => {
    const d = points.map(([q, ms], i) => `${i ? "L" : "M"}${x(q).toFixed(1)} ${y(Math.max(ms, ys[0])).toFixed(1)}`).join("");
    svg.append(draw("path", { class: `thick s${at % 8}`, d, "data-tip": name }));
  });
  const rows = points.length && curves.length === 1 ? curves[0][1] : [];
  const table = rows.length ? behind("The numbers in this graph", tableOf(["quantile", "ms"], rows.map(([q, ms]) => [`${((1 - 10 ** -q) * 100).toPrecision(6)} %`, String(ms)]))) : null;
  const below = make("div", {}, ...(curves.length > 1 ? [legend(curves.map(([name]) => name))] : []), ...(table ? [table] : []));
  return figureOf("response times by quantile (ms)", svg, below);
}

function behind(words, table) {
  return make("details", { class: "behind" }, make("summary", {}, words), scrolled(table, words));
}

// ---- the view of a cell

const views = new Map();

function view(details) {
  if (views.has(details.id)) return views.get(details.id);
  const script = details.querySelector("script");
  if (!script) return null;
  const data = JSON.parse(script.textContent);
  const place = details.querySelector(".view");
  const charts = make("div", { class: "small" });
  const panel = make("div", {});
  const rows = [];
  const show = (chosen) => {
    charts.replaceChildren(
      ...data.figures.filter((figure) => figure.values.some((value) => value)).map((figure) => repetitionsChart(figure, data, chosen, select)),
      ...(data.quantiles.length ? [quantilesChart(data.quantiles)] : []),
      ...data.times.map((over) => overTimeChart(over, data, chosen)),
    );
    rows.forEach((row, at) => row.classList.toggle("chosen", at === chosen));
    panel.replaceChildren(...(chosen === null ? [] : [repetitionPanel(data, chosen, details.id)]));
  };
  const select = (at) => {
    history.replaceState(null, "", `#${details.id}-r${data.repetitions[at].n}`);
    show(at);
  };
  const head = ["repetition", "state", ...data.figures.map((figure) => figure.name)];
  const list = tableOf(head, []);
  data.repetitions.forEach((repetition, at) => {
    const link = make("a", { href: `#${details.id}-r${repetition.n}` }, String(repetition.n));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      select(at);
      panel.scrollIntoView({ block: "nearest" });
    });
    const state = make("span", { class: `state state-${repetition.state}`, title: repetition.why || "" }, repetition.state);
    const row = make("tr", { id: `${details.id}-r${repetition.n}` }, make("td", {}, link), make("td", {}, state), ...data.figures.map((figure) => make("td", { class: "n" }, figure.texts[at] || "–")));
    rows.push(row);
    list.tBodies[0].append(row);
  });
  place.append(charts, scrolled(list, "Repetitions"), panel);
  if (data.errors.length) {
    place.append(make("h3", {}, "First messages of errors"), make("ul", {}, ...data.errors.map((words) => make("li", { class: "wrap" }, words))));
  }
  for (const one of data.tables) place.append(scrolled(tableOf(one.header, one.rows, one.title), one.title));
  if (data.logs_left_out) {
    place.append(make("p", { class: "hint" }, `The ends of ${data.logs_left_out} logs are left out, so that this file stays small; they are in the folder of the cell.`));
  }
  const found = { data, select };
  views.set(details.id, found);
  show(null);
  return found;
}

// One repetition: why it does not count, its windows, its errors and the ends of its logs.
function repetitionPanel(data, at, id) {
  const repetition = data.repetitions[at];
  const panel = make("div", { class: "repetition", id: `${id}-chosen` }, make("h3", {}, `Repetition ${repetition.n}`));
  panel.append(make("p", {}, `${repetition.state}${repetition.why ? `: ${repetition.why}` : ""}, started ${repetition.at}`));
  if (repetition.errors && repetition.errors.length) panel.append(make("ul", {}, ...repetition.errors.map((words) => make("li", {}, words))));
  for (const ofTargets of [false, true]) {
    const columns = [];
    for (const over of data.times.filter((one) => one.of_targets === ofTargets)) {
      for (const [name, lines] of over.parts) columns.push([over.parts.length > 1 || ofTargets ? `${name}: ${named(over.name, over.unit)}` : named(over.name, over.unit), lines[at] || []]);
    }
    const instants = [...new Set(columns.flatMap(([, line]) => line.filter((_, i) => i % 2 === 0)))].sort((a, b) => a - b);
    if (!instants.length) continue;
    const value = (line, ms) => {
      for (let i = 0; i < line.length; i += 2) if (line[i] === ms) return short(line[i + 1]);
      return "";
    };
    const rows = instants.map((ms) => [(ms / 1000).toFixed(3), ...columns.map(([, line]) => value(line, ms))]);
    const samples = behind(ofTargets ? "Samples of targets" : "Windows", tableOf(["s", ...columns.map(([name]) => name)], rows));
    samples.open = !ofTargets;
    panel.append(samples);
  }
  for (const [name, length, text] of repetition.logs) {
    const shown = text === null ? "The end of this log is left out; it is in the folder of the repetition." : data.texts[text];
    const log = make("details", { class: "behind" }, make("summary", {}, `${name}, ${length.toLocaleString("en")} bytes`), make("pre", {}, make("code", {}, shown)));
    panel.append(log);
  }
  if (!repetition.logs.length) panel.append(make("p", { class: "hint" }, "Its logs are empty."));
  return panel;
}

for (const details of document.querySelectorAll("details.cell")) {
  details.addEventListener("toggle", () => { if (details.open) view(details); });
}

// `#c3` opens a cell, `#c3-r5` one of its repetitions.
function follow() {
  const found = /^#((?:r\d+)?c\d+)(?:-r(\d+))?$/.exec(location.hash);
  const details = found && document.getElementById(found[1]);
  if (!details) return;
  details.open = true;
  const shown = view(details);
  const at = shown && found[2] ? shown.data.repetitions.findIndex((one) => one.n === Number(found[2])) : -1;
  if (at >= 0) shown.select(at);
  (document.getElementById(at >= 0 ? `${found[1]}-chosen` : found[1]) || details).scrollIntoView();
}
addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  const link = event.target.closest ? event.target.closest('a[href^="#"]') : null;
  // Following the same link again does not change the hash, but has to work.
  if (link && link.getAttribute("href") === location.hash) follow();
});
follow();

// ---- the graphs of the scenario

// The numbers along an axis of a plot area, from its attributes.
function axisOf(plot, name) {
  const [low, high] = [Number(plot.dataset[`${name}Min`]), Number(plot.dataset[`${name}Max`])];
  const scale = plot.dataset[`${name}Scale`];
  return {
    scale,
    // The value at a share of the way from the low end to the high one.
    at: (share) => (scale === "log" ? low * (high / low) ** share : low + share * (high - low)),
  };
}

// The plot area of a picture in units of the picture, as it is without a zoom.
function areaOf(plot) {
  if (!plot.dataset.whole) plot.dataset.whole = plot.getAttribute("viewBox");
  const [x, y, width, height] = plot.dataset.whole.split(" ").map(Number);
  return { x, y, width, height };
}

// The text of a mark: its series, its place and its value with the unit.
function wordsOf(svg, mark, point) {
  const names = (svg.dataset.names || "").split("\n");
  const name = mark.dataset.series === undefined ? "" : names[Number(mark.dataset.series)] || "";
  const unit = svg.dataset.yUnit ? ` ${svg.dataset.yUnit}` : "";
  if (mark.dataset.y !== undefined) {
    const range = mark.dataset.low === undefined ? "" : `\n95 %: ${mark.dataset.low} to ${mark.dataset.high}${unit}`;
    return [name, mark.dataset.x].filter((part) => part).join(", ") + `: ${mark.dataset.y}${unit}${range}`;
  }
  if (!point) return name;
  const plot = mark.closest("svg.plot");
  const area = areaOf(plot);
  const [x, y] = [axisOf(plot, "x"), axisOf(plot, "y")];
  const [across, up] = [(point[0] - area.x) / area.width, (area.y + area.height - point[1]) / area.height];
  const place = x.scale === "nines" ? `${((1 - 10 ** -x.at(across)) * 100).toPrecision(5)} %` : `${short(x.at(across))}${svg.dataset.xUnit ? ` ${svg.dataset.xUnit}` : ""}`;
  const line = mark.dataset.line === undefined ? "" : mark.dataset.line === "median" ? "median" : `line ${mark.dataset.line}`;
  return [name, line, `${place}: ${short(y.at(up))}${unit}`].filter((part) => part).join(", ");
}

// Where a pointer is, in units of the plot area with its zoom.
function pointIn(plot, event) {
  const svg = plot.ownerSVGElement;
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const whole = areaOf(plot);
  const [x, y, width, height] = plot.getAttribute("viewBox").split(" ").map(Number);
  return [x + ((at.x - whole.x) / whole.width) * width, y + ((at.y - whole.y) / whole.height) * height];
}

// The vertex of a line that is nearest to a place.
function vertex(mark, place) {
  let nearest = null;
  for (const line of mark.querySelectorAll("polyline")) {
    for (const pair of line.getAttribute("points").trim().split(/\s+/)) {
      const point = pair.split(",").map(Number);
      const far = Math.hypot(point[0] - place[0], point[1] - place[1]);
      if (!nearest || far < nearest.far) nearest = { far, point };
    }
  }
  return nearest;
}

// The mark below a pointer, or the line that is nearest to it.
function markAt(svg, event) {
  const hit = event.target.closest ? event.target.closest("g.mark:not(.phase):not(.interval)") : null;
  const plots = [...svg.querySelectorAll("svg.plot")];
  const place = pointIn(plots[plots.length - 1], event);
  if (hit) return { mark: hit, point: vertex(hit, place)?.point };
  let best = null;
  for (const mark of svg.querySelectorAll("g.mark.line:not(.off), g.mark.curve:not(.off)")) {
    const found = vertex(mark, place);
    if (found && found.far < 40 && (!best || found.far < best.far)) best = { mark, far: found.far, point: found.point };
  }
  return best;
}

function interactive(figure) {
  const picture = figure.querySelector(".picture");
  const svg = picture.querySelector("svg.runner-plot");
  if (!svg) return;
  const plots = [...svg.querySelectorAll("svg.plot")];
  const names = (svg.dataset.names || "").split("\n").filter((name) => name);
  const series = figure.querySelector(".series");
  if (names.length > 1) {
    names.forEach((name, at) => {
      const button = make("button", { type: "button", "aria-pressed": "true", title: "show or hide" }, name);
      button.addEventListener("click", () => {
        const off = button.getAttribute("aria-pressed") === "true";
        button.setAttribute("aria-pressed", String(!off));
        for (const part of svg.querySelectorAll(`.series-${at}:not(.legend)`)) part.classList.toggle("off", off);
      });
      series.append(button);
      for (const entry of svg.querySelectorAll(`.legend[data-series="${at}"]`)) entry.addEventListener("click", () => button.click());
    });
  }
  const isZoomable = plots.length > 0 && plots[0].dataset.xScale !== "names";
  const whole = make("button", { type: "button", hidden: "" }, "Whole graph");
  const shown = make("span", { class: "hint" });
  if (isZoomable) series.append(whole, shown);
  const zoom = (box) => {
    for (const plot of plots) {
      areaOf(plot);
      plot.setAttribute("viewBox", box ? box.join(" ") : plot.dataset.whole);
    }
    svg.classList.toggle("zoomed", Boolean(box));
    whole.hidden = !box;
    shown.textContent = "";
    if (!box) return;
    const area = areaOf(plots[0]);
    const [x, y] = [axisOf(plots[0], "x"), axisOf(plots[0], "y")];
    const across = [box[0], box[0] + box[2]].map((at) => (at - area.x) / area.width);
    const up = [box[1] + box[3], box[1]].map((at) => (area.y + area.height - at) / area.height);
    const [from, to] = across.map((share) => (x.scale === "nines" ? `${((1 - 10 ** -x.at(share)) * 100).toPrecision(4)} %` : short(x.at(share))));
    shown.textContent = `${from} to ${to}, ${up.map((share) => short(y.at(share))).join(" to ")}`;
  };
  whole.addEventListener("click", () => zoom(null));
  const rubber = make("div", { class: "rubber", hidden: "" });
  picture.append(rubber);
  let start = null;
  picture.addEventListener("pointerdown", (event) => {
    if (isZoomable && event.button === 0 && event.pointerType === "mouse") start = event;
  });
  picture.addEventListener("pointermove", (event) => {
    const found = markAt(svg, event);
    say(found ? wordsOf(svg, found.mark, found.point) : "", event);
    if (!start || !event.buttons) return;
    const box = picture.getBoundingClientRect();
    rubber.hidden = false;
    rubber.style.left = `${Math.min(start.clientX, event.clientX) - box.left}px`;
    rubber.style.top = `${Math.min(start.clientY, event.clientY) - box.top}px`;
    rubber.style.width = `${Math.abs(event.clientX - start.clientX)}px`;
    rubber.style.height = `${Math.abs(event.clientY - start.clientY)}px`;
  });
  picture.addEventListener("pointerleave", () => say(""));
  addEventListener("pointerup", (event) => {
    if (!start) return;
    const from = start;
    start = null;
    rubber.hidden = true;
    if (Math.abs(event.clientX - from.clientX) < 8 || Math.abs(event.clientY - from.clientY) < 8) return;
    const [a, b] = [pointIn(plots[0], from), pointIn(plots[0], event)];
    zoom([Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])]);
  });
  picture.addEventListener("dblclick", () => zoom(null));
  // With the arrow keys, one mark after the other.
  let chosen = -1;
  picture.addEventListener("keydown", (event) => {
    const marks = [...svg.querySelectorAll("g.mark[data-y]:not(.off)")];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") zoom(null);
    if (!step || !marks.length) return;
    event.preventDefault();
    chosen = (chosen + step + marks.length) % marks.length;
    marks.forEach((mark, at) => mark.classList.toggle("near", at === chosen));
    const box = marks[chosen].getBoundingClientRect();
    say(wordsOf(svg, marks[chosen]), { clientX: box.x + box.width / 2, clientY: box.y });
  });
  picture.addEventListener("blur", () => say(""));
}

// ---- text next to the pointer

const tip = make("div", { class: "tip", role: "status", hidden: "" });
document.body.append(tip);

function say(words, at) {
  tip.hidden = !words;
  if (!words) return;
  tip.textContent = words;
  tip.style.left = `${Math.max(4, Math.min(at.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.min(at.clientY + 14, innerHeight - tip.offsetHeight - 4)}px`;
}

document.getElementById("views").addEventListener("pointermove", (event) => {
  const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
  say(mark ? mark.dataset.tip : "", event);
});
document.getElementById("views").addEventListener("pointerleave", () => say(""));
for (const figure of document.querySelectorAll("figure.chart")) interactive(figure);
