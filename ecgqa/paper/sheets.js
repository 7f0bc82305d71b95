// Sheets of paper, made anew for each drawing; the last of the files that run with paper.js.
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
    ecgs, box, scroller, canvas, top, flag, slot: ecgs[0].slot, start_s: ecgs[0].start_s || 0,
    caliper: null, scale: null,
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
  slider.value = sheet.start_s;
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

// The earlier ECG (the comparison, slot 1) is drawn and named before the later one.
const inOrder = (ecgs) => [...ecgs].sort((one, other) => other.slot - one.slot);

function load() {
  const given = props.value && props.value.ecgs ? props.value.ecgs : [];
  const ecgs = given.map((ecg, slot) => ecg && { ...decode(ecg), slot }).filter(Boolean);
  for (const sheet of sheets) sheet.box.remove();
  sheets = [];
  if (ecgs.length && kind === "beats") sheets = [makeSheet(ecgs)];
  else sheets = inOrder(ecgs).map((ecg) => makeSheet([ecg]));
  empty.hidden = ecgs.length > 0;
  if (compareField) compareField.hidden = ecgs.length < 2;
  if (differenceToggle) differenceToggle.hidden = ecgs.length < 2;
  if (kind === "strips" && props.value?.drawing) sayWhere();
  // Marks that came already moved can be taken back at once, to where they were found.
  before = ecgs.some((ecg) => ecg.found) ? [ecgs.map((ecg) => ecg.found || { ...ecg.waves })] : [];
  chosen = null;
  undoButton.hidden = before.length === 0;
  render();
}

function mark(event) {
  marks = Array.isArray(event.detail) ? event.detail : [];
  evidenceToggle.hidden = marks.length === 0;
  render();
}

function markWaves(event) {
  waves = Array.isArray(event.detail) ? event.detail : [];
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
    drawSheet(sheet);
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
if (kind === "strips") {
  window.addEventListener("ecg-evidence", mark);
  window.addEventListener("ecg-waves", markWaves);
}
load();
