// How long runs took, as a chart: a dot for each run that completed, a cross for each that failed.

import { clockTime, DAY, duration, shortTime, zoneFor } from "../clock.js";
import { fill, h, setAttribute } from "../dom.js";
import { FAILURES } from "../wire.js";

const HEIGHT = 150;
let library = null;

function load() {
  library ??= import("/static/node_modules/uplot/dist/uPlot.esm.js").then((module) => module.default).catch(() => null);
  return library;
}

export class Durations {
  #chart = null;
  #runs = [];
  #zone;
  #resized = new ResizeObserver(() => this.#chart?.setSize({ width: this.element.clientWidth, height: HEIGHT }));

  constructor(agentZone) {
    this.#zone = zoneFor(agentZone);
    this.element = h("div", { class: "durations", role: "img" });
    this.#resized.observe(this.element);
  }

  close() {
    this.#resized.disconnect();
    this.#chart?.destroy();
  }

  /** Show these runs, in any order; those still running and the gaps are left out. */
  async show(runs) {
    this.#runs = runs.filter((run) => Number.isFinite(run.duration)).sort((a, b) => a.startedAt - b.startedAt);
    setAttribute(this.element, "aria-label", wordsOf(this.#runs));
    const uPlot = await load();
    if (!uPlot || !this.element.isConnected) return;
    if (this.#runs.length < 2) {
      this.#chart?.destroy();
      this.#chart = null;
      fill(this.element, h("p", { class: "hint" }, "A chart of durations appears after two runs."));
    } else if (this.#chart) {
      this.#chart.setData(this.#data());
    } else {
      this.#draw(uPlot);
    }
  }

  /** The colours are other ones. */
  async themed() {
    const uPlot = await load();
    if (!this.#chart || !uPlot) return;
    this.#chart.destroy();
    this.#draw(uPlot);
  }

  #data() {
    const of = (wanted) => this.#runs.map((run) => (wanted(run) ? run.duration / 1000 : null));
    return [
      this.#runs.map((run) => run.startedAt / 1000),
      of((run) => !FAILURES.has(run.outcome)), of((run) => FAILURES.has(run.outcome)),
    ];
  }

  #draw(uPlot) {
    fill(this.element);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => colourOf(name);
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--border"), width: 1 }, ticks: { show: false }, font: `12px ${style.fontFamily}` };
    this.#chart = new uPlot({
      width: Math.max(200, this.element.clientWidth), height: HEIGHT, legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), this.#zone),
      cursor: { y: false, points: { show: false } },
      scales: { y: { range: (_, least, most) => [0, (most || 1) * 1.1] } },
      axes: [
        { ...axis, size: 28, space: 80, values: (_, values, _index, _space, step) => values.map((value) => timeMark(value * 1000, step, this.#zone)) },
        { ...axis, size: 64, values: (_, values) => values.map(durationMark) },
      ],
      series: [
        {},
        { stroke: colour("--ok"), width: 1, spanGaps: true, points: { show: true, size: 5, fill: colour("--ok") } },
        { stroke: colour("--bad"), width: 0, points: { show: false } },
      ],
      hooks: { draw: [(chart) => crosses(chart, colour("--bad"))] },
    }, this.#data(), this.element);
  }
}

/** The day, where the marks are days apart; else the time. */
function timeMark(at, step, zone) {
  return step >= DAY / 1000 ? shortTime(at, zone).split(",")[0] : clockTime(at, zone, { seconds: step < 60 });
}

/** Short enough for the edge of a chart: "90 s", "2.5 min". */
function durationMark(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${Number(seconds.toFixed(1))} s`;
  return seconds < 6000 ? `${Number((seconds / 60).toFixed(1))} min` : `${Number((seconds / 3600).toFixed(1))} h`;
}

/** A failed run is a cross: its colour is not its only sign. */
function crosses(chart, colour) {
  const [times, , failed] = chart.data;
  const { ctx } = chart;
  const size = 4 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.beginPath();
  failed.forEach((value, index) => {
    if (value === null) return;
    const x = chart.valToPos(times[index], "x", true);
    const y = chart.valToPos(value, "y", true);
    ctx.moveTo(x - size, y - size);
    ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size);
    ctx.lineTo(x - size, y + size);
  });
  ctx.stroke();
  ctx.restore();
}

/** A canvas does not know the page's variables: the colour as the browser works it out. */
function colourOf(name) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function wordsOf(runs) {
  if (!runs.length) return "No durations yet";
  const sorted = runs.map((run) => run.duration).sort((a, b) => a - b);
  const failed = runs.filter((run) => FAILURES.has(run.outcome)).length;
  const median = sorted[Math.floor(sorted.length / 2)];
  return `Durations of ${runs.length} runs: ${duration(sorted[0])} to ${duration(sorted.at(-1))}, median ${duration(median)}; ${failed} failed.`;
}
