// Calipers and the keys of the paper. Runs in one function with paper.js.
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
  let grabbed = null; // a mark of the median beats
  const reachOfPointer = (event) => (event.pointerType === "touch" ? 14 : 5);
  sheet.top.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.pointerType === "touch" && !view.touch)) return;
    grabbed = markAt(sheet, where(event), reachOfPointer(event));
    if (grabbed) {
      rememberMarks();
      chosen = grabbed;
      grabbed.x = where(event).x;
      sheet.top.setPointerCapture(event.pointerId);
      return;
    }
    for (const other of sheets) other.caliper = null;
    sheet.caliper = { a: where(event), b: where(event) };
    dragging = true;
    sheet.top.setPointerCapture(event.pointerId);
  });
  sheet.top.addEventListener("pointermove", (event) => {
    if (grabbed) {
      const { x } = where(event);
      moveMark(grabbed, (x - grabbed.x) / sheet.scale.pxPerMm / view.speed);
      grabbed.x = x;
      render();
      sayMark(grabbed);
      return;
    }
    sheet.top.style.cursor = !dragging && markAt(sheet, where(event), 5) ? "ew-resize" : "";
    if (!dragging) return;
    sheet.caliper.b = where(event);
    drawCalipers();
  });
  const stop = () => {
    if (grabbed) {
      const held = grabbed;
      grabbed = null;
      marksMoved();
      sayMark(held);
      return;
    }
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
  if (markKey(key, event, sheet)) { event.preventDefault(); return; }
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
