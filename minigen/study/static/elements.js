// Making elements. All text goes in as text nodes, so that markup in names and source stays text.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function stepLink(number, text = `step ${number}`) {
  const step = steps[number];
  const label = `step ${number}, ${step.op}${step.back ? ", backward" : ""}`;
  const act = event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // in a frame of a notebook the address is that of the notebook
    go(number);
  };
  return element("a", { href: `#${number}`, title: label, onclick: act }, text);
}

function joined(items, separator = ", ") {
  return items.flatMap((item, i) => (i ? [separator, item] : [item]));
}
