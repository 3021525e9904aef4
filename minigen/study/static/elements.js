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
  return element("a", { href: `#${number}`, title: label }, text);
}

function joined(items, separator = ", ") {
  return items.flatMap((item, i) => (i ? [separator, item] : [item]));
}
