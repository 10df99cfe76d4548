// Time as the page shows it: the server's clock, time zones, and durations in words. Moments are milliseconds.

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const LOCALE = "en-GB"; // the page is in English, and 24 hours a day
const NOTICEABLE = 1500; // a clock that is less wrong than this may be right: the message travelled, too
const KEPT_FORMATS = 300;

let offset = 0;
let mode = "viewer";
const formats = new Map();

/** What the server's clock shows. */
export function now() {
  return Date.now() + offset;
}

/** Learn how far our clock is off: the server's showed *serverMoment* when ours showed *ours*. */
export function heard(serverMoment, ours) {
  const difference = serverMoment - ours;
  if (!Number.isFinite(difference)) return;
  if (Math.abs(difference - offset) > NOTICEABLE) offset = Math.abs(difference) > NOTICEABLE ? difference : 0;
}

/** A moment from the wire, or null. */
export function moment(text) {
  return text ? Date.parse(text) : null;
}

/** The viewer's own zone. */
export const viewerZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Choose whose zone times are shown in: "viewer", "utc", or "schedule" (the agent's own). */
export function setZoneMode(value) {
  mode = value;
}

export function zoneMode() {
  return mode;
}

/** The zone to show the times of an agent in; of nobody in particular, without one. */
export function zoneFor(agentZone) {
  if (mode === "utc") return "UTC";
  return mode === "schedule" && agentZone ? agentZone : viewerZone;
}

function format(zone, options) {
  const key = zone + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) {
    if (formats.size > KEPT_FORMATS) formats.clear();
    found = new Intl.DateTimeFormat(LOCALE, { timeZone: zone, hourCycle: "h23", ...options });
    formats.set(key, found);
  }
  return found;
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const CLOCK_SECONDS = { ...CLOCK, second: "2-digit" };
const DATE = { weekday: "short", day: "numeric", month: "short" };
const FULL = { ...DATE, year: "numeric", ...CLOCK_SECONDS, timeZoneName: "short" };

/** "14:02:11", in *zone*. */
export function clockTime(at, zone, { seconds = true } = {}) {
  return format(zone, seconds ? CLOCK_SECONDS : CLOCK).format(at);
}

/** "14:02:11" today, "Tue 24 Nov, 14:02" on another day. */
export function shortTime(at, zone) {
  return dayOf(at, zone) === dayOf(now(), zone)
    ? clockTime(at, zone)
    : `${format(zone, DATE).format(at).replace(",", "")}, ${clockTime(at, zone, { seconds: false })}`;
}

/** "Tue, 24 Nov 2026, 14:02:11 CET". */
export function fullTime(at, zone) {
  return format(zone, FULL).format(at);
}

/** The short name of *zone* at that moment: "CET", "UTC", "GMT-3". */
export function zoneName(at, zone) {
  const parts = format(zone, { timeZoneName: "short" }).formatToParts(at);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

/** The calendar day in *zone*, as a text to compare. */
export function dayOf(at, zone) {
  return format(zone, { year: "numeric", month: "2-digit", day: "2-digit" }).format(at);
}

/** "3 min 12 s": the two largest units of a duration. */
export function span(ms) {
  const total = Math.max(0, Math.floor(ms / SECOND));
  if (total < 60) return `${total} s`;
  if (total < 3600) return two(Math.floor(total / 60), "min", total % 60, "s");
  if (total < 86400) return two(Math.floor(total / 3600), "h", Math.floor((total % 3600) / 60), "min");
  return two(Math.floor(total / 86400), "d", Math.floor((total % 86400) / 3600), "h");
}

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** How long a run took: "820 ms", "2.1 s", "4 min 12 s". */
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  return span(ms + SECOND / 2);
}

/**
 * "in 4 min 12 s", counted so that it reaches 0 at the moment itself. Without a connection nobody knows what became of
 * a moment that has passed since.
 */
export function countdown(at) {
  const left = at - now();
  if (left > 0) return `in ${span(left + SECOND - 1)}`;
  return document.documentElement.hasAttribute("data-stale") ? "was due" : "due now";
}

/** "12 s ago", "3 min ago": in the largest unit alone. */
export function ago(at) {
  const passed = now() - at;
  if (passed < SECOND) return "just now";
  const [size, unit] = UNITS.find(([size]) => passed >= size);
  return `${Math.floor(passed / size)} ${unit} ago`;
}

const UNITS = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];

const STEPS = [MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR];

/**
 * Where an axis from *since* to *until* has its marks: at most *most*, at round times of the clock in *zone*.
 * Across a change of the clock the marks are those the clock really shows.
 */
export function marks(since, until, zone, most) {
  const step = STEPS.find((size) => (until - since) / size <= most) ?? DAY;
  const found = [];
  const quarter = Math.min(step, 15 * MINUTE); // every zone is some quarters of an hour away from UTC
  for (let at = Math.ceil(since / quarter) * quarter; at <= until; at += quarter) {
    if (minuteOfDay(at, zone) % (step / MINUTE) === 0) found.push(at);
  }
  return found;
}

function minuteOfDay(at, zone) {
  const [hours, minutes] = clockTime(at, zone, { seconds: false }).split(":").map(Number);
  return hours * 60 + minutes;
}

/** Call *task* at every full second, until the returned function is called. */
export function everySecond(task) {
  let timer = 0;
  const next = () => {
    timer = setTimeout(() => {
      task();
      next();
    }, SECOND - (now() % SECOND) + 5);
  };
  next();
  return () => clearTimeout(timer);
}
