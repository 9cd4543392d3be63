// A browser for the tests: pages that note what they complain of, and the checks every test ends with.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function launch() {
  assert.ok(existsSync(BROWSER), `no browser at ${BROWSER}: install chromium, or set CHROMIUM to one`);
  return chromium.launch({ executablePath: BROWSER, args: FLAGS });
}

/** A page in a context of its own. Everything it complains of is in `page.complaints`. */
export async function newPage(browser, address, { scheme = "light", width = 1440, height = 900, expectFailures = false, clock = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
  await context.addInitScript(() => {
    window.__csp = [];
    addEventListener("securitypolicyviolation", (event) => window.__csp.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.complaints = [];
  page.on("console", (message) => {
    const loading = expectFailures && message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !loading) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  if (clock) await page.clock.install();
  const response = await page.goto(address);
  page.headers = response.headers();
  return page;
}

export async function clean(page) {
  assert.deepEqual(await page.evaluate(() => window.__csp), [], "CSP violations");
  assert.equal(await page.evaluate(() => window.__xss), undefined, "text from the wire ran as a script");
  assert.deepEqual(page.complaints, [], "console");
}

export async function seriousViolations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary ?? ""}`).slice(0, 3).join(" | ")}`);
}
