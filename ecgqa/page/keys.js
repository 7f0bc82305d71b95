// Single keys for the whole page, and the sheet that lists them. Runs once, as the body of a
// function with QUESTIONS, the examples that the arrows walk through in the question's box.
const KEYS = [
  ["u", "Upload this ECG", () => pressVisible("#this-upload button.upload-container")],
  ["c", "Upload the comparison ECG", () => pressVisible("#other-upload button.upload-container")],
  ["x", "Swap this ECG and the comparison", () => pressVisible("#swap")],
  ["g", "Choose this ECG from the gallery", () => focusOn("#this-pick input")],
  ["/", "Go to the question", () => focusOn("#question textarea")],
  ["d", "Would the question alone give this answer?", () => pressVisible("#depends")],
  ["s", "Stop", () => pressVisible("#stop")],
  ["p", "Go to the paper", () => focusOn("#paper .ecg-caliper")],
  ["b", "Go to the median beats", openBeats],
  ["?", "Show or hide this sheet", () => toggleSheet()],
];
const ELSEWHERE = [
  ["In the question", [["↓ ↑", "Example questions"], ["Enter", "Ask"], ["Esc", "Leave the box"]]],
  ["On the paper", [["arrows", "Draw a caliper; with Shift by 5 mm"],
    ["T V", "Time only, voltage only"], ["M", "March along the strip"], ["Esc", "Remove it"]]],
  ["On the median beats", [["W", "Next mark"], ["← →", "Move it by 2 ms; with Shift by 10 ms"],
    ["Z", "Take the last move back"]]],
];
const STORE = "ecgqa-single-keys";
let areOn = true; // WCAG 2.1.4: single keys can be switched off
try { areOn = localStorage.getItem(STORE) !== "off"; } catch { /* no storage: they are on */ }

function focusOn(selector) {
  const found = document.querySelector(selector);
  found?.scrollIntoView({ block: "nearest" });
  found?.focus({ preventScroll: true });
}

function pressVisible(selector) {
  const button = document.querySelector(selector);
  if (button?.offsetParent) button.click();
}

function openBeats() {
  const label = document.querySelector("#median button.label-wrap");
  if (label && !label.classList.contains("open")) label.click();
  let frames = 0; // the panel opens, and is drawn then
  const look = () => {
    if (document.querySelector("#beats .ecg-caliper")?.offsetParent) focusOn("#beats .ecg-caliper");
    else if (frames++ < 300) requestAnimationFrame(look);
  };
  look();
}

function addRows(parent, title, rows) {
  const head = document.createElement("h3");
  head.textContent = title;
  const list = document.createElement("dl");
  for (const [key, what] of rows) {
    const term = document.createElement("dt");
    const kbd = document.createElement("kbd");
    kbd.textContent = key;
    term.append(kbd);
    const words = document.createElement("dd");
    words.textContent = what;
    list.append(term, words);
  }
  parent.append(head, list);
}

const sheet = document.createElement("dialog");
sheet.id = "keys";
sheet.setAttribute("aria-label", "Keyboard");
const columns = document.createElement("div");
addRows(columns, "On the page", KEYS);
for (const [title, rows] of ELSEWHERE) addRows(columns, title, rows);
const choice = document.createElement("label");
const box = document.createElement("input");
box.type = "checkbox";
box.checked = areOn;
box.addEventListener("change", () => {
  areOn = box.checked;
  try { localStorage.setItem(STORE, areOn ? "on" : "off"); } catch { /* for this visit only */ }
});
choice.append(box, " Single keys of the page are on");
const close = document.createElement("button");
close.type = "button";
close.textContent = "Close";
close.addEventListener("click", () => sheet.close());
sheet.append(columns, choice, close);
(document.querySelector(".gradio-container") || document.body).append(sheet);

function toggleSheet() {
  if (sheet.open) sheet.close();
  else sheet.showModal();
}

document.addEventListener("click", (event) => {
  if (event.target.closest?.("#keys-button")) toggleSheet();
});

// An example for the empty box, the next or last one for a box that holds an example.
function walkExamples(textarea, by) {
  const at = QUESTIONS.indexOf(textarea.value);
  if (at < 0 && textarea.value) return false;
  const next = at < 0 ? (by > 0 ? 0 : QUESTIONS.length - 1) : at + by;
  textarea.value = QUESTIONS[(next + QUESTIONS.length) % QUESTIONS.length];
  textarea.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  if (at.matches?.("#question textarea")) {
    if (event.key === "Escape") at.blur();
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && walkExamples(at, by)) event.preventDefault();
    return;
  }
  if (at.matches?.("input:not([type=radio], [type=checkbox], [type=range]), textarea, select")) return;
  const found = KEYS.find(([key]) => key === event.key.toLowerCase());
  if (!found || (!areOn && found[0] !== "?") || (sheet.open && found[0] !== "?")) return;
  event.preventDefault();
  found[2]();
});
