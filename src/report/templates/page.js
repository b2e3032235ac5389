// The script of a report: sorts, chooses and copies the table of cells, draws what a cell shows when it is opened, and lets the
// graphs be read value by value. Texts of others enter the page as text only, never as markup.
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

const table = document.getElementById("table");
const body = table.tBodies[0];
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
    // What has no value comes last, however it is sorted.
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

function copied(form) {
  const words = (row) => [...row.cells].slice(0, -1).map((cell) => cell.textContent.trim());
  const rows = [table.tHead.rows[0], ...[...body.rows].filter((row) => !row.hidden)].map(words);
  if (form === "csv") {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return rows.map((row) => row.map(quoted).join(",")).join("\r\n");
  }
  const line = (row) => `| ${row.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = [...table.tHead.rows[0].cells].slice(0, -1).map((cell) => (cell.classList.contains("n") ? "---:" : "---"));
  return [line(rows[0]), line(rule), ...rows.slice(1).map(line)].join("\n");
}

async function copy(form) {
  const text = copied(form);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A file that was opened from a disk may have no clipboard; a selection has.
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

for (const button of table.querySelectorAll(".sort")) button.addEventListener("click", () => sortBy(Number(button.dataset.column)));
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
    svg.append(draw("rect", { class: `phase${phase[0].endsWith("during") ? " marked" : ""}`, x: from, y: TOP, width: Math.max(x(phase[2]) - from, 0), height: HIGH - BOTTOM - TOP }));
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
    svg.append(draw("text", { x: x(value), y: HIGH - 6, "text-anchor": "middle", "font-size": "11" }, label));
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
  const numbers = there.map((dot) => dot[0]);
  const xs = [Math.min(...numbers) - 0.5, Math.max(...numbers) + 0.5];
  const marks = ticks(xs[0], xs[1], 6).filter((n) => Number.isInteger(n)).map((n) => [n, String(n)]);
  const median = figure.median ? `, median ${figure.median[0]}` : "";
  const { svg, x, y } = frame(`${figure.name} of ${there.length} repetitions${median}`, xs, [least - space, most + space], { marks });
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
      for (let i = 0; i < line.length; i += 2) path += `${i ? "L" : "M"}${x(line[i]).toFixed(1)} ${y(line[i + 1]).toFixed(1)}`;
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
  const marks = [[0, "0"], [0.30103, "50 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"], [4, "99.99 %"], [5, "99.999 %"]].filter(([at]) => at <= far);
  const { svg, x, y } = frame(`response time by quantile, at most ${short(ys[1])} ms`, [0, far], ys, { marks, log: true });
  curves.forEach(([name, points], at) => {
    const d = points.map(([q, ms], i) => `${i ? "L" : "M"}${x(q).toFixed(1)} ${y(Math.max(ms, ys[0])).toFixed(1)}`).join("");
    svg.append(draw("path", { class: `thick s${at % 8}`, d, "data-tip": name }));
  });
  const rows = points.length && curves.length === 1 ? curves[0][1] : [];
  const table = rows.length ? behind("The numbers in this graph", tableOf(["quantile", "ms"], rows.map(([q, ms]) => [`${((1 - 10 ** -q) * 100).toPrecision(6)} %`, String(ms)]))) : null;
  const below = make("div", {}, ...(curves.length > 1 ? [legend(curves.map(([name]) => name))] : []), ...(table ? [table] : []));
  return figureOf("Response times of all repetitions by quantile (ms)", svg, below);
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
      ...data.figures.filter((figure) => figure.values.some((value) => value !== null)).map((figure) => repetitionsChart(figure, data, chosen, select)),
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
    place.append(make("h3", {}, "First words of errors"), make("ul", {}, ...data.errors.map((words) => make("li", { class: "wrap" }, words))));
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

// What one repetition was: why it does not count, its windows, its errors and the ends of its logs.
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
    panel.append(behind(ofTargets ? "Samples of targets" : "Windows", tableOf(["s", ...columns.map(([name]) => name)], rows)));
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
  // The same link a second time changes no hash, and is followed all the same.
  if (link && link.getAttribute("href") === location.hash) follow();
});
follow();

// ---- words beside the pointer

const tip = make("div", { class: "tip", hidden: "" });
document.body.append(tip);
document.addEventListener("pointermove", (event) => {
  const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.dataset.tip;
  tip.style.left = `${Math.min(event.pageX + 12, scrollX + innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${event.pageY + 14}px`;
});
