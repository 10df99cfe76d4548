// Chromium under the hand of a test: one JSON command a line on stdin, one answer a line on stdout.
//
//   {"id": 1, "do": "open", "options": {...}}                  -> {"id": 1, "value": "page-1"}
//   {"id": 2, "do": "page", "page": "page-1", "method": "goto", "args": [url]}
//   {"id": 3, "do": "locator", "page": "page-1", "selector": "h1", "text": "Agents", "method": "waitFor", "args": [{}]}
//   {"id": 4, "do": "evaluate", "page": "page-1", "code": "(name) => document.querySelector(name)", "argument": "h1"}

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../js/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [executablePath, patience] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});
const pages = new Map();

const commands = {
  async open({ options }) {
    const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", ...options });
    context.setDefaultTimeout(Number(patience));
    const page = await context.newPage();
    const name = `page-${pages.size + 1}`;
    const problems = [];
    const addresses = [];
    page.on("pageerror", (error) => problems.push(`error: ${error.stack ?? error}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`${message.type()}: ${message.text()}`);
    });
    page.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => addresses.push(request.url()));
    pages.set(name, { page, context, problems, addresses });
    return name;
  },

  async page({ page, method, args }) {
    return plain(await pages.get(page).page[method](...args));
  },

  async locator({ page, selector, text, method, args }) {
    let locator = pages.get(page).page.locator(selector);
    if (text !== null) locator = locator.filter({ hasText: text });
    return plain(await (method === "count" ? locator : locator.first())[method](...args));
  },

  evaluate({ page, code, argument }) {
    return pages.get(page).page.evaluate(`(${code})(${JSON.stringify(argument ?? null)})`);
  },

  async until({ page, code, argument }) {
    await pages.get(page).page.waitForFunction(`(${code})(${JSON.stringify(argument ?? null)})`);
  },

  // Its script comes by the debugger, which the page's policy does not hold back.
  async axe({ page }) {
    await pages.get(page).page.evaluate(AXE);
    const { violations } = await pages.get(page).page.evaluate(() => globalThis.axe.run(document, {
      resultTypes: ["violations"],
    }));
    return violations.map(({ id, impact, help, nodes }) => ({
      id, impact, help, nodes: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`),
    }));
  },

  press({ page, key }) {
    return pages.get(page).page.keyboard.press(key);
  },

  shiftClock({ page, by }) {
    return pages.get(page).page.addInitScript((offset) => {
      const real = Date.now.bind(Date);
      Date.now = () => real() + offset;
    }, by);
  },

  // Seconds of processor time by process of the browser.
  async processes() {
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    await session.detach();
    return Object.fromEntries(processInfo.map(({ type, id, cpuTime }) => [`${type} ${id}`, cpuTime]));
  },

  seen({ page }) {
    const { problems, addresses } = pages.get(page);
    return { problems, addresses };
  },

  async close({ page }) {
    await pages.get(page).context.close();
    pages.delete(page);
  },
};

/** What can be sent as JSON; a response or a handle is of no use to the other side. */
function plain(value) {
  return value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value)) ? null : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command.do](command))
    .then((value) => ({ id: command.id, value: value ?? null }), (error) => ({ id: command.id, error: String(error.message ?? error) }))
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await browser.close();
