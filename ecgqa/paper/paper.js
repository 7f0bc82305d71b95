// ECG paper on a canvas: the body of a function (element, trigger, props, server, upload, watch)
// that a gr.HTML component runs once. props.value is {kind: "strips" | "beats", drawing: an id that
// no two strips share, ecgs: [...]}, each entry a payload of ecgqa/paper.py or null. Everything is
// placed in millimetres of paper; one pxPerMm turns them into pixels for both axes. Names reach the
// page by fillText and textContent only, never as HTML.
"use strict";

const MISSING = -32768;
const PULSE = { seconds: 0.2, mv: 1, x_mm: 5 };
const SHEET_SECONDS = 10;
const DIFFERENCE_BELOW_MM = 17;
const FULL_SIZE_PX_PER_MM = 96 / 25.4; // what CSS calls a millimetre
const FINE_GRID_FROM_PX_PER_MM = 3;
const COLOUR = {
  paper: "#fffdfb", fine: "#f8e1df", coarse: "#eebab6", ink: "#15181e", quiet: "#5d6470",
  second: "#1d4ed8", warn: "#9a3412", caliper: "#0b5cad", caliperFill: "rgba(11, 92, 173, 0.12)",
  evidence: "217, 119, 6",
};
const STANDARD = ["I", "II", "III", "aVR", "aVL", "aVF"];
const CABRERA = ["aVL", "I", "-aVR", "II", "aVF", "III"];
const CHEST = ["V1", "V2", "V3", "V4", "V5", "V6"];
const LAYOUTS = {
  "3x4": { label: "3 × 4 + rhythm", columns: 4, pitch_mm: 25, rhythm: true },
  "6x2": { label: "6 × 2", columns: 2, pitch_mm: 20, rhythm: false },
  "12x1": { label: "12 × 1", columns: 1, pitch_mm: 15, rhythm: false },
};

const kind = props.value && props.value.kind ? props.value.kind : element.dataset.kind || "strips";
const view = {
  layout: "3x4", speed: 25, gain: 10, rhythm: "II", cabrera: false, zoom: 1, compare: "auto",
  touch: false, axes: "both", march: false, evidence: true,
  difference: false, full: false,
};
let sheets = [];
let marks = []; // [{slot, sha256, lead, start_s, seconds, strength 0..1}]: what the last answer rests on

// ---------------------------------------------------------------- the page around the paper

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const root = make("div", "ecg-paper", null);
root.dataset.kind = kind;
const toolbar = make("div", "ecg-toolbar", root);
toolbar.setAttribute("role", "toolbar");
toolbar.setAttribute("aria-label", kind === "beats" ? "Median beat display" : "ECG paper display");
const desk = make("div", "ecg-desk", root);
const empty = make("p", "ecg-empty", desk, kind === "beats"
  ? "No median beat yet: it appears when beats have been found in the recording."
  : "Choose a recording from the gallery or upload one.");
element.replaceChildren(root);

function addSelect(name, label, options, showLabel = false) {
  const box = make("label", "ecg-field", toolbar, showLabel ? label : undefined);
  const select = make("select", "", box);
  select.name = name;
  select.setAttribute("aria-label", label);
  for (const [value, text] of options) {
    const option = make("option", "", select, text);
    option.value = value;
  }
  select.value = String(view[name]);
  select.addEventListener("change", () => {
    view[name] = typeof view[name] === "number" ? Number(select.value) : select.value;
    render();
  });
  return box;
}

function addToggle(name, label, title, whenChanged) {
  const button = make("button", "ecg-toggle", toolbar, label);
  button.type = "button";
  button.name = name;
  button.title = title;
  button.setAttribute("aria-pressed", String(view[name]));
  button.addEventListener("click", () => {
    view[name] = !view[name];
    button.setAttribute("aria-pressed", String(view[name]));
    whenChanged();
  });
  return button;
}

if (kind === "strips") {
  addSelect("layout", "Layout", Object.entries(LAYOUTS).map(([key, one]) => [key, one.label]));
}
addSelect("speed", "Speed", [["25", "25 mm/s"], ["50", "50 mm/s"]]);
addSelect("gain", "Gain", [["5", "5 mm/mV"], ["10", "10 mm/mV"], ["20", "20 mm/mV"]]);
let compareField = null;
if (kind === "strips") {
  addSelect("rhythm", "Rhythm", [...STANDARD, ...CHEST].map((lead) => [lead, lead]), true);
  compareField = addSelect("compare", "Compare",
    [["auto", "two: fit"], ["side", "side by side"], ["stacked", "stacked"]]);
}
addSelect("zoom", "Zoom", [["1", "fit"], ["1.5", "× 1.5"], ["2", "× 2"], ["3", "× 3"]], true);
if (kind === "strips") {
  addToggle("cabrera", "Cabrera", "Limb leads in Cabrera order: aVL, I, −aVR, II, aVF, III", render);
}
let evidenceToggle = null;
if (kind === "strips") {
  evidenceToggle = addToggle("evidence", "Evidence",
    "Leads and seconds that the last answer rests on", render);
  evidenceToggle.hidden = true;
}
let differenceToggle = null;
if (kind === "beats") {
  differenceToggle = addToggle("difference", "Difference",
    "This ECG minus the comparison, drawn below each lead", render);
  differenceToggle.hidden = true;
}
addToggle("march", "March", "Repeat the measured interval along the strip (key M)", drawCalipers);
if (document.fullscreenEnabled) {
  const full = addToggle("full", "Full screen", "The paper alone, on the whole screen", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen();
  });
  document.addEventListener("fullscreenchange", () => {
    view.full = document.fullscreenElement === root;
    full.setAttribute("aria-pressed", String(view.full));
  });
}
const touchToggle = addToggle("touch", "Calipers", "Measure by touch: a drag measures, not scrolls",
  () => sheets.forEach((sheet) => sheet.top.classList.toggle("measuring", view.touch)));
touchToggle.classList.add("ecg-touch-only");
const readout = make("output", "ecg-readout", toolbar);
readout.setAttribute("aria-live", "polite");
const HINT = "Drag on the paper to measure";
say(null);

function say(text) {
  readout.textContent = text || HINT;
  readout.classList.toggle("is-value", Boolean(text));
}

// ---------------------------------------------------------------- payload -> samples

function decode(ecg) {
  const raw = Uint8Array.from(atob(ecg.signal_uv), (letter) => letter.charCodeAt(0));
  const bytes = new DataView(raw.buffer);
  const microvolts = new Int16Array(raw.length / 2);
  for (let i = 0; i < microvolts.length; i += 1) microvolts[i] = bytes.getInt16(2 * i, true);
  const leads = {};
  ecg.leads.forEach((lead, row) => {
    leads[lead] = microvolts.subarray(row * ecg.samples, (row + 1) * ecg.samples);
  });
  return { ...ecg, samplesOf: leads };
}

function samplesOf(ecg, lead) {
  const turned = lead.startsWith("-");
  return { microvolts: ecg.samplesOf[turned ? lead.slice(1) : lead], sign: turned ? -1 : 1 };
}

const printed = (lead) => lead.replace("-", "−");

// ---------------------------------------------------------------- where everything goes, in mm

// Strips and calibration pulses start on the 5 mm grid, so that a pulse can be checked by eye.
function planStrips(sheet) {
  const layout = LAYOUTS[view.layout];
  const order = [...(view.cabrera ? CABRERA : STANDARD), ...CHEST];
  const rows = order.length / layout.columns;
  const columnSeconds = SHEET_SECONDS / layout.columns;
  const left_mm = PULSE.x_mm + PULSE.seconds * view.speed + 5;
  const strips = order.map((lead, i) => {
    const column = Math.floor(i / rows);
    return {
      lead, row: i % rows, x_mm: left_mm + column * columnSeconds * view.speed,
      start_s: sheet.start_s + column * columnSeconds, seconds: columnSeconds,
      divider: column > 0,
    };
  });
  if (layout.rhythm) {
    strips.push({ lead: view.rhythm, row: rows, x_mm: left_mm, start_s: sheet.start_s,
      seconds: SHEET_SECONDS, divider: false });
  }
  const rowCount = rows + (layout.rhythm ? 1 : 0);
  const baseline = (row) => 25 + row * layout.pitch_mm;
  for (const strip of strips) strip.baseline_mm = baseline(strip.row);
  return {
    strips, pitch_mm: layout.pitch_mm,
    pulses: Array.from({ length: rowCount }, (_, row) => baseline(row)),
    width_mm: left_mm + SHEET_SECONDS * view.speed + 5,
    height_mm: baseline(rowCount - 1) + 15,
    fit_mm: PULSE.x_mm + PULSE.seconds * 25 + 5 + SHEET_SECONDS * 25 + 5,
  };
}

function planBeats(sheet) {
  const before = Math.max(...sheet.ecgs.map((ecg) => ecg.r_index / ecg.rate_hz));
  const after = Math.max(...sheet.ecgs.map((ecg) => (ecg.samples - ecg.r_index) / ecg.rate_hz));
  const cell_mm = Math.ceil(((before + after) * view.speed) / 5) * 5 + 5;
  const left_mm = PULSE.x_mm + PULSE.seconds * view.speed + 5;
  const strips = [...STANDARD, ...CHEST].map((lead, i) => ({
    lead, row: Math.floor(i / 6), x_mm: left_mm + (i % 6) * cell_mm, start_s: -before,
    seconds: before + after, divider: false, baseline_mm: 40 + Math.floor(i / 6) * 45,
  }));
  return {
    strips, pitch_mm: 35, pulses: [40, 85], width_mm: left_mm + 6 * cell_mm, height_mm: 115,
    fit_mm: left_mm + 6 * cell_mm,
  };
}

// ---------------------------------------------------------------- drawing

function chooseScale(available_px, plan, sideBySide) {
  const dpr = window.devicePixelRatio || 1;
  const smallest = sideBySide ? 1.6 : 3;
  const largest = kind === "beats" ? 5 : 8;
  const wanted = Math.min(largest, Math.max(smallest, available_px / plan.fit_mm)) * view.zoom;
  // Whole device pixels per 5 mm: every box of the grid is then the same size, and sharp.
  return { dpr, pxPerMm: Math.max(1, Math.floor(wanted * dpr * 5 + 1e-6)) / 5 / dpr };
}

function drawSheet(sheet, sideBySide) {
  const began = performance.now();
  const available_px = sheet.scroller.clientWidth;
  if (available_px < 40) return;
  const plan = kind === "beats" ? planBeats(sheet) : planStrips(sheet);
  const { dpr, pxPerMm } = chooseScale(available_px, plan, sideBySide);
  const width_mm = Math.max(plan.width_mm, available_px / pxPerMm);
  const k = pxPerMm * dpr; // device pixels per millimetre
  for (const canvas of [sheet.canvas, sheet.top]) {
    canvas.width = Math.min(32000, Math.floor(width_mm * k));
    canvas.height = Math.ceil(plan.height_mm * k);
    canvas.style.width = `${canvas.width / dpr}px`;
    canvas.style.height = `${canvas.height / dpr}px`;
  }
  sheet.scale = { dpr, pxPerMm, k };
  const ctx = sheet.canvas.getContext("2d");
  drawGrid(ctx, sheet.canvas, k, pxPerMm, dpr);
  const marked = drawMarks(ctx, sheet, plan, k);
  const off = drawTraces(ctx, sheet, plan, k, dpr);
  drawHeader(ctx, sheet, k, dpr, pxPerMm);
  describe(sheet, plan, pxPerMm, off, marked);
  sheet.canvas.dataset.drawMs = (performance.now() - began).toFixed(1);
}

function drawGrid(ctx, canvas, k, pxPerMm, dpr) {
  ctx.fillStyle = COLOUR.paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  const lines = (step_mm, colour, width) => {
    ctx.beginPath();
    const half = width % 2 ? 0.5 : 0;
    for (let i = 0; i * step_mm * k <= canvas.width; i += 1) {
      const x = Math.round(i * step_mm * k) + half;
      ctx.moveTo(x, 0);
      ctx.lineTo(x, canvas.height);
    }
    for (let i = 0; i * step_mm * k <= canvas.height; i += 1) {
      const y = Math.round(i * step_mm * k) + half;
      ctx.moveTo(0, y);
      ctx.lineTo(canvas.width, y);
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  };
  const line = Math.max(1, Math.round(dpr));
  if (pxPerMm >= FINE_GRID_FROM_PX_PER_MM) lines(1, COLOUR.fine, line);
  lines(5, COLOUR.coarse, line);
}

// Soft bands behind the traces; returns where they are, in mm.
function drawMarks(ctx, sheet, plan, k) {
  const drawn = [];
  if (kind !== "strips" || !view.evidence) return drawn;
  for (const mark of marks) {
    if (mark.slot !== sheet.slot || mark.sha256 !== sheet.ecgs[0].sha256) continue;
    for (const strip of plan.strips) {
      if (strip.lead.replace("-", "") !== mark.lead) continue;
      const from_s = Math.max(mark.start_s, strip.start_s);
      const to_s = Math.min(mark.start_s + mark.seconds, strip.start_s + strip.seconds);
      if (to_s <= from_s) continue;
      const x_mm = strip.x_mm + (from_s - strip.start_s) * view.speed;
      const wide_mm = (to_s - from_s) * view.speed;
      const high_mm = Math.min(plan.pitch_mm, 16);
      ctx.fillStyle = `rgba(${COLOUR.evidence}, ${(0.1 + 0.22 * mark.strength).toFixed(3)})`;
      ctx.beginPath();
      ctx.roundRect(x_mm * k, (strip.baseline_mm - high_mm / 2) * k, wide_mm * k, high_mm * k, k);
      ctx.fill();
      drawn.push({ lead: strip.lead, row: strip.row, x_mm, wide_mm });
    }
  }
  return drawn;
}

function fontOf(k, dpr, mm, weight = 500) {
  const px = Math.max(10.5 * dpr, Math.min(mm * k, 16 * dpr));
  return `${weight} ${px}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
}

function drawTraces(ctx, sheet, plan, k, dpr) {
  const off = []; // leads that leave their own row: flagged, never rescaled
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  ctx.lineWidth = Math.max(dpr, 0.3 * k);
  ctx.strokeStyle = COLOUR.ink;
  for (const baseline_mm of plan.pulses) drawPulse(ctx, baseline_mm, k);
  for (const strip of plan.strips) {
    if (strip.divider) drawDivider(ctx, strip, k, dpr);
    const present = sheet.ecgs.map((ecg) => !(ecg.missing || []).includes(strip.lead.replace("-", "")));
    sheet.ecgs.forEach((ecg, which) => {
      if (!present[which]) return;
      ctx.strokeStyle = which === 0 ? COLOUR.ink : COLOUR.second;
      ctx.lineWidth = Math.max(dpr, (which === 0 ? 0.3 : 0.26) * k);
      const highest_mm = drawStrip(ctx, ecg, strip, k);
      if (highest_mm > plan.pitch_mm && !off.includes(strip.lead)) off.push(strip.lead);
    });
    if (view.difference && present.length === 2 && present.every(Boolean)) {
      drawDifference(ctx, sheet.ecgs, strip, k, dpr);
    }
    drawLabel(ctx, strip, k, dpr, present.some(Boolean), off.includes(strip.lead));
  }
  return off;
}

// The first beat minus the second, at the times of the first, on a line of its own below both.
function drawDifference(ctx, [ecg, other], strip, k, dpr) {
  const [one, two] = [ecg, other].map((each) => samplesOf(each, strip.lead).microvolts);
  const zero_mm = strip.baseline_mm + DIFFERENCE_BELOW_MM;
  const xOf = (t) => (strip.x_mm + (t - strip.start_s) * view.speed) * k;
  ctx.strokeStyle = COLOUR.quiet;
  ctx.lineWidth = Math.max(1, dpr / 2);
  ctx.setLineDash([2 * dpr, 2 * dpr]);
  ctx.beginPath();
  ctx.moveTo(xOf(strip.start_s), zero_mm * k);
  ctx.lineTo(xOf(strip.start_s + strip.seconds), zero_mm * k);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.strokeStyle = COLOUR.warn;
  ctx.lineWidth = Math.max(dpr, 0.26 * k);
  ctx.beginPath();
  let pen = false;
  for (let i = 0; i < one.length; i += 1) {
    const t = (i - ecg.r_index) / ecg.rate_hz; // both beats run from their R
    const place = t * other.rate_hz + other.r_index;
    const left = Math.floor(place);
    if (left < 0 || left + 1 >= two.length || [one[i], two[left], two[left + 1]].includes(MISSING)) {
      pen = false;
      continue;
    }
    const there = two[left] + (place - left) * (two[left + 1] - two[left]);
    const y = (zero_mm - ((one[i] - there) * view.gain) / 1000) * k;
    if (pen) ctx.lineTo(xOf(t), y);
    else ctx.moveTo(xOf(t), y);
    pen = true;
  }
  ctx.stroke();
}

function drawPulse(ctx, baseline_mm, k) {
  const x = PULSE.x_mm;
  const right = x + PULSE.seconds * view.speed;
  const high = baseline_mm - PULSE.mv * view.gain;
  ctx.beginPath();
  ctx.moveTo((x - 2) * k, baseline_mm * k);
  for (const [px, py] of [[x, baseline_mm], [x, high], [right, high], [right, baseline_mm],
    [right + 2, baseline_mm]]) ctx.lineTo(px * k, py * k);
  ctx.stroke();
}

// One strip; returns how far it reaches from its baseline, in mm. Where several samples share a
// device pixel the lowest and the highest are drawn, so that no peak is lost.
function drawStrip(ctx, ecg, strip, k) {
  const { microvolts, sign } = samplesOf(ecg, strip.lead);
  const zero = kind === "beats" ? ecg.r_index / ecg.rate_hz : 0; // beats: time runs from R
  const first = Math.max(0, Math.ceil((strip.start_s + zero) * ecg.rate_hz - 1e-6));
  const last = Math.min(microvolts.length - 1,
    Math.floor((strip.start_s + zero + strip.seconds) * ecg.rate_hz + 1e-6));
  const xOf = (i) => (strip.x_mm + (i / ecg.rate_hz - zero - strip.start_s) * view.speed) * k;
  const perMicrovolt = (sign * view.gain * k) / 1000;
  const yOf = (value) => strip.baseline_mm * k - value * perMicrovolt;
  const bunch = Math.max(1, Math.floor(ecg.rate_hz / (view.speed * k) / 2));
  let reach = 0;
  let pen = false;
  ctx.beginPath();
  for (let i = first; i <= last; i += bunch) {
    let low = i;
    let high = i;
    for (let j = i; j < Math.min(i + bunch, last + 1); j += 1) {
      if (microvolts[j] === MISSING) { low = -1; break; }
      if (microvolts[j] < microvolts[low]) low = j;
      if (microvolts[j] > microvolts[high]) high = j;
    }
    if (low < 0) { pen = false; continue; }
    for (const j of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      if (pen) ctx.lineTo(xOf(j), yOf(microvolts[j]));
      else ctx.moveTo(xOf(j), yOf(microvolts[j]));
      pen = true;
      reach = Math.max(reach, Math.abs(microvolts[j]));
    }
  }
  ctx.stroke();
  return (reach * view.gain) / 1000;
}

function drawDivider(ctx, strip, k, dpr) {
  ctx.fillStyle = COLOUR.quiet;
  ctx.fillRect(Math.round(strip.x_mm * k), (strip.baseline_mm - 6.5) * k, Math.max(1, dpr), 3 * k);
}

function drawLabel(ctx, strip, k, dpr, present, isOff) {
  const x = (strip.x_mm + 1) * k;
  const y = (strip.baseline_mm - (kind === "beats" ? 17 : 8)) * k;
  ctx.font = fontOf(k, dpr, 3.2, 650);
  ctx.textBaseline = "alphabetic";
  const text = printed(strip.lead);
  const wide = ctx.measureText(text).width;
  ctx.strokeStyle = COLOUR.paper; // a halo: the name stays readable on a trace
  ctx.lineWidth = 3 * dpr;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = COLOUR.ink;
  ctx.fillText(text, x, y);
  if (!present) {
    ctx.font = fontOf(k, dpr, 2.8, 400);
    ctx.fillStyle = COLOUR.quiet;
    ctx.fillText("not recorded", x + wide + 1.5 * k, y);
  } else if (isOff) {
    ctx.fillStyle = COLOUR.warn;
    ctx.fillText("↕", x + wide + 1.2 * k, y);
  }
}

function drawHeader(ctx, sheet, k, dpr, pxPerMm) {
  const percent = Math.round((100 * pxPerMm) / FULL_SIZE_PX_PER_MM);
  const facts = [`${view.speed} mm/s`, `${view.gain} mm/mV`];
  if (kind === "strips") facts.push(`${formatRate(sheet.ecgs[0].rate_hz)} Hz`, sheet.ecgs[0].filter);
  if (sheet.start_s > 0) facts.push(`from ${Number(sheet.start_s.toFixed(1))} s`);
  facts.push(`scale ${percent} %`);
  ctx.textBaseline = "middle";
  let y = 5 * k;
  sheet.ecgs.forEach((ecg, which) => {
    ctx.font = fontOf(k, dpr, 3.6, 650);
    ctx.fillStyle = which === 0 ? COLOUR.ink : COLOUR.second;
    let x = 3 * k;
    const room = (kind === "beats" ? 0.8 : 0.35) * sheet.scroller.clientWidth * dpr;
    const order = orderOf(sheet, ecg);
    const name = order + shorten(ctx, ecg.name,
      Math.max(70 * dpr, room - ctx.measureText(order).width));
    ctx.fillText(name, x, y);
    x += ctx.measureText(name).width + 14 * dpr;
    if (which === 0) {
      ctx.font = fontOf(k, dpr, 3.2, 400);
      ctx.fillStyle = COLOUR.quiet;
      ctx.fillText(facts.join(pxPerMm < FINE_GRID_FROM_PX_PER_MM ? " · " : "   ·   "), x, y);
    }
    y += Math.max(6 * k, 15 * dpr);
  });
}

// Answers speak of the first and the second ECG: of two, the comparison is the first.
function orderOf(sheet, ecg) {
  if ((kind === "beats" ? sheet.ecgs : sheets).length < 2) return "";
  return ecg.slot === 0 ? "Second (later): " : "First (earlier): ";
}

const formatRate = (rate_hz) => String(Math.round(rate_hz * 100) / 100);

function shorten(ctx, text, room) {
  let kept = text;
  while (kept.length > 1 && ctx.measureText(`${kept}…`).width > room) kept = kept.slice(0, -1);
  return kept === text ? text : `${kept}…`;
}

// What a test (or a screen reader) needs to know about the drawing, in CSS pixels of the canvas.
function describe(sheet, plan, pxPerMm, off, marked) {
  sheet.canvas.dataset.geometry = JSON.stringify({
    pxPerMm, speed: view.speed, gain: view.gain, layout: view.layout, off,
    fineGrid: pxPerMm >= FINE_GRID_FROM_PX_PER_MM, marked,
    difference_mm: view.difference && sheet.ecgs.length === 2 ? DIFFERENCE_BELOW_MM : null,
    pulses: plan.pulses.map((mm) => ({ x: PULSE.x_mm * pxPerMm, y: mm * pxPerMm })),
    strips: plan.strips.map((strip) => ({
      lead: strip.lead, row: strip.row, x: strip.x_mm * pxPerMm, y: strip.baseline_mm * pxPerMm,
      start_s: strip.start_s, seconds: strip.seconds,
    })),
  });
  const names = sheet.ecgs.map((ecg) => orderOf(sheet, ecg) + ecg.name).join(" and ");
  const what = kind === "beats" ? "Median beats, aligned on R" : "12-lead ECG on paper";
  const flagged = off.length
    ? `↕ Reaching over the neighbouring rows at this gain: ${off.map(printed).join(", ")}.` : "";
  sheet.flag.textContent = flagged;
  sheet.canvas.setAttribute("aria-label",
    `${what}: ${names}, ${view.speed} mm/s, ${view.gain} mm/mV. ${flagged}`);
}

// ---------------------------------------------------------------- calipers

function numbersOf(sheet) {
  const { a, b } = sheet.caliper;
  const ms = (Math.abs(b.x - a.x) / sheet.scale.pxPerMm / view.speed) * 1000;
  const mv = (a.y - b.y) / sheet.scale.pxPerMm / view.gain;
  return { ms, mv };
}

function drawCalipers() {
  let shown = null;
  for (const sheet of sheets) {
    if (!sheet.scale) continue;
    const ctx = sheet.top.getContext("2d");
    ctx.clearRect(0, 0, sheet.top.width, sheet.top.height);
    if (!sheet.caliper) continue;
    const { dpr } = sheet.scale;
    const { a, b } = sheet.caliper;
    const [x1, x2, y1, y2] = [a.x, b.x, a.y, b.y].map((value) => value * dpr);
    const [wide, high] = [sheet.top.width, sheet.top.height];
    const line = (...points) => {
      ctx.beginPath();
      ctx.moveTo(points[0], points[1]);
      ctx.lineTo(points[2], points[3]);
      ctx.stroke();
    };
    ctx.strokeStyle = COLOUR.caliper;
    ctx.fillStyle = COLOUR.caliperFill;
    ctx.lineWidth = Math.max(1, dpr);
    const box = {
      both: [x1, y1, x2 - x1, y2 - y1], time: [x1, 0, x2 - x1, high],
      voltage: [0, y1, wide, y2 - y1],
    }[view.axes];
    ctx.fillRect(...box);
    if (view.axes !== "voltage") {
      line(x1, 0, x1, high);
      line(x2, 0, x2, high);
      const step = x2 - x1;
      if (view.march && Math.abs(step) > 4 * dpr) {
        ctx.setLineDash([3 * dpr, 3 * dpr]);
        for (let x = x2 + step; x > 0 && x < wide; x += step) line(x, 0, x, high);
        for (let x = x1 - step; x > 0 && x < wide; x -= step) line(x, 0, x, high);
        ctx.setLineDash([]);
      }
    }
    if (view.axes !== "time") {
      line(0, y1, wide, y1);
      line(0, y2, wide, y2);
    }
    const { ms, mv } = numbersOf(sheet);
    const parts = [];
    if (view.axes !== "voltage") {
      parts.push(`${ms.toFixed(0)} ms`);
      if (ms >= 20) parts.push(`${(60000 / ms).toFixed(0)} per min`);
    }
    if (view.axes !== "time") parts.push(`${mv.toFixed(2).replace("-", "−")} mV`);
    shown = parts.join("  ·  ");
    readout.dataset.ms = ms.toFixed(2);
    readout.dataset.mv = mv.toFixed(4);
  }
  if (!shown) { delete readout.dataset.ms; delete readout.dataset.mv; }
  say(shown);
}

function clearCalipers() {
  for (const sheet of sheets) sheet.caliper = null;
  drawCalipers();
}

function addCalipers(sheet) {
  const where = (event) => {
    const box = sheet.top.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  let dragging = false;
  sheet.top.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.pointerType === "touch" && !view.touch)) return;
    for (const other of sheets) other.caliper = null;
    sheet.caliper = { a: where(event), b: where(event) };
    dragging = true;
    sheet.top.setPointerCapture(event.pointerId);
  });
  sheet.top.addEventListener("pointermove", (event) => {
    if (!dragging) return;
    sheet.caliper.b = where(event);
    drawCalipers();
  });
  const stop = () => {
    dragging = false;
    if (!sheet.caliper) return;
    const { a, b } = sheet.caliper;
    if (Math.hypot(b.x - a.x, b.y - a.y) < 2) clearCalipers(); // a click without a drag
  };
  sheet.top.addEventListener("pointerup", stop);
  sheet.top.addEventListener("pointercancel", stop);
  sheet.top.addEventListener("keydown", (event) => keyPressed(event, sheet));
}

function keyPressed(event, sheet) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const step = sheet.scale.pxPerMm * (event.shiftKey ? 5 : 0.5);
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step],
    ArrowDown: [0, step] }[key];
  if (key === "Escape") clearCalipers();
  else if (key === "t") { view.axes = view.axes === "time" ? "both" : "time"; drawCalipers(); }
  else if (key === "v") { view.axes = view.axes === "voltage" ? "both" : "voltage"; drawCalipers(); }
  else if (key === "m") toolbar.querySelector("button[name=march]").click();
  else if (move) {
    if (!sheet.caliper) {
      const x = sheet.scroller.scrollLeft + sheet.scroller.clientWidth / 2;
      const y = sheet.top.clientHeight / 2;
      for (const other of sheets) other.caliper = null;
      sheet.caliper = { a: { x, y }, b: { x, y } };
    }
    sheet.caliper.b.x += move[0];
    sheet.caliper.b.y += move[1];
    drawCalipers();
  } else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- sheets

function makeSheet(ecgs) {
  const box = make("figure", "ecg-sheet", desk);
  const scroller = make("div", "ecg-scroller", box);
  const stack = make("div", "ecg-stack", scroller);
  const canvas = make("canvas", "ecg-canvas", stack);
  canvas.setAttribute("role", "img");
  const top = make("canvas", "ecg-caliper", stack);
  top.tabIndex = 0;
  top.setAttribute("role", "application");
  top.setAttribute("aria-label", "Calipers: drag, or use the arrow keys. "
    + "T time only, V voltage only, M march, Escape clears.");
  top.classList.toggle("measuring", view.touch);
  const flag = make("figcaption", "ecg-flag", box);
  const sheet = {
    ecgs, box, scroller, canvas, top, flag, slot: ecgs[0].slot, start_s: 0, caliper: null, scale: null,
  };
  if (kind === "strips" && ecgs[0].seconds > SHEET_SECONDS + 0.05) addStart(sheet);
  addCalipers(sheet);
  return sheet;
}

function addStart(sheet) {
  const label = make("label", "ecg-start", sheet.box, "Start");
  const slider = make("input", "", label);
  slider.type = "range";
  slider.min = 0;
  slider.max = Math.ceil(sheet.ecgs[0].seconds - SHEET_SECONDS);
  slider.step = 1;
  slider.value = 0;
  const text = make("span", "", label);
  const tell = () => {
    const [from, to] = [sheet.start_s, sheet.start_s + SHEET_SECONDS].map((s) => Number(s.toFixed(1)));
    const { seconds, whole_seconds } = sheet.ecgs[0];
    text.textContent = `${from} to ${to} s of ${Math.round(whole_seconds)} s; `
      + "these are measured and asked about"
      + (whole_seconds > seconds ? `; what follows ${Math.floor(seconds)} s is not shown` : "");
  };
  tell();
  slider.addEventListener("input", () => {
    sheet.start_s = Math.min(Number(slider.value), sheet.ecgs[0].seconds - SHEET_SECONDS);
    tell();
    render();
  });
  slider.addEventListener("change", () => {
    sayWhere();
    trigger("select");
  });
}

// Where the server looks when a slider was moved: the drawing, and the start of each of its ECGs.
function sayWhere() {
  const start_s = [0, 0];
  for (const sheet of sheets) start_s[sheet.slot] = sheet.start_s;
  root.dataset.places = JSON.stringify({ drawing: props.value.drawing, start_s });
}

function load() {
  const given = props.value && props.value.ecgs ? props.value.ecgs : [];
  const ecgs = given.map((ecg, slot) => ecg && { ...decode(ecg), slot }).filter(Boolean);
  for (const sheet of sheets) sheet.box.remove();
  sheets = [];
  if (ecgs.length && kind === "beats") sheets = [makeSheet(ecgs)];
  else sheets = ecgs.map((ecg) => makeSheet([ecg]));
  empty.hidden = ecgs.length > 0;
  if (compareField) compareField.hidden = ecgs.length < 2;
  if (differenceToggle) differenceToggle.hidden = ecgs.length < 2;
  if (kind === "strips" && props.value?.drawing) sayWhere();
  render();
}

function mark(event) {
  marks = Array.isArray(event.detail) ? event.detail : [];
  evidenceToggle.hidden = marks.length === 0;
  render();
}

function render() {
  const wide = desk.clientWidth;
  if (wide < 40) return;
  const sideBySide = sheets.length > 1
    && (view.compare === "side" || (view.compare === "auto" && wide >= 1000));
  desk.classList.toggle("side-by-side", sideBySide);
  for (const sheet of sheets) {
    sheet.caliper = null; // it belongs to the old scale
    drawSheet(sheet, sideBySide);
  }
  drawCalipers();
}

let lastWidth = 0;
new ResizeObserver(() => {
  if (desk.clientWidth === lastWidth) return;
  lastWidth = desk.clientWidth;
  render();
}).observe(desk);
(function watchPixelRatio() {
  const query = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
  query.addEventListener("change", () => { render(); watchPixelRatio(); }, { once: true });
})();
watch("value", load);
if (kind === "strips") window.addEventListener("ecg-evidence", mark);
load();
