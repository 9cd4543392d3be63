// The built page in a real browser: against the mock server, or against a real one when AUSCULT_URL is set.
// Screenshots of both colour schemes go to a temporary directory, named at the end.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";
import { HOSTILE } from "../mock/data.mjs";
import { start } from "../mock/server.mjs";

const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const real = process.env.AUSCULT_URL?.replace(/\/$/, "");
const shots = mkdtempSync(join(tmpdir(), "auscult-page-"));

let browser;
let mock = null;
let base;
/** Everything the page complained of in the running test. */
let complaints = [];
let context = null;

before(async () => {
  assert.ok(existsSync(BROWSER), `no browser at ${BROWSER}: install chromium, or set CHROMIUM to one`);
  if (!real) {
    assert.ok(existsSync(new URL("../dist/index.html", import.meta.url)), "web/dist is missing: run `npm run build` first");
    mock = await start();
  }
  base = real ?? mock.url;
  browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
});

after(async () => {
  await browser?.close();
  await mock?.close();
  console.log(`# screenshots: ${shots}`);
});

afterEach(async () => {
  await context?.close();
  context = null;
});

async function open(path, { at = base, scheme = "light", width = 1440, height = 900, expectFailures = false } = {}) {
  complaints = [];
  context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
  await context.addInitScript(() => {
    window.__csp = [];
    addEventListener("securitypolicyviolation", (event) => window.__csp.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => {
    const loading = expectFailures && message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !loading) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const response = await page.goto(at + path);
  page.headers = response.headers();
  return page;
}

async function clean(page) {
  assert.deepEqual(await page.evaluate(() => window.__csp), [], "CSP violations");
  assert.equal(await page.evaluate(() => window.__xss), undefined, "text from the wire ran as a script");
  assert.deepEqual(complaints, [], "console");
}

async function api(path) {
  const response = await fetch(`${base}/api/v1${path}`);
  assert.equal(response.status, 200, path);
  return response.json();
}

async function rows(page) {
  await page.waitForSelector('table.calls[aria-busy="false"] tbody tr');
  return page.$$eval("table.calls a.open", (links) => links.map((link) => link.getAttribute("href").slice("/calls/".length)));
}

/** A call with RTP in both directions and its signalling, the worst such. */
async function twoWayCall() {
  const { calls } = await api("/calls?sort=worst&limit=200");
  for (const call of calls.filter((each) => each.stream_ids.length >= 2)) {
    const detail = await api(`/calls/${call.id}`);
    const [a] = detail.streams;
    const back = detail.streams.some((b) => b.src.split(":")[0] === a.dst.split(":")[0]);
    if (back && detail.ladder.length > 0 && detail.streams.every((s) => (detail.intervals[s.id] ?? []).length > 0)) return detail;
  }
  throw new Error("the server has no call with media both ways");
}

async function seriousViolations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary ?? ""}`).slice(0, 3).join(" | ")}`);
}

test("the list opens on the data that is there, worst first", async () => {
  const page = await open("/");
  const shown = await rows(page);
  const { calls } = await api(`/calls?sort=worst&limit=50`);
  assert.ok(calls.length > 0, "the server has no calls");
  assert.deepEqual(shown.slice(0, calls.length), calls.map((call) => call.id));
  const range = await api("/range");
  assert.match(await page.locator(".strip .summary b").innerText(), /calls?$/);
  assert.equal(await page.getByLabel("From, UTC").inputValue(), range.from.slice(0, 19).replace("T", " "));
  for (const value of await page.locator("td .mos").allInnerTexts()) assert.match(value, /\d\.\d\d\s*(NB|WB|FB)$/, "a MOS without its scale");
  await clean(page);
});

test("the page has a strict content security policy and keeps it", async () => {
  const page = await open("/");
  await rows(page);
  const policy = page.headers["content-security-policy"] ?? "";
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval/);
  await clean(page);
});

test("typing filters rows and the address, Back takes it away", async () => {
  const page = await open("/");
  const all = await rows(page);
  const { calls } = await api("/calls?sort=worst&limit=50");
  const user = calls.map((call) => call.caller.user).find((each) => /^\+?\d{4,}$/.test(each)) ?? calls.find((call) => call.caller.user)?.caller.user;
  assert.ok(user, "no call with a number");
  await page.keyboard.press("/");
  await page.keyboard.type(user, { delay: 15 });
  await page.waitForURL((url) => url.searchParams.get("number") === user);
  await page.waitForFunction((n) => document.querySelectorAll("table.calls tbody tr").length < n || n === 1, all.length);
  const filtered = await rows(page);
  assert.ok(filtered.length >= 1 && filtered.length <= all.length);
  for (const text of await page.locator("table.calls .parties").allInnerTexts()) assert.ok(text.includes(user), text);
  await page.goBack();
  await page.waitForURL((url) => !url.searchParams.has("number"));
  await page.waitForFunction((n) => document.querySelectorAll("table.calls tbody tr").length >= n, all.length);
  assert.equal(await page.locator("#search").inputValue(), "");
  await clean(page);
});

test("half an address says what is missing, a whole one filters", async () => {
  const page = await open("/");
  await rows(page);
  const { calls } = await api("/calls?sort=worst&limit=50");
  const at = calls.find((call) => /^\d+\./.test(call.signalling_src ?? ""))?.signalling_src.split(":")[0];
  assert.ok(at, "no call with an IPv4 signalling address");
  const half = at.slice(0, at.lastIndexOf(".") + 1);
  await page.locator("#search").fill(half);
  await page.waitForTimeout(500);
  assert.equal(new URL(page.url()).search, "");
  await page.getByText("Searches when the address is whole").waitFor();
  assert.equal(await page.locator("#search").inputValue(), half);
  await page.locator("#search").fill(at);
  await page.waitForURL((url) => url.searchParams.get("address") === at);
  assert.ok((await rows(page)).length > 0);
  await clean(page);
});

test("a filter in the address applies on opening and shows in its field", async () => {
  const { calls } = await api("/calls?sort=worst&limit=50");
  const codec = calls.find((call) => call.codecs.length > 0)?.codecs[0];
  const page = await open(`/?codec=${codec}&sort=newest`);
  await rows(page);
  assert.equal(await page.locator('input[name="codec"]').inputValue(), codec);
  for (const cell of await page.locator("table.calls tbody tr td:nth-child(6)").allInnerTexts()) assert.ok(cell.includes(codec), cell);
  const starts = await page.locator("table.calls td.when time").evaluateAll((times) => times.map((time) => time.dateTime));
  assert.deepEqual(starts, [...starts].sort().reverse());
  await clean(page);
});

test("dragging over the strip narrows the window", async () => {
  const page = await open("/");
  await rows(page);
  const box = await page.locator(".strip .plot").boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 30, { steps: 6 });
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.has("from") && url.searchParams.has("to"));
  const asked = new URL(page.url()).searchParams;
  const range = await api("/range");
  const share = (Date.parse(asked.get("to")) - Date.parse(asked.get("from"))) / (Date.parse(range.to) - Date.parse(range.from));
  assert.ok(share > 0.3 && share < 0.8, `half of the range was picked, got ${share}`);
  await page.getByRole("button", { name: /All that is stored|Last 31 days/ }).click();
  await page.waitForURL((url) => !url.searchParams.has("from"));
  await clean(page);
});

test("j, k and Enter open a call, Escape leads back to the list as it was", async () => {
  const page = await open("/");
  const all = await rows(page);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  const target = all[Math.min(1, all.length - 2)] ?? all[0];
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("href")), `/calls/${target}`);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/calls/${target}`);
  await page.waitForSelector(".verdict-head h1");
  if (all.length > 3) {
    await page.keyboard.press("j");
    await page.waitForURL(`**/calls/${all[2]}`);
    await page.keyboard.press("k");
    await page.waitForURL(`**/calls/${target}`);
  }
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => url.pathname === "/");
  assert.deepEqual((await rows(page)).slice(0, all.length), all);
  await clean(page);
});

test("the skip link is the first stop and leads to the content", async () => {
  const page = await open("/");
  await rows(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
});

test("scrolling down loads the calls after the first page, once each", { skip: real !== undefined }, async () => {
  const page = await open("/");
  const first = await rows(page);
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await page.waitForFunction((n) => document.querySelectorAll("table.calls tbody tr").length > n, first.length);
  const more = await rows(page);
  assert.equal(new Set(more).size, more.length);
  assert.deepEqual(more.slice(0, first.length), first);
  await clean(page);
});

test("a call shows its verdict, both directions drawn on one axis, and every message", async () => {
  const detail = await twoWayCall();
  const page = await open(`/calls/${detail.call.id}`);
  await page.waitForSelector(".charts canvas");
  await page.waitForTimeout(300);
  const lanes = await page.locator(".lane").count();
  assert.ok(lanes >= 2, "a lane per direction");
  assert.equal(await page.locator(".lane canvas").count(), lanes * 3);
  const drawn = await page.locator(".lane canvas").evaluateAll((all) =>
    all.map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const colours = new Set();
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      const below = data.slice(-4 * canvas.width * 14).filter((value, i) => i % 4 === 3 && value > 0).length;
      return { colours: colours.size, below, left: Math.round(canvas.closest(".u-wrap").querySelector(".u-over").getBoundingClientRect().left), width: canvas.closest(".u-wrap").querySelector(".u-over").clientWidth };
    }),
  );
  for (const each of drawn) assert.ok(each.colours > 3, "an empty chart");
  assert.ok(drawn.at(-1).below > 100, "no times at the axis");
  assert.equal(new Set(drawn.map(({ left, width }) => `${left} ${width}`)).size, 1, "lanes share one time axis");

  assert.equal(await page.locator(".ladder .message").count(), detail.ladder.length);
  assert.match(await page.locator(".ladder pre").innerText(), /Call-ID/i);
  await page.locator('.ladder .message[data-index="0"]').focus();
  await page.keyboard.press("ArrowDown");
  const second = detail.ladder[1] ?? detail.ladder[0];
  assert.ok((await page.locator(".ladder pre").innerText()).startsWith(second.headers.split(/\r?\n/)[0]));
  await page.locator(".marks g").last().focus();
  await page.keyboard.press("Enter");
  assert.notEqual(await page.locator('.ladder .message[aria-pressed="true"]').getAttribute("data-index"), "1");

  const budgeted = detail.streams.filter((stream) => stream.r_budget !== null);
  assert.equal(await page.locator(".budget").count(), budgeted.length);
  if (budgeted.length > 0) {
    assert.match(await page.locator(".budget p").first().innerText(), /at best.*codec.*loss.*late packets.*= R [\d.]+ \((NB|WB|FB)\)/);
    const widths = await page.locator(".budget").first().locator("dd > svg rect").evaluateAll((rects) => rects.map((rect) => Number(rect.getAttribute("width"))));
    assert.ok(Math.abs(widths.reduce((sum, width) => sum + width, 0) - 1000) < 0.01, "the parts fill the bar");
  }
  assert.equal(await page.locator(".costs table").count(), detail.streams.filter((stream) => Object.values(stream.late_pct).some((share) => share !== null)).length);
  assert.ok((await page.locator(".trust li").count()) >= 5);
  const filter = await page.getByRole("button", { name: "Wireshark filter" }).getAttribute("data-copy");
  assert.ok(filter.startsWith(`sip.Call-ID == "`) && filter.includes("udp.port in {"), filter);
  if (detail.call.diagnoses.length > 0) assert.equal(await page.locator(".diagnoses li").count(), detail.call.diagnoses.length);
  await clean(page);
});

test("the cursor is shared between the lanes, a drag zooms all of them", async () => {
  const detail = await twoWayCall();
  const page = await open(`/calls/${detail.call.id}`, { height: 1300 });
  await page.waitForSelector(".charts canvas");
  const over = page.locator(".lane .u-over").first();
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 20);
  await page.waitForFunction(() => [...document.querySelectorAll(".lane .u-cursor-x")].every((line) => line.style.transform !== "" && !line.style.transform.includes("-10px")));
  assert.match(await page.locator(".readout").first().innerText(), /delay variation p50/);
  const before = await page.locator(".marks g").count();
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 22, { steps: 5 });
  await page.mouse.up();
  await page.getByRole("button", { name: "Whole call" }).waitFor();
  assert.ok((await page.locator(".marks g").count()) < before, "signalling follows the zoom");
  await page.getByRole("button", { name: "Whole call" }).click();
  assert.equal(await page.locator(".marks g").count(), before);
  await clean(page);
});

test("charts have a table twin", async () => {
  const detail = await twoWayCall();
  const page = await open(`/calls/${detail.call.id}`);
  await page.waitForSelector(".twin summary");
  await page.locator(".twin summary").first().click();
  const shown = await page.locator(".twin").first().locator("tbody tr").count();
  assert.ok(Object.values(detail.intervals).some((each) => each.length === shown), `${shown} rows`);
});

test("statistics show percentiles per group and over time", async () => {
  const page = await open("/stats?group_by=codec");
  await page.waitForSelector("table.stats tbody tr");
  const { groups } = await api("/stats?group_by=codec");
  assert.equal(await page.locator("table.stats tbody tr").count(), groups.length);
  await page.waitForSelector(".overtime canvas");
  await page.getByLabel("Trunk", { exact: true }).check();
  await page.waitForURL((url) => url.searchParams.get("group_by") === "codec,trunk");
  const link = page.locator("table.stats tbody a").first();
  await link.click();
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.has("from"));
  await clean(page);
});

test("the name of a figure leads to what it means", async () => {
  const page = await open("/");
  await rows(page);
  await page.locator("table.calls thead a", { hasText: "Loss" }).click();
  await page.waitForURL("**/docs/metrics#loss_pct");
  await page.waitForSelector("#loss_pct:target");
  assert.ok(await page.locator("#loss_pct").evaluate((at) => at.getBoundingClientRect().top >= 0 && at.getBoundingClientRect().bottom <= innerHeight), "scrolled to it");
  await page.goBack();
  await rows(page);
  await clean(page);
});

test("names from the wire are text", { skip: real !== undefined }, async () => {
  const hostile = mock.world.find(({ call }) => call.caller.name === HOSTILE);
  const page = await open(`/?number=${encodeURIComponent(hostile.call.caller.user)}`);
  await rows(page);
  assert.ok((await page.locator("table.calls").innerText()).includes("<img src=x"));
  await page.locator("table.calls a.open").first().click();
  await page.waitForSelector(".ladder .message");
  assert.ok((await page.locator(".who").innerText()).includes("<script>"));
  await page.locator(".ladder .message").nth(1).click();
  assert.ok((await page.locator(".ladder pre").innerText()).includes("<img src=x"));
  await page.waitForTimeout(200);
  await clean(page);
});

test("what goes wrong is said in one line", async () => {
  const page = await open("/?mos_below=zero", { expectFailures: true });
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /mos_below/);
  await page.goto(`${base}/calls/0000000000000000`);
  await page.getByRole("alert").waitFor();
  await page.goto(`${base}/?number=no-such-number-at-all`);
  await page.getByText("No call matches these filters").waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await rows(page);
  await clean(page);
});

test("calls that ended since are offered, not pushed in", { skip: real !== undefined }, async () => {
  const page = await open("/");
  await rows(page);
  const button = page.getByRole("button", { name: /1 call ended since/ });
  await button.waitFor();
  await page.keyboard.press("r");
  await button.waitFor({ state: "detached" });
  await clean(page);
});

test("an empty store says what to do", { skip: real !== undefined }, async () => {
  const empty = await start({ empty: true });
  try {
    const page = await open("/", { at: empty.url });
    await page.getByText("Nothing is stored yet.").waitFor();
    await clean(page);
  } finally {
    await empty.close();
  }
});

test("a chosen colour scheme is kept", async () => {
  const page = await open("/");
  await rows(page);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByLabel("Colours").selectOption("dark");
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await rows(page);
  assert.equal(await ground(), dark);
  await clean(page);
});

for (const scheme of ["light", "dark"]) {
  test(`no serious accessibility violation, ${scheme}; screenshots`, async () => {
    const detail = await twoWayCall();
    const pages = [
      ["list", "/", "table.calls tbody tr", 1440],
      ["list-narrow", "/", "table.calls tbody tr", 900],
      ["call", `/calls/${detail.call.id}`, ".charts canvas", 1440],
      ["call-narrow", `/calls/${detail.call.id}`, ".charts canvas", 900],
      ["stats", "/stats?group_by=codec,trunk", ".overtime canvas", 1440],
      ["figures", "/docs/metrics", ".prose table", 900],
    ];
    for (const [name, path, ready, width] of pages) {
      const page = await open(path, { scheme, width });
      await page.waitForSelector(ready);
      await page.waitForTimeout(350);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name} is ${wide} px wider than the window`);
      await page.screenshot({ path: join(shots, `${name}-${scheme}.png`), fullPage: name.startsWith("call") });
      assert.deepEqual(await seriousViolations(page), [], name);
      await clean(page);
      await context.close();
    }
    context = null;
  });
}
