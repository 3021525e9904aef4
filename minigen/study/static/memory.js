// The bar below: the bytes alive at each step.

const bar = { svg: null, line: null, label: null };
const peak = memory.length ? memory.reduce((a, b, i) => (b > memory[a] ? i : a), 0) : 0;

function makeMemory() {
  const n = Math.max(steps.length, 1), most = Math.max(memory[peak] || 0, 1);
  bar.svg = drawing("svg", {
    viewBox: `0 0 ${n} 100`, preserveAspectRatio: "none", role: "slider", tabindex: "0",
    "aria-label": "Memory alive at each step", "aria-valuemin": 0, "aria-valuemax": n - 1,
  });
  const heights = new Array(n).fill(0); // of the bands so far
  const edge = () => heights.map(bytes => (100 - (94 * bytes) / most).toFixed(1));
  for (const band of bands) {
    const low = edge();
    band.bytes.forEach((bytes, i) => { heights[i] += bytes; });
    const there = edge().map((y, i) => `L${i} ${y}H${i + 1}`).join("");
    const back = low.map((y, i) => `L${i + 1} ${y}H${i}`).reverse().join("");
    const d = `M0 ${low[0]}${there}${back}Z`;
    bar.svg.append(drawing("path", { class: `band ${band.key}`, d }));
  }
  for (const pass of passes) {
    const width = (pass.last ?? n) - pass.first;
    bar.svg.append(drawing("rect", { class: "pass", x: pass.first, y: 0, width, height: 100 }));
  }
  bar.line = drawing("rect", { class: "now", y: 0, height: 100, width: 0 });
  bar.svg.append(bar.line);
  bar.label = element("p", { class: "facts keys" });
  byId("memory").replaceChildren(bar.label, bar.svg);
  const at = event => {
    const box = bar.svg.getBoundingClientRect();
    go(Math.floor(((event.clientX - box.left) / box.width) * n));
  };
  bar.svg.addEventListener("pointerdown", event => {
    bar.svg.setPointerCapture(event.pointerId);
    at(event);
  });
  bar.svg.addEventListener("pointermove", event => event.buttons && at(event));
}

function updateMemory(current) {
  const n = steps.length;
  const width = (2 * n) / Math.max(bar.svg.clientWidth, 1);
  bar.line.setAttribute("x", Math.min(current + 0.5 - width / 2, n - width));
  bar.line.setAttribute("width", width);
  const text = `${bytesText(memory[current] || 0)} alive`;
  const parts = bands.filter(band => band.bytes[current]);
  const words = parts.map(band => `${band.name} ${bytesText(band.bytes[current])}`);
  bar.svg.setAttribute("aria-valuenow", current);
  bar.svg.setAttribute("aria-valuetext", `step ${current}: ${text}. ${words.join(", ")}`);
  const link = stepLink(peak, `step ${peak}`);
  const most = bytesText(memory[peak] || 0);
  const keys = parts.map((band, i) => element("span", { class: "key", "aria-hidden": "true" },
    element("span", { class: `swatch ${band.key}` }), words[i]));
  const title = element("span", { class: "alive", title: "Without the temporaries of ops and the "
    + "operands of deferred products, which run.memory() finds by calling ops again" },
    element("b", {}, text), ` — ${most} at the peak, `, link);
  bar.label.replaceChildren(title, ...keys);
}
