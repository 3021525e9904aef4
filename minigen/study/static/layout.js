// A layered drawing of a graph. `layered` uses nothing outside of itself: it runs in a worker.

// nodes: [{width}], edges: [[from, to]] with from before to. Returns the centres, the size, and for
// each edge the points between boxes that it passes: a long edge takes room in each row on its way.
// Edges from one box share this room.
function layered(nodes, edges, rowHeight, gap) {
  const THIN = 6, MOST = 5000; // the width of an edge on its way, and the number of such points
  const n = nodes.length, into = nodes.map(() => []), out = nodes.map(() => []);
  for (const [a, b] of edges) { into[b].push(a); out[a].push(b); }
  const rank = new Array(n).fill(0);
  for (let i = 0; i < n; i++) for (const a of into[i]) rank[i] = Math.max(rank[i], rank[a] + 1);
  for (let i = n - 1; i >= 0; i--) { // what nothing precedes stands right above what uses it
    if (!into[i].length && out[i].length) rank[i] = Math.min(...out[i].map(b => rank[b])) - 1;
  }
  const widths = nodes.map(node => node.width), routes = edges.map(() => []);
  const passed = out.map((to, a) => Math.max(0, ...to.map(b => rank[b] - rank[a] - 1)));
  if (passed.reduce((sum, rows) => sum + rows, 0) < MOST) {
    into.forEach(list => { list.length = 0; });
    out.forEach(list => { list.length = 0; });
    const link = (a, b) => {
      if (out[a].includes(b)) return;
      out[a].push(b);
      into[b].push(a);
    };
    const onWay = passed.map((rows, a) => Array.from({ length: rows }, (_, k) => {
      widths.push(THIN);
      into.push([]);
      out.push([]);
      return rank.push(rank[a] + 1 + k) - 1;
    }));
    edges.forEach(([a, b], e) => {
      routes[e] = onWay[a].slice(0, rank[b] - rank[a] - 1);
      const stops = [a, ...routes[e], b];
      for (let k = 1; k < stops.length; k++) link(stops[k - 1], stops[k]);
    });
  }
  const lowest = Math.min(0, ...rank);
  const rows = [];
  rank.forEach((r, i) => (rows[r - lowest] ??= []).push(i));
  for (let r = 0; r < rows.length; r++) rows[r] ??= [];
  const order = new Array(rank.length).fill(0);
  rows.forEach(row => row.forEach((i, k) => { order[i] = k; }));
  for (let sweep = 0; sweep < 8; sweep++) { // barycentres, down and up in turn
    const down = sweep % 2 === 0, near = down ? into : out;
    for (const row of down ? rows : [...rows].reverse()) {
      const key = new Map(row.map(i => [i, near[i].length
        ? near[i].reduce((sum, j) => sum + order[j] / Math.max(1, rows[rank[j] - lowest].length), 0)
          / near[i].length * row.length : order[i]]));
      row.sort((a, b) => key.get(a) - key.get(b));
      row.forEach((i, k) => { order[i] = k; });
    }
  }
  const x = new Array(rank.length).fill(0), y = rank.map(r => (r - lowest + 0.5) * rowHeight);
  for (const row of rows) {
    let at = 0;
    for (const i of row) { x[i] = at + widths[i] / 2; at += widths[i] + gap; }
    for (const i of row) x[i] -= at / 2;
  }
  for (let sweep = 0; sweep < 16; sweep++) { // towards the neighbours, without overlaps
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      const wish = row.map(i => {
        const near = down ? into[i] : out[i];
        return near.length ? near.reduce((sum, j) => sum + x[j], 0) / near.length : x[i];
      });
      for (let k = 0; k < row.length; k++) {
        const i = row[k], left = row[k - 1];
        const least = k ? x[left] + (widths[left] + widths[i]) / 2 + gap : -Infinity;
        x[i] = Math.max(wish[k], least);
      }
      const shift = row.reduce((sum, i, k) => sum + wish[k] - x[i], 0) / Math.max(row.length, 1);
      for (const i of row) x[i] += shift;
    }
  }
  const left = Math.min(...x.map((z, i) => z - widths[i] / 2));
  const all = x.map((z, i) => ({ x: z - left, y: y[i] }));
  const width = Math.max(1, ...all.map((p, i) => p.x + widths[i] / 2));
  return {
    points: all.slice(0, n), width, height: rows.length * rowHeight,
    routes: routes.map(route => route.map(i => all[i])),
  };
}

// The layout from a worker, within a time limit; null where it takes longer.
function layoutSoon(job, limit, done) {
  const here = () => done(layered(...job));
  let worker, url;
  try {
    const text = `onmessage = e => postMessage(layered(...e.data));\n${layered}`;
    url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    worker = new Worker(url);
  } catch {
    here(); // without workers; the number of nodes has a limit
    return () => {};
  }
  const stop = () => { clearTimeout(timer); worker.terminate(); URL.revokeObjectURL(url); };
  const timer = setTimeout(() => { stop(); done(null); }, limit);
  worker.onmessage = event => { stop(); done(event.data); };
  worker.onerror = event => { event.preventDefault(); stop(); here(); };
  worker.postMessage(job);
  return stop;
}
