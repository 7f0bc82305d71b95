// What is drawn, and where everything goes, in mm of paper. Runs in one function with paper.js.
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

// How far leads reach up and down from their baseline, in mm: no median beat is cut off.
function reachOf(sheet, leads) {
  let [up_mm, down_mm] = [0, 0];
  for (const ecg of sheet.ecgs) {
    for (const lead of leads) {
      for (const microvolts of ecg.samplesOf[lead]) {
        if (microvolts === MISSING) continue;
        up_mm = Math.max(up_mm, (microvolts * view.gain) / 1000);
        down_mm = Math.max(down_mm, (-microvolts * view.gain) / 1000);
      }
    }
  }
  return { up_mm, down_mm };
}

function planBeats(sheet) {
  const early = Math.max(...sheet.ecgs.map((ecg) => ecg.r_index / ecg.rate_hz));
  const late = Math.max(...sheet.ecgs.map((ecg) => (ecg.samples - ecg.r_index) / ecg.rate_hz));
  const cell_mm = Math.ceil(((early + late) * view.speed) / 5) * 5 + 5;
  const left_mm = PULSE.x_mm + PULSE.seconds * view.speed + 5;
  const reach = [STANDARD, CHEST].map((leads) => reachOf(sheet, leads));
  const first = Math.max(40, 20 + reach[0].up_mm);
  const pulses = [first, first + Math.max(45, reach[0].down_mm + reach[1].up_mm + 4)];
  const strips = [...STANDARD, ...CHEST].map((lead, i) => ({
    lead, row: Math.floor(i / 6), x_mm: left_mm + (i % 6) * cell_mm, start_s: -early,
    seconds: early + late, divider: false, baseline_mm: pulses[Math.floor(i / 6)],
  }));
  return {
    strips, pitch_mm: Math.max(35, ...reach.map((one) => Math.max(one.up_mm, one.down_mm) + 1)),
    pulses, width_mm: left_mm + 6 * cell_mm, fit_mm: left_mm + 6 * cell_mm,
    height_mm: pulses[1] + Math.max(30, reach[1].down_mm + 4),
  };
}

// ---------------------------------------------------------------- drawing

// "fit" shows the whole sheet, however small; "read" never less than the 1 mm grid needs.
function chooseScale(available_px, plan) {
  const dpr = window.devicePixelRatio || 1;
  const largest = kind === "beats" ? 5 : 8;
  const fit = Math.min(largest, available_px / plan.fit_mm);
  const wanted = view.zoom === "read" ? Math.max(READABLE_PX_PER_MM, fit)
    : fit * (view.zoom === "fit" ? 1 : Number(view.zoom));
  // Whole device pixels per 5 mm: every box of the grid is then the same size, and sharp.
  return { dpr, pxPerMm: Math.max(1, Math.floor(wanted * dpr * 5 + 1e-6)) / 5 / dpr };
}

function drawSheet(sheet) {
  const began = performance.now();
  const available_px = sheet.scroller.clientWidth;
  if (available_px < 40) return;
  const plan = kind === "beats" ? planBeats(sheet) : planStrips(sheet);
  const { dpr, pxPerMm } = chooseScale(available_px, plan);
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
  sheet.marksDrawn = kind === "beats" ? drawMedianMarks(ctx, sheet, plan, k, dpr)
    : drawWaves(ctx, sheet, plan, k, dpr);
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
  inOrder(sheet.ecgs).forEach((ecg, line) => {
    ctx.font = fontOf(k, dpr, 3.6, 650);
    ctx.fillStyle = ecg === sheet.ecgs[0] ? COLOUR.ink : COLOUR.second;
    let x = 3 * k;
    const room = (kind === "beats" ? 0.8 : 0.35) * sheet.scroller.clientWidth * dpr;
    const order = orderOf(sheet, ecg);
    const name = order + shorten(ctx, ecg.name,
      Math.max(70 * dpr, room - ctx.measureText(order).width));
    ctx.fillText(name, x, y);
    x += ctx.measureText(name).width + 14 * dpr;
    if (line === 0) {
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
    fineGrid: pxPerMm >= FINE_GRID_FROM_PX_PER_MM, marked, waves: sheet.marksDrawn,
    difference_mm: view.difference && sheet.ecgs.length === 2 ? DIFFERENCE_BELOW_MM : null,
    pulses: plan.pulses.map((mm) => ({ x: PULSE.x_mm * pxPerMm, y: mm * pxPerMm })),
    strips: plan.strips.map((strip) => ({
      lead: strip.lead, row: strip.row, x: strip.x_mm * pxPerMm, y: strip.baseline_mm * pxPerMm,
      start_s: strip.start_s, seconds: strip.seconds,
    })),
  });
  const names = inOrder(sheet.ecgs).map((ecg) => orderOf(sheet, ecg) + ecg.name).join(" and ");
  const what = kind === "beats" ? "Median beats, aligned on R" : "12-lead ECG on paper";
  const flagged = off.length
    ? `↕ Reaching over the neighbouring rows at this gain: ${off.map(printed).join(", ")}.` : "";
  sheet.flag.textContent = flagged;
  sheet.canvas.setAttribute("aria-label",
    `${what}: ${names}, ${view.speed} mm/s, ${view.gain} mm/mV. ${flagged}`);
}
