// ECG paper on a canvas: the body of a function (element, trigger, props, server, upload, watch)
// that a gr.HTML component runs once. props.value is {kind: "strips" | "beats", drawing: an id that
// no two strips share, ecgs: [...]}, each entry a payload of drawing.py or null. Everything is
// placed in millimetres of paper; one pxPerMm turns them into pixels for both axes. Names reach the
// page by fillText and textContent only, never as HTML.
const MISSING = -32768;
const PULSE = { seconds: 0.2, mv: 1, x_mm: 5 };
const SHEET_SECONDS = 10;
const DIFFERENCE_BELOW_MM = 17;
const FULL_SIZE_PX_PER_MM = 96 / 25.4; // what CSS calls a millimetre
const FINE_GRID_FROM_PX_PER_MM = 3;
const READABLE_PX_PER_MM = 3.2;
const NARROW_PX = 640;
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
  layout: "3x4", speed: 25, gain: 10, rhythm: "II", cabrera: false, compare: "auto",
  touch: false, axes: "both", march: false, evidence: true,
  difference: false, full: false, waves: kind === "beats", zoom: window.innerWidth < NARROW_PX ? "read" : "fit",
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
  addSelect("rhythm", "Rhythm", [...STANDARD, ...CHEST].map((lead) => [lead, `rhythm ${lead}`]));
  compareField = addSelect("compare", "Compare",
    [["auto", "two: fit"], ["side", "side by side"], ["stacked", "stacked"]]);
}
addSelect("zoom", "Zoom", [["fit", "fit"], ["read", "readable"], ["1.5", "× 1.5"], ["2", "× 2"],
  ["3", "× 3"]]);
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
addToggle("waves", "Marks", kind === "beats"
  ? "Onset and end of P, QRS and T; drag a line to move it (keys W, arrows, Z)"
  : "Onset and end of P, QRS and T, and the kind of each beat, under the rhythm strip", render);
const undoButton = make("button", "ecg-toggle", toolbar, "Undo mark");
undoButton.type = "button";
undoButton.name = "undo";
undoButton.hidden = true;
undoButton.addEventListener("click", undoMark);
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
  () => {
    sheets.forEach((sheet) => sheet.top.classList.toggle("measuring", view.touch));
    drawCalipers();
  });
touchToggle.classList.add("ecg-touch-only");
// Over the paper: in the toolbar its length would move what is being measured.
const readout = make("output", "ecg-readout", make("div", "ecg-over", null));
toolbar.after(readout.parentElement);
readout.setAttribute("aria-live", "polite");
say(null);

// What a drag does: on a touch screen it scrolls until the calipers are switched on.
function hint() {
  return window.matchMedia("(pointer: coarse)").matches && !view.touch
    ? "Swipe scrolls; Calipers measures" : "Drag to measure";
}

function say(text) {
  readout.textContent = text || hint();
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
