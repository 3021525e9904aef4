// Pictures of arrays: cells of one byte each, drawn on a canvas.

const NAN = 0, PLUS = 1, MINUS = 2, ZERO = 128, DEEPEST = 125, GAP = 5;
const WIDTH = 286, HEIGHT = 216, BARS_HEIGHT = 72, NARROW = 120; // pixels of a picture, at most

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

// [red, green, blue] of each byte: about a middle of 0, from blue to red; else one colour's shades.
function paletteOf(name, isShades) {
  const dark = isDark();
  const shades = dark ? [[44, 48, 46], [112, 222, 192]] : [[248, 244, 226], [14, 96, 84]];
  const middle = dark ? [38, 39, 42] : [250, 249, 246];
  const low = dark ? [88, 166, 255] : [24, 92, 166];
  const high = dark ? [255, 123, 84] : [187, 58, 32];
  return Array.from({ length: 256 }, (_, code) => {
    if (code === NAN) return [255, 196, 0];
    if (code === PLUS || code === MINUS) return [138, 43, 226];
    const x = (code - ZERO) / DEEPEST;
    if (name) return Array(3).fill(Math.round(255 * Math.max(x, 0)));
    if (isShades) {
      const [from, to] = shades;
      return from.map((m, i) => Math.round(m + (to[i] - m) * Math.min(1, (x + 1) / 2)));
    }
    const end = x < 0 ? low : high;
    return middle.map((m, i) => Math.round(m + (end[i] - m) * Math.abs(x) ** 0.8));
  });
}

function cellsOf(picture) {
  const text = atob(picture.cells);
  const cells = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) cells[i] = text.charCodeAt(i);
  return cells;
}

// Where cells are drawn: pixels of a cell, tiles in a row, and the size of the whole.
function arrangement(picture) {
  const [tiles, rows, columns] = picture.drawn;
  const cut = [rows < picture.whole[1], columns < picture.whole[2]].map(
    c => c && picture.kind === "matrix");
  const across = Math.max(1, Math.min(tiles, Math.ceil(Math.sqrt((tiles * rows) / columns))));
  const down = Math.ceil(tiles / across);
  const fit = Math.min(
    (WIDTH - across * 4 - (cut[1] ? GAP : 0) * across) / (across * columns),
    (HEIGHT - down * 4 - (cut[0] ? GAP : 0) * down) / (down * rows));
  const cell = Math.max(fit > 1 ? Math.floor(fit) : 1, 1);
  const size = Math.min(cell, tiles > 1 ? 8 : 28);
  // A narrow matrix has wider cells, as a thread could not be seen.
  const wide = tiles > 1 ? size : Math.max(size, Math.min(30, Math.floor(NARROW / columns)));
  const tileWidth = columns * wide + (cut[1] ? GAP : 0);
  const tileHeight = rows * size + (cut[0] ? GAP : 0);
  const pad = tiles > 1 ? 4 : 0;
  return {
    size, wide, across, cut, tileWidth, tileHeight, pad,
    width: across * (tileWidth + pad) - pad, height: down * (tileHeight + pad) - pad,
  };
}

function offset(i, drawn, isCut, size) {
  return i * size + (isCut && i >= Math.ceil(drawn / 2) ? GAP : 0);
}

function newCanvas(width, height, label) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const canvas = element("canvas", {
    width: Math.round(width * ratio), height: Math.round(height * ratio),
    role: "img", "aria-label": label, style: `width:${width}px`,
  });
  canvas.style.aspectRatio = `${width} / ${height}`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return [canvas, context];
}

// Pictures are painted after the page has changed, and not at all if it changes before.
let toPaint = [];
function paintSoon(paint) {
  if (!toPaint.length) {
    requestAnimationFrame(() => {
      const waiting = toPaint;
      toPaint = [];
      waiting.forEach(act => act());
    });
  }
  toPaint.push(paint);
}

function heatMap(picture, label) {
  const at = arrangement(picture);
  const [canvas, context] = newCanvas(at.width, at.height, label);
  paintSoon(() => canvas.isConnected && paintTiles(picture, at, context));
  return canvas;
}

function paintTiles(picture, at, context) {
  const [tiles, rows, columns] = picture.drawn, plane = rows * columns;
  const cells = cellsOf(picture), palette = paletteOf(picture.palette, picture.middle);
  const channels = picture.palette === "colour" ? 3 : 1;
  const small = new OffscreenCanvas(columns, rows), brush = small.getContext("2d");
  const image = brush.createImageData(columns, rows);
  const halves = n => [[0, Math.ceil(n / 2)], [Math.ceil(n / 2), n]].filter(([a, b]) => b > a);
  context.imageSmoothingEnabled = false;
  for (let t = 0; t < tiles; t++) {
    const left = (t % at.across) * (at.tileWidth + at.pad);
    const top = Math.floor(t / at.across) * (at.tileHeight + at.pad);
    const first = t * channels * plane, marks = [];
    for (let k = 0; k < plane; k++) {
      for (let c = 0; c < 3; c++) {
        image.data[4 * k + c] = palette[cells[first + (channels === 3 ? c * plane : 0) + k]][c];
      }
      image.data[4 * k + 3] = 255;
      if (cells[first + k] <= MINUS) marks.push(k);
    }
    brush.putImageData(image, 0, 0);
    for (const [i, iEnd] of halves(rows)) {
      for (const [j, jEnd] of halves(columns)) {
        context.drawImage(small, j, i, jEnd - j, iEnd - i,
          left + offset(j, columns, at.cut[1], at.wide), top + offset(i, rows, at.cut[0], at.size),
          (jEnd - j) * at.wide, (iEnd - i) * at.size);
      }
    }
    for (const k of marks) {
      const x = left + offset(k % columns, columns, at.cut[1], at.wide) + (at.wide - at.size) / 2;
      const y = top + offset(Math.floor(k / columns), rows, at.cut[0], at.size);
      mark(context, cells[first + k], x, y, at.size);
    }
  }
}

// A cross for NaN, an upright or downward triangle for an infinity.
function mark(context, code, x, y, size) {
  if (size < 3) return;
  context.beginPath();
  if (code === NAN) {
    context.moveTo(x, y); context.lineTo(x + size, y + size);
    context.moveTo(x + size, y); context.lineTo(x, y + size);
    context.lineWidth = Math.max(1, size / 7);
    context.strokeStyle = "#000";
    context.stroke();
  } else {
    const [base, tip] = code === PLUS ? [y + size * 0.85, y + size * 0.15]
      : [y + size * 0.15, y + size * 0.85];
    context.moveTo(x + size * 0.1, base); context.lineTo(x + size * 0.9, base);
    context.lineTo(x + size / 2, tip);
    context.fillStyle = "#fff";
    context.fill();
  }
}

function bars(picture, label) {
  const n = picture.drawn[1] * picture.drawn[2], all = picture.whole[1] * picture.whole[2];
  const width = Math.max(1, Math.min(18, Math.floor((WIDTH - GAP) / n)));
  const [canvas, context] = newCanvas(n * width + (n < all ? GAP : 0), BARS_HEIGHT, label);
  paintSoon(() => canvas.isConnected
    && paintBars(cellsOf(picture), n < all, width, context, picture.middle));
  return canvas;
}

// Bars from 0; where 0 is far from all values, a point for each between the least and the largest.
function paintBars(cells, isCut, width, context, middle) {
  const palette = paletteOf("", middle), n = cells.length;
  const codes = Array.from(cells).filter(code => code > MINUS);
  const [low, high] = [Math.min(ZERO, ...codes), Math.max(ZERO, ...codes)];
  const unit = (BARS_HEIGHT - 2) / Math.max(high - low, 1), zero = 1 + (high - ZERO) * unit;
  const step = width > 2 ? width - 1 : width;
  cells.forEach((code, i) => {
    const x = offset(i, n, isCut, width);
    context.fillStyle = `rgb(${palette[code <= MINUS ? code : code < ZERO ? 3 : 253]})`;
    if (code <= MINUS) {
      context.fillRect(x, 0, width, BARS_HEIGHT);
      mark(context, code, x, BARS_HEIGHT / 2 - width / 2, width);
    } else if (middle) {
      const y = 1 + (high - code) * unit;
      context.fillStyle = `rgb(${palette[253]})`;
      context.fillRect(x, Math.max(0, Math.min(y - 1.5, BARS_HEIGHT - 3)), step, 3);
    } else {
      const end = zero - (code - ZERO) * unit;
      context.fillRect(x, Math.min(zero, end), step, Math.max(Math.abs(end - zero), 0.5));
    }
  });
  if (middle) return;
  context.fillStyle = "rgba(128,128,128,.7)";
  context.fillRect(0, zero - 0.5, n * width + GAP, 1);
}

// What is under the pointer: the index and, to the precision of a byte, the value.
function valueUnder(picture, event) {
  const canvas = event.currentTarget, box = canvas.getBoundingClientRect();
  const at = picture.kind === "bars" ? null : arrangement(picture);
  const [tiles, rows, columns] = picture.drawn;
  const drawnWidth = parseFloat(canvas.style.width);
  const x = ((event.clientX - box.left) / box.width) * drawnWidth;
  const y = ((event.clientY - box.top) / box.width) * drawnWidth;
  const cells = cellsOf(picture);
  const clipped = code => {
    if (code <= MINUS) return ["NaN", "∞", "−∞"][code];
    const sign = Math.abs(code - ZERO) === DEEPEST ? (code > ZERO ? "≥ " : "≤ ") : "≈ ";
    const x = numberOf(picture.middle || 0) + ((code - ZERO) / DEEPEST) * numberOf(picture.scale);
    return (picture.beyond || x === 0 ? sign : "≈ ") + numberText(x);
  };
  const isFirst = (i, drawn, all) => drawn === all || i < Math.ceil(drawn / 2);
  const whole = (i, drawn, all) => (isFirst(i, drawn, all) ? i : all - drawn + i);
  if (!at) {
    const n = cells.length, all = picture.whole[1] * picture.whole[2];
    const width = (drawnWidth - (n < all ? GAP : 0)) / n;
    const after = n < all && x > Math.ceil(n / 2) * width ? GAP : 0;
    const i = Math.max(0, Math.min(n - 1, Math.floor((x - after) / width)));
    return `[${whole(i, n, all)}] ${clipped(cells[i])}`;
  }
  const column = Math.floor(x / (at.tileWidth + at.pad));
  const row = Math.floor(y / (at.tileHeight + at.pad)), t = row * at.across + column;
  const inner = (z, drawn, isCut, size) => {
    const after = isCut && z > Math.ceil(drawn / 2) * size ? GAP : 0;
    return Math.max(0, Math.min(drawn - 1, Math.floor((z - after) / size)));
  };
  const i = inner(y - row * (at.tileHeight + at.pad), rows, at.cut[0], at.size);
  const j = inner(x - column * (at.tileWidth + at.pad), columns, at.cut[1], at.wide);
  if (t >= tiles || picture.palette === "colour") return "";
  const stride = picture.kind === "image" ? Math.ceil(picture.whole[1] / rows) : 0;
  const index = stride ? [i * stride, j * stride]
    : [whole(i, rows, picture.whole[1]), whole(j, columns, picture.whole[2])];
  const first = picture.whole[0] > 1 ? `${t}: ` : "";
  return `[${first}${index.join(", ")}] ${clipped(cells[(t * rows + i) * columns + j])}`;
}
