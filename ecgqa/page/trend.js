// What is typed and pressed in the trend's list and charts. Runs once for each of the two, as the
// body of a function of a gr.HTML (element, trigger, props, watch); the server is told by `tell`.
const rowOf = (item) => Object.fromEntries([["key", item.dataset.key],
  ...["name", "date", "time"].map((name) => [name, item.querySelector(`input[name=${name}]`).value])]);

function tell(what) {
  const rows = [...document.querySelectorAll("#trend-list li[data-key]")].map(rowOf);
  document.querySelector("#trend-list").dataset.told = JSON.stringify({
    ...what, rows, turn: performance.now(), // the server may hear of two in another order
  });
  trigger("select");
}

element.addEventListener("change", (event) => {
  // A year that is being typed is no date yet.
  if (event.target.matches("li input") && event.target.checkValidity()) tell({ do: "edit" });
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) {
    tell({ do: button.dataset.do, key: button.dataset.key || button.closest("li").dataset.key });
    return;
  }
  const point = event.target.closest("[data-point]");
  if (!point) return;
  for (const one of element.querySelectorAll("[data-point]")) {
    one.classList.toggle("chosen", one.dataset.point === point.dataset.point);
  }
  const chosen = element.querySelector(".trend-chosen");
  chosen.replaceChildren(document.createTextNode(point.dataset.said));
  for (const [what, words] of [["lay-1", "Lay it as comparison"], ["lay-0", "Lay it as this ECG"]]) {
    const offered = document.createElement("button");
    offered.type = "button";
    offered.dataset.do = what;
    offered.dataset.key = point.dataset.point;
    offered.textContent = words;
    chosen.append(offered);
  }
});

// The list is made anew: the one who types or presses stays where they were.
let held = null;
element.addEventListener("focusin", (event) => { held = event.target.dataset.id || null; });
watch("value", () => requestAnimationFrame(() => {
  if (held && document.activeElement === document.body) {
    element.querySelector(`[data-id="${CSS.escape(held)}"]`)?.focus();
  }
}));
