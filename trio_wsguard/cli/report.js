"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.querySelector(".chart");
  const tip = document.querySelector(".tip");
  const events = [...document.querySelectorAll("tbody tr[data-group]")];

  const written = (seconds) => {
    if (seconds < 0.9995) return (seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0) + " ms";
    if (seconds < 99.95) return seconds.toFixed(seconds < 9.995 ? 2 : 1) + " s";
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return minutes + " min " + String(Math.floor(seconds % 60)).padStart(2, "0") + " s";
    return Math.floor(minutes / 60) + " h " + String(minutes % 60).padStart(2, "0") + " min";
  };
  const clock = (at) => new Date(data.begin + at * 1000).toISOString().replace("T", " ").slice(0, 23);

  // The last value before a moment; none in a gap.
  const valueAt = (pieces, at) => {
    for (const piece of pieces) {
      if (at < piece[0][0]) return null;
      const slack = Math.max(1.5, data.duration / 300);
      if (at > piece[piece.length - 1][0] + slack) continue;
      let low = 0, high = piece.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (piece[middle][0] <= at) low = middle; else high = middle - 1;
      }
      return piece[low][1];
    }
    return null;
  };

  const line = (label, value) => {
    const row = document.createElement("div");
    for (const text of [label, value]) row.appendChild(document.createElement("span")).textContent = text;
    return row;
  };

  let at = 0;
  const show = (moment, x, y) => {
    at = Math.min(data.duration, Math.max(0, moment));
    chart.style.setProperty("--x", (at / data.duration) * 100);
    chart.classList.add("on");
    const head = document.createElement("b");
    head.textContent = clock(at);
    const rows = [head];
    const state = data.states.find((span) => at >= span[0] && at <= span[1]);
    if (state) rows.push(line("state", state[2]));
    for (const [key, label] of [["response", "response"], ["silence", "silence"], ["score", "score"]]) {
      if (key !== "score" && state && state[2] !== "CONNECTED") continue;
      const value = valueAt(data.lines[key], at);
      if (value !== null) rows.push(line(label, key === "score" ? value.toFixed(0) : written(value)));
    }
    const slack = data.duration / 400;
    for (const [label, spans] of data.rows) {
      const span = spans.find((one) => at >= one[0] - slack && at <= one[1] + slack);
      if (span) rows.push(line(label, written(span[1] - span[0])));
    }
    tip.replaceChildren(...rows);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const top = Math.min(y + 16, innerHeight - box.height - 8);
    tip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  };
  const hide = () => { tip.hidden = true; chart.classList.remove("on"); };

  const plot = chart.querySelector(".plot");
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (share < -0.01 || share > 1.01) return hide();
    show(share * data.duration, event.clientX, event.clientY);
  };
  chart.addEventListener("pointermove", follow);
  chart.addEventListener("pointerdown", follow);
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === "Escape") return hide();
    if (!step) return;
    event.preventDefault();
    const box = plot.getBoundingClientRect();
    const moment = Math.min(data.duration, Math.max(0, at + (step * data.duration) / 200));
    show(moment, box.left + (moment / data.duration) * box.width, box.top + 40);
  });

  const boxes = [...document.querySelectorAll(".filters input[type=checkbox]")];
  const search = document.querySelector(".filters input[type=search]");
  const none = document.querySelector(".none");
  const filter = () => {
    const groups = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of events) {
      row.hidden = !groups.has(row.dataset.group) || !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    none.hidden = shown > 0;
  };
  for (const box of boxes) box.addEventListener("change", filter);
  search.addEventListener("input", filter);
  filter(); // a browser may have kept what was ticked before a reload
})();
