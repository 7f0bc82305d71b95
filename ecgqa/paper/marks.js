// The marks of the waves (P, QRS, T): on every beat of the rhythm strip, and on the median beats,
// where they can be moved. Runs in one function with paper.js, which comes after it.
"use strict";

const MARKS = {
  p_on: "P onset", p_off: "P end", qrs_on: "QRS onset", qrs_off: "QRS end", t_off: "T end",
};
const MARK_COLOUR = { p_on: "#0f766e", p_off: "#0f766e", qrs_on: "#b91c1c", qrs_off: "#b91c1c",
  t_off: "#6d28d9" };
const BEAT_LETTER = {
  normal: "N", "premature narrow": "S", "premature wide": "V", wide: "W", paced: "P",
};
const LEAST_GAP_S = 0.004;
let waves = []; // strips: [{slot, sha256, beats: [{kind, r_peak, p_on, ...}]}], seconds of the record
let before = []; // beats: the marks before each move, the last one last
let chosen = null; // beats: {ecg, name} of the mark that the keyboard moves

// Ticks under the rhythm strip (or lead II), and a letter for what each beat is.
function drawWaves(ctx, sheet, plan, k, dpr) {
  const drawn = [];
  if (!view.waves) return drawn;
  const found = waves.find((one) => one.slot === sheet.slot && one.sha256 === sheet.ecgs[0].sha256);
  if (!found) return drawn;
  const long = LAYOUTS[view.layout].rhythm ? plan.strips.slice(-1)
    : plan.strips.filter((strip) => strip.lead === "II");
  for (const strip of long) {
    const xOf = (t) => (strip.x_mm + (t - strip.start_s) * view.speed) * k;
    const inside = (t) => t !== undefined && t >= strip.start_s && t <= strip.start_s + strip.seconds;
    for (const beat of found.beats) {
      for (const [name, colour] of Object.entries(MARK_COLOUR)) {
        if (!inside(beat[name])) continue;
        ctx.strokeStyle = colour;
        ctx.lineWidth = Math.max(1, dpr);
        ctx.beginPath();
        ctx.moveTo(xOf(beat[name]), (strip.baseline_mm + 3) * k);
        ctx.lineTo(xOf(beat[name]), (strip.baseline_mm + 7) * k);
        ctx.stroke();
        drawn.push({ name, t: beat[name], x: xOf(beat[name]) / dpr });
      }
      if (!inside(beat.r_peak)) continue;
      ctx.font = fontOf(k, dpr, 2.8, 650);
      ctx.fillStyle = beat.kind === "normal" ? COLOUR.quiet : COLOUR.warn;
      ctx.textAlign = "center";
      ctx.fillText(BEAT_LETTER[beat.kind] || "?", xOf(beat.r_peak), (strip.baseline_mm + 11) * k);
      ctx.textAlign = "start";
      drawn.push({ name: BEAT_LETTER[beat.kind], t: beat.r_peak, x: xOf(beat.r_peak) / dpr });
    }
  }
  return drawn;
}

// Lines through every lead of the median beats, dashed for the second ECG.
function drawMedianMarks(ctx, sheet, plan, k, dpr) {
  const drawn = [];
  if (!view.waves) return drawn;
  for (const strip of plan.strips) {
    sheet.ecgs.forEach((ecg, which) => {
      for (const [name, at_s] of Object.entries(ecg.waves || {})) {
        const t = at_s - ecg.r_index / ecg.rate_hz;
        const x = (strip.x_mm + (t - strip.start_s) * view.speed) * k;
        const isChosen = chosen && chosen.ecg === ecg && chosen.name === name;
        ctx.strokeStyle = MARK_COLOUR[name];
        ctx.lineWidth = (isChosen ? 3 : 1) * Math.max(1, dpr);
        ctx.setLineDash(which ? [3 * dpr, 3 * dpr] : []);
        ctx.beginPath();
        ctx.moveTo(x, (strip.baseline_mm - 13) * k);
        ctx.lineTo(x, (strip.baseline_mm + 8) * k);
        ctx.stroke();
        drawn.push({ name, which, lead: strip.lead, x: x / dpr, y: (strip.baseline_mm * k) / dpr });
      }
    });
  }
  ctx.setLineDash([]);
  return drawn;
}

// The mark within reach of a pointer on the median beats, or null.
function markAt(sheet, where, reach_px) {
  if (kind !== "beats" || !view.waves || !sheet.marksDrawn) return null;
  let best = null;
  for (const mark of sheet.marksDrawn) {
    const far = Math.abs(mark.x - where.x);
    const high = Math.abs(mark.y - where.y) <= 13 * sheet.scale.pxPerMm;
    if (high && far <= reach_px && (!best || far < best.far)) {
      best = { ecg: sheet.ecgs[mark.which], name: mark.name, far };
    }
  }
  return best;
}

// Marks keep their order and stay on the beat.
function moveMark({ ecg, name }, by_s) {
  const names = Object.keys(MARKS).filter((one) => ecg.waves[one] !== undefined);
  const i = names.indexOf(name);
  const low = i > 0 ? ecg.waves[names[i - 1]] + LEAST_GAP_S : 0;
  const high = i + 1 < names.length ? ecg.waves[names[i + 1]] - LEAST_GAP_S
    : (ecg.samples - 1) / ecg.rate_hz;
  ecg.waves[name] = Math.max(low, Math.min(high, ecg.waves[name] + by_s));
}

const copyOfMarks = () => sheets[0].ecgs.map((ecg) => ({ ...ecg.waves }));

function rememberMarks() {
  before.push(copyOfMarks());
}

function undoMark() {
  const last = before.pop();
  if (!last) return;
  sheets[0].ecgs.forEach((ecg, i) => { ecg.waves = last[i]; });
  marksMoved();
}

// The server's table follows; it is told all marks, so that the last word counts.
function marksMoved() {
  const told = [{}, {}];
  for (const ecg of sheets[0].ecgs) told[ecg.place] = ecg.waves;
  root.dataset.marks = JSON.stringify({ id: props.value.id, marks: told });
  undoButton.hidden = before.length === 0;
  render();
  trigger("select");
}

function sayMark({ ecg, name }) {
  const ms = 1000 * (ecg.waves[name] - ecg.r_index / ecg.rate_hz);
  say(`${MARKS[name]}  ·  ${ms.toFixed(0).replace("-", "−")} ms from R`);
}

// W chooses a mark, the arrows move it by 2 or (with Shift) 10 ms, Z takes the last move back.
function markKey(key, event, sheet) {
  if (kind !== "beats") return false;
  const all = sheet.ecgs.flatMap((ecg) => Object.keys(ecg.waves || {}).map((name) => ({ ecg, name })));
  if (key === "z") undoMark();
  else if (key === "w" && all.length && view.waves) {
    const at = all.findIndex((one) => chosen && one.ecg === chosen.ecg && one.name === chosen.name);
    chosen = all[(at + 1) % all.length];
    render();
    sayMark(chosen);
  } else if (key === "Escape" && chosen) {
    chosen = null;
    render();
  } else if (chosen && (key === "ArrowLeft" || key === "ArrowRight")) {
    rememberMarks();
    moveMark(chosen, (key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 0.01 : 0.002));
    marksMoved();
    sayMark(chosen);
  } else return false;
  return true;
}
