// The user's source, with the line of the current step lit.

const source = { file: null, lines: new Map(), lit: null, box: null };
const stepsOfLine = new Map(); // "file:line" -> numbers of steps
for (const step of steps) {
  if (step.file === undefined) continue;
  const key = `${step.file}:${step.line}`;
  if (!stepsOfLine.has(key)) stepsOfLine.set(key, []);
  stepsOfLine.get(key).push(step.number);
}

function makeSource() {
  source.box = element("div", {
    class: "code", tabindex: "0", role: "region", "aria-label": "Lines" });
  const tabs = files.map((file, i) => element("button", {
    class: "file", title: file.path, "aria-pressed": "false", onclick: () => showFile(i),
  }, file.name));
  byId("source").replaceChildren(element("div", { class: "tabs" }, ...tabs), source.box);
  if (!files.length) source.box.append(element("p", { class: "note" }, "No source was found."));
}

// Parts of a line: comments and texts are set apart, and words of the language.
const WORDS = "def class return for in if elif else while with as import from lambda yield not and "
  + "or is None True False raise try except finally assert pass global await async break continue";
const TEXT = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/.source;
const PARTS = new RegExp(`(#.*$)|(${TEXT})|\\b(${WORDS.replaceAll(" ", "|")})\\b`, "g");

// A long line may be broken after a bracket and a comma, not within a name.
function breakable(text) {
  return joined(text.split(/(?<=[([{,])/), null).map(
    part => part ?? element("wbr"));
}

function lineParts(text, state) {
  const made = [];
  const add = (part, kind) => {
    if (part) made.push(...(kind ? [element("span", { class: kind }, part)] : breakable(part)));
  };
  let rest = text;
  while (rest) {
    if (state.quote) {
      const end = rest.indexOf(state.quote);
      const stop = end < 0 ? rest.length : end + 3;
      add(rest.slice(0, stop), "text");
      if (end >= 0) state.quote = "";
      rest = rest.slice(stop);
      continue;
    }
    const open = /"""|'''/.exec(rest);
    const hash = rest.indexOf("#");
    const stop = open && (hash < 0 || hash > open.index) ? open.index : rest.length;
    let last = 0;
    for (const match of rest.slice(0, stop).matchAll(PARTS)) {
      add(rest.slice(last, match.index));
      add(match[0], match[1] ? "comment" : match[2] ? "text" : "word");
      last = match.index + match[0].length;
    }
    add(rest.slice(last, stop));
    rest = rest.slice(stop);
    if (rest) {
      state.quote = rest.slice(0, 3);
      add(state.quote, "text");
      rest = rest.slice(3);
    }
  }
  return made;
}

function showFile(i) {
  if (source.file === i) return;
  source.file = i;
  source.lines.clear();
  const made = [];
  files[i].parts.forEach(([first, lines], part) => {
    const state = { quote: "" };
    if (part || first > 1) made.push(element("div", { class: "gap" }, "⋯"));
    lines.forEach((text, k) => {
      const number = first + k, line = lineElement(text, number, i, state);
      source.lines.set(number, line);
      made.push(line);
    });
  });
  source.box.replaceChildren(...made);
  byId("source").querySelectorAll(".file").forEach((tab, k) =>
    tab.setAttribute("aria-pressed", String(k === i)));
}

function lineElement(text, number, file, state) {
  const found = stepsOfLine.get(`${file}:${number}`);
  const indent = text.length - text.trimStart().length;
  const code = element("code", { style: `--indent:${Math.min(indent, 24)}ch` });
  code.append(...lineParts(text.trim(), state));
  const line = element("div", { class: found ? "line active" : "line" });
  const label = `line ${number}, ${found ? found.length : 0} steps`;
  line.append(found
    ? element("button", {
      class: "at", tabindex: "-1", "aria-label": label,
      title: `${found.length} ${found.length > 1 ? "steps" : "step"} of this line`,
      onclick: () => goToLine(file, number) }, String(number))
    : element("span", { class: "at" }, String(number)), code);
  if (found) code.addEventListener("click", () => goToLine(file, number));
  return line;
}

// The next step of a line after the current one, and from the last on its first.
function goToLine(file, number) {
  if (String(getSelection())) return; // text is being selected
  const found = stepsOfLine.get(`${file}:${number}`);
  go(found.find(n => n > study.current()) ?? found[0]);
}

function updateSource(step) {
  source.lit?.classList.remove("lit", "back");
  source.lit?.removeAttribute("aria-label");
  source.lit = null;
  if (step.file === undefined) {
    if (source.file === null && files.length) showFile(0);
    return;
  }
  showFile(step.file);
  source.lit = source.lines.get(step.line);
  if (!source.lit) return;
  source.lit.classList.add("lit");
  if (step.back) source.lit.classList.add("back");
  const box = source.box, top = source.lit.offsetTop, height = box.clientHeight;
  const margin = Math.min(60, height / 4);
  if (top < box.scrollTop + margin || top > box.scrollTop + height - margin - 20) {
    const wanted = top - height / 2.5; // the first line in view is whole
    const first = [...box.children].find(line => line.offsetTop >= wanted);
    box.scrollTop = first ? first.offsetTop : wanted;
  }
}
