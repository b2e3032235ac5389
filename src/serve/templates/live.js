// Follows a run in progress. Everything that is received is shown as text only.
"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const dash = "–";
  const number = (value, digits = 3) =>
    value === null || value === undefined ? dash : Number(value.toPrecision(digits)).toLocaleString("en");
  const time = (ns) => {
    if (ns === null || ns === undefined) return dash;
    const [divisor, unit] = ns < 1e6 ? [1e3, "µs"] : ns < 1e9 ? [1e6, "ms"] : [1e9, "s"];
    return `${number(ns / divisor)} ${unit}`;
  };
  const span = (ns) => {
    if (ns === null || ns === undefined) return dash;
    const s = Math.round(ns / 1e9);
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };
  const bytes = (value) => (value === null || value === undefined ? dash : `${number(value / 1048576)} MiB`);
  const box = (name, value) => {
    const div = document.createElement("div");
    const strong = document.createElement("strong");
    strong.textContent = value;
    div.append(name, strong);
    return div;
  };
  const row = (cells) => {
    const tr = document.createElement("tr");
    cells.forEach((text, column) => {
      const td = document.createElement("td");
      if (column > 0) td.className = "number";
      td.textContent = text;
      tr.append(td);
    });
    return tr;
  };
  const show = ({ run, live }) => {
    if (!live) {
      at("run").textContent = run ? `no run is in progress; the newest is ${run}` : "no run yet";
      at("stage").textContent = "";
      at("figures").replaceChildren();
      at("targets").replaceChildren();
      at("share").value = 0;
      return;
    }
    const repetition = live.repetition;
    const of = live.of === null ? "" : ` of ${live.of}`;
    // How many rounds it takes is not known beforehand where something is awaited, such as a decision.
    const left = live.left_ns === null ? `running for ${span(live.elapsed_ns)}` : `about ${span(live.left_ns)} left`;
    const bad = [live.failed && `${live.failed} failed`, live.invalid && `${live.invalid} invalid`].filter(Boolean).join(", ");
    at("run").textContent = `${run}: repetition ${live.done + (repetition ? 1 : 0)}${of}, ${left}${bad ? "; " + bad : ""}`;
    at("stage").textContent = repetition ? `${repetition.cell || "the only cell"}, repetition ${repetition.number}: ${live.stage}` : live.stage;
    at("share").value = (repetition && repetition.share) || 0;
    const figures = repetition ? repetition.figures : { workloads: [], targets: [] };
    const boxes = figures.workloads.flatMap((w) => {
      const of = figures.workloads.length > 1 ? `${w.name}: ` : "";
      return [
        box(`${of}passes per second`, number(w.passes_per_s)),
        box(`${of}response p50`, time(w.response_p50_ns)),
        box(`${of}response p99`, time(w.response_p99_ns)),
        box(`${of}errors`, number(w.errors)),
      ];
    });
    if (figures.generator_cores !== null && figures.generator_cores !== undefined)
      boxes.push(box("generator (cores)", number(figures.generator_cores)));
    at("figures").replaceChildren(...boxes);
    at("targets").replaceChildren(...figures.targets.map((t) => row([t.name, number(t.cpu_cores), bytes(t.pss_bytes)])));
  };
  new EventSource("live/events").onmessage = (event) => show(JSON.parse(event.data));
})();
