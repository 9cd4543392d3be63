// The built page in a real browser: against the mock server, or against a real one when AUSCULT_URL is set.
// Screenshots of both colour schemes go to a temporary directory, named at the end.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { HOSTILE } from "../mock/data.mjs";
import { start } from "../mock/server.mjs";
import { clean, launch, newPage, seriousViolations } from "./browser.mjs";

const real = process.env.AUSCULT_URL?.replace(/\/$/, "");
const shots = mkdtempSync(join(tmpdir(), "auscult-page-"));

let browser;
let mock = null;
let base;
let context = null;

before(async () => {
  if (!real) {
    assert.ok(existsSync(new URL("../dist/index.html", import.meta.url)), "web/dist is missing: run `npm run build` first");
    mock = await start();
  }
  base = real ?? mock.url;
  browser = await launch();
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

async function open(path, { at = base, ...more } = {}) {
  const page = await newPage(browser, at + path, more);
  context = page.context();
  return page;
}

async function api(path) {
  const response = await fetch(`${base}/api/v1${path}`);
  assert.equal(response.status, 200, path);
  return response.json();
}

async function rows(page) {
  await page.waitForSelector('table.calls[aria-busy="false"] tbody tr');
  return page.$$eval("table.calls a.open", (links) => links.map((link) => /^\/calls\/([0-9a-f]{16})\?first_at=20/.exec(link.getAttribute("href"))[1]));
}

/** A call with RTP in both directions and its signalling, the worst such. */
async function twoWayCall() {
  const { calls } = await api("/calls?sort=worst&limit=200");
  for (const call of calls.filter((each) => each.stream_ids.length >= 2)) {
    const detail = await detailOf(call.id);
    const [a] = detail.streams;
    const back = detail.streams.some((b) => b.src.split(":")[0] === a.dst.split(":")[0]);
    if (back && detail.ladder.length > 0 && detail.streams.every((s) => (detail.intervals[s.id] ?? []).length > 0)) return detail;
  }
  throw new Error("the server has no call with media both ways");
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

test("alerts say what fires, and what cannot be judged", async () => {
  const { alerts, evaluated } = await api("/alerts");
  for (const width of [1440, 900, 390]) {
    const page = await open("/alerts", { width });
    if (!evaluated) {
      await page.getByText("No rules are evaluated.").waitFor();
    } else {
      await page.locator("article.alert.firing").first().waitFor();
      assert.equal(await page.locator("article.alert:not(.past)").count(), alerts.length);
      assert.match(await page.locator(".top .badge").innerText(), /^1/);
      assert.match(await page.locator("article.alert.firing").innerText(), /trunk carrier-a/);
      await page.locator("article.alert.firing .charts canvas").waitFor();
      assert.match(await page.locator("article.alert.firing .charts").getAttribute("aria-label"), /trunk_loss_critical: .* firing/);
      await page.locator("article.alert.firing .rule summary").click();
      assert.match(await page.locator("article.alert.firing .rule pre").innerText(), /fire = \{ above = 5 \}/);
      const few = page.locator("details.of-state", { hasText: "too few streams" });
      assert.equal(await few.locator("article").count(), 0, "loaded when it is opened");
      await few.locator("summary").first().click();
      await few.locator("article", { hasText: "carrier-b" }).first().waitFor();
      const past = page.locator("article.alert.past");
      assert.equal(await past.count(), 1, "one that fires is not recent");
      assert.match(await past.innerText(), /for 42/);
      await past.getByRole("button", { name: "Chart" }).click();
      await past.locator(".charts canvas").waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "wider than the screen");
    }
    assert.deepEqual(await seriousViolations(page), []);
    await page.screenshot({ path: join(shots, `alerts-${width}.png`), fullPage: true });
    await clean(page);
    await context.close();
  }
});

test("an alert is silenced with a reason, and the silence ended", { skip: real !== undefined }, async () => {
  const page = await open("/alerts");
  const firing = page.locator("article.alert.firing");
  await firing.getByRole("button", { name: "Silence" }).click();
  const send = firing.getByRole("button", { name: "Silence it" });
  assert.equal(await send.isDisabled(), true, "not without a reason");
  await firing.getByLabel("Reason, which others read").fill("<b>carrier</b> works on it");
  assert.deepEqual(await seriousViolations(page), []);
  await send.click();
  await firing.getByText("Silenced until").waitFor();
  assert.match(await page.locator(".silences").innerText(), /<b>carrier<\/b> works on it/);
  assert.equal(await firing.getByRole("button", { name: "Silence" }).count(), 0);
  await page.getByRole("button", { name: "End it now" }).click();
  await page.locator(".silences .over").waitFor();
  await firing.getByRole("button", { name: "Silence" }).waitFor();
  await clean(page);
});

test("at 900 px no filter's name is cut, and evidence shows its figures", async () => {
  const page = await open("/", { width: 900 });
  await rows(page);
  const cut = await page.locator(".filters .field > span, .filters .field > label").evaluateAll((all) => all.filter((each) => each.scrollWidth > each.clientWidth + 1 && !each.classList.contains("sr")).map((each) => each.textContent));
  assert.deepEqual(cut, []);
  assert.deepEqual(await page.locator(".live").evaluate((live) => [live.scrollWidth <= live.clientWidth, live.firstElementChild.getBoundingClientRect().left >= live.getBoundingClientRect().left]), [true, true], "the live figures are cut");
  const { calls } = await api("/calls?sort=worst&limit=50");
  const lossy = calls.find(({ diagnoses }) => /^\S+ to \S+: /.test(diagnoses[0]?.evidence ?? ""));
  if (lossy) assert.match(await page.locator(`a.open[href^="/calls/${lossy.id}?"]`).locator("xpath=..").locator("p").first().innerText(), /^[\d.]/);
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
  await page.getByRole("button", { name: /All data|Last 31 days/ }).click();
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
  assert.match(await page.evaluate(() => document.activeElement?.getAttribute("href")), new RegExp(`^/calls/${target}[?]`));
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/calls/${target}?first_at=*`);
  await page.waitForSelector(".verdict-head h1");
  if (all.length > 3) {
    await page.keyboard.press("j");
    await page.waitForURL(`**/calls/${all[2]}?first_at=*`);
    await page.keyboard.press("k");
    await page.waitForURL(`**/calls/${target}?first_at=*`);
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
  // A link whose time was spoilt on its way still leads to the call.
  const page = await open(`/calls/${detail.call.id}?first_at=yesterday`);
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

  assert.ok((await page.locator(".trust li").count()) >= 5);
  const filter = await page.getByRole("button", { name: "Wireshark filter" }).getAttribute("data-copy");
  assert.ok(filter.startsWith(`sip.Call-ID == "`) && filter.includes("udp.port in {"), filter);
  if (detail.call.diagnoses.length > 0) assert.equal(await page.locator(".diagnoses li").count(), detail.call.diagnoses.length);
  await clean(page);
});

/** A lane's parts in the order of the streams they belong to. */
function streamsOnPage(detail, lanes) {
  const shown = lanes.flatMap(({ ssrcs }) => ssrcs);
  const streams = shown.map((ssrc) => detail.streams.find((stream) => stream.ssrc === ssrc));
  assert.equal(new Set(shown).size, detail.streams.length, "every stream once");
  return streams;
}

async function openCall(detail, more = {}) {
  const page = await open(`/calls/${detail.call.id}`, more);
  await page.waitForSelector(".charts canvas");
  const lanes = await page.locator(".lane").evaluateAll((all) => all.map((lane) => ({ ssrcs: [...lane.querySelectorAll(".figures .mono")].map((each) => each.textContent) })));
  return { page, streams: streamsOnPage(detail, lanes) };
}

const texts = async (at) => (await at.allInnerTexts()).map((text) => text.replaceAll("\u202f", " ").replace(/\s+/g, " ").trim());

const details = new Map();

async function detailOf(id) {
  if (!details.has(id)) details.set(id, await api(`/calls/${id}`));
  return details.get(id);
}

/** Details of calls with media, the worst first: those that `wanted` takes, at most so many. */
async function callsWith(wanted, most = 1) {
  const { calls } = await api("/calls?sort=worst&limit=200");
  const found = [];
  for (const call of calls.filter((each) => each.stream_ids.length > 0)) {
    const detail = await detailOf(call.id);
    // Streams are found by their SSRC on the page: those of a fork may share one.
    const distinct = new Set(detail.streams.map(({ ssrc }) => ssrc)).size === detail.streams.length;
    if (distinct && wanted(detail)) found.push(detail);
    if (found.length === most) break;
  }
  return found;
}

test("a direction stands beside what its receiver reports, with the side of the probe that lost packets", async () => {
  const lossy = await callsWith(({ streams }) => streams.some(({ remote }) => remote?.loss_side === "before_probe"));
  const silent = await callsWith(({ streams, rtcp }) => streams.some(({ id, remote }) => remote === null && !rtcp.some((row) => row.stream === id)));
  const others = real ? [] : (await Promise.all(["behind_probe", "both", "capture"].map((side) => callsWith(({ streams }) => streams.some(({ remote }) => remote?.loss_side === side))))).flat();
  assert.equal(lossy.length, 1, "the server has no call with loss before the probe");
  assert.equal(silent.length, 1, "the server has no stream whose receiver is silent");
  assert.ok(real || others.length === 3);
  const SAID = { none: /^Under 3 packets lost upstream/, before_probe: /^Upstream loss: \d/, behind_probe: /^Downstream loss: \d/, both: /^Upstream loss: \d[^;]*; downstream: \d|^Lost on both sides/, capture: /^Missed by the capture/ };
  for (const detail of [...lossy, ...silent, ...others]) {
    const { page, streams } = await openCall(detail);
    const lines = await texts(page.locator(".lines > div:first-child dd"));
    const tables = page.locator(".remote > .scroll > table");
    assert.equal(await tables.count(), streams.length);
    for (const [i, stream] of streams.entries()) {
      const cells = await texts(tables.nth(i).locator("tbody td"));
      if (stream.remote) {
        const { expected, lost, lost_before_probe: before, loss_side } = stream.remote;
        assert.match(lines[i], SAID[loss_side]);
        if (expected < 10_000 && lost >= 0) assert.ok(cells[0].endsWith(`${before} of ${expected}`) && cells[1].endsWith(`${lost} of ${expected}`), cells.join(" | "));
        assert.doesNotMatch(cells[3], /–/, "its jitter");
      } else {
        assert.match(lines[i], /downstream loss is unknown\.$/);
        assert.match(cells[1], /^– \S+/, "a dash alone does not say why");
      }
      if (stream.rtt_ms !== null) for (const half of [cells[4], cells[5]]) assert.match(half, /^[\d.]+ ms to the (sender|receiver) and back$/);
      for (const cell of cells) assert.doesNotMatch(cell, /^–$|NaN|undefined|null/);
    }
    await clean(page);
    await context.close();
  }
  context = null;
});

test("the receiver's reports are a dashed series in the charts, and columns of their table", async () => {
  const [reporting] = await callsWith(({ streams, rtcp }) => streams.some(({ id, remote }) => remote !== null && rtcp.some((row) => row.stream === id && row.fraction_lost_pct > 2 && row.jitter_ms > 0 && row.implausible === null)));
  assert.ok(reporting, "the server has no receiver that reports loss");
  const ink = async (page) => {
    await page.waitForTimeout(250);
    const colour = await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--remote").trim());
    const [r, g, b] = colour.match(/[0-9a-f]{2}/g).map((hex) => Number.parseInt(hex, 16));
    return page.locator(".lane canvas").evaluateAll(
      (all, [r, g, b]) => all.map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12) found++;
        return found;
      }),
      [r, g, b],
    );
  };
  const { page } = await openCall(reporting);
  const lane = reporting.streams.length > 0 ? await page.locator(".lane").evaluateAll((all) => all.findIndex((each) => /Receiver: lost/.test(each.querySelector(".twin").textContent))) : -1;
  assert.ok(lane >= 0, "no table has the receiver's columns");
  const drawn = await ink(page);
  assert.ok(drawn[3 * lane + 1] > 40, `reported jitter is not drawn: ${drawn}`);
  assert.ok(drawn[3 * lane + 2] > 40, `reported loss is not drawn: ${drawn}`);
  assert.equal(drawn[3 * lane], 0, "nothing is reported about MOS there");
  assert.match(await page.locator(".lanes .legend").innerText(), /as the receiver reports them/);
  await page.locator(".twin summary").nth(lane).focus();
  await page.keyboard.press("Enter");
  assert.match(await page.locator(".twin").nth(lane).innerText(), /Receiver: jitter/);
  await clean(page);
  await context.close();
  context = null;

  const [silent] = await callsWith(({ rtcp }) => rtcp.every((row) => row.fraction_lost_pct === null));
  if (silent) {
    const { page } = await openCall(silent);
    assert.deepEqual((await ink(page)).filter((found) => found > 0), [], "a series without reports");
    assert.doesNotMatch(await page.locator(".lanes .legend").innerText(), /as the receiver reports them/);
  }
});

test("a receiver's own measurements unfold in full, those not believed are marked", { skip: real !== undefined }, async () => {
  const measured = (row) => ["voip_metrics", "vq_report"].includes(row.kind);
  const [detail] = await callsWith(({ rtcp }) => rtcp.some((row) => row.kind === "vq_report" && row.implausible));
  const { page, streams } = await openCall(detail, { width: 900 });
  const of = (stream) => detail.rtcp.filter((row) => measured(row) && row.stream === stream.id);
  const with_ = streams.filter((stream) => of(stream).length > 0);
  assert.equal(await page.locator(".measured").count(), with_.length);
  const at = with_.findIndex((stream) => of(stream).some((row) => row.implausible));
  const fold = page.locator(".measured").nth(at);
  assert.equal(await fold.locator("table").isVisible(), false);
  await fold.locator("summary").focus();
  await page.keyboard.press("Enter");
  const rows = of(with_[at]);
  assert.equal(await fold.locator("tbody tr:not(.doubt)").count(), rows.length);
  assert.equal(await fold.locator("tbody tr.doubted").count(), rows.filter((row) => row.implausible).length);
  assert.match(await fold.innerText(), /Not believed: MOSLQ out of range/);
  for (const name of ["Lost", "Discarded", "R", "MOS-LQ", "MOS-CQ", "Round trip", "End system", "Burst", "Gap", "Buffer"]) assert.equal(await fold.getByRole("columnheader", { name, exact: true }).count(), 1, name);
  const believed = rows.findLast((row) => row.implausible === null);
  const beside = (await texts(fold.locator("xpath=..").locator(".remote table tr"))).join("\n");
  assert.ok(beside.includes(`${believed.voip.discard_pct.toFixed(2)} % by its own`), beside);
  assert.ok(beside.includes(`${believed.voip.mos_lq.toFixed(1)} as it rates itself`), beside);
  await clean(page);
});

test("the buffer that is large enough is named, and every size has its share", async () => {
  const details = [await twoWayCall(), ...(await callsWith(({ streams }) => streams.some((stream) => stream.late_pct[60] >= 0.5)))];
  assert.equal(details.length, 2, "the server has no stream with late packets");
  for (const detail of details) {
    const { page, streams } = await openCall(detail);
    const parts = page.locator(".buffers");
    assert.equal(await parts.count(), streams.length);
    for (const [i, { late_pct }] of streams.entries()) {
      const sizes = Object.keys(late_pct).map(Number).sort((a, b) => a - b);
      const known = sizes.filter((size) => late_pct[size] !== null);
      const enough = known.find((size) => late_pct[size] < 0.5);
      const said = (await texts(parts.nth(i).locator("p").first()))[0];
      if (known.length === 0) {
        assert.match(said, /^– Unknown: /);
        continue;
      }
      assert.match(said, enough === undefined ? /^Not even/ : new RegExp(`\\b${enough} ms\\b.*(too late|none is)`));
      assert.deepEqual((await texts(parts.nth(i).locator("thead th"))).slice(1, -1).map(Number), sizes);
      assert.deepEqual(await texts(parts.nth(i).locator("thead .enough")), enough === undefined ? [] : [String(enough)]);
      const shares = (await texts(parts.nth(i).locator("tbody tr:last-child td"))).slice(0, sizes.length);
      assert.deepEqual(shares.map((text) => text === "0"), sizes.map((size) => late_pct[size] === 0));
      const above = sizes.filter((size) => late_pct[size] >= 0.5).length;
      assert.equal(await parts.nth(i).locator("td:not(:last-child) rect.above").count(), above);
    }
    await clean(page);
    await context.close();
  }
  context = null;
});

test("the R budget's parts fill the bar and stand beside it in numbers that add up", async () => {
  const detail = await twoWayCall();
  const { page, streams } = await openCall(detail);
  assert.equal(await page.locator(".budget").count(), streams.length);
  let rated = 0;
  for (const [i, { r_budget: budget, mos }] of streams.entries()) {
    const part = page.locator(".budget").nth(i);
    if (budget === null) {
      assert.match(await part.innerText(), /– No rating, so no budget: \S/);
      continue;
    }
    rated++;
    const lost = budget.codec + budget.loss + budget.late + budget.delay;
    assert.match((await texts(part.locator("p")))[0], new RegExp(`^${lost < 0.05 ? "(<0\\.1|0)" : lost.toFixed(1)} of ${budget.clean_max.toFixed(1)} points lost: R ${(budget.clean_max - lost).toFixed(1)} \\((NB|WB|FB)\\) is left`));
    const widths = await part.locator("> svg > rect").evaluateAll((rects) => Object.fromEntries(rects.map((rect) => [rect.dataset.part, Number.parseFloat(rect.getAttribute("width"))])));
    assert.ok(Math.abs(Object.values(widths).reduce((sum, width) => sum + width, 0) - 100) < 0.01, "the parts fill the bar");
    for (const cause of ["codec", "loss", "late", "delay"]) {
      assert.ok(Math.abs(widths[cause] - (100 * budget[cause]) / budget.clean_max) < 0.01, cause);
      const shown = (await texts(part.locator(`li[data-part="${cause}"]`)))[0];
      if (cause === "delay" && mos.cq === null) assert.equal(shown, "– delay, unknown");
      else assert.match(shown, budget[cause] >= 0.05 ? new RegExp(`^−${budget[cause].toFixed(1)} `) : /^(0|<0\.1) /);
    }
  }
  assert.ok(rated > 0);
  await clean(page);
});

test("each direction says whose loss it is, how far the MOS may be off, and what was missing", async () => {
  const found = [await twoWayCall(), ...(await callsWith(({ streams }) => streams.some(({ quality }) => quality.one_sided))), ...(real ? [] : await callsWith(({ streams }) => streams.some(({ mos }) => mos.bounds !== null)))];
  assert.ok(found.length >= 2);
  for (const detail of found) {
    const { page, streams } = await openCall(detail);
    assert.equal(await page.locator(".lines").count(), streams.length);
    for (const [i, { lost, mos, quality }] of streams.entries()) {
      const [, whose, bounds, trust] = await texts(page.locator(".lines").nth(i).locator("dd"));
      assert.match(whose, lost === 0 ? /^Nothing is missing at the probe/ : /^Lost .+: .+/);
      if (quality.loss_evidence === "receiver_lost_them") assert.match(whose, /receiver's RTCP agrees/);
      if (mos.bounds) assert.ok(bounds.startsWith(`${mos.bounds[0].toFixed(2)} if`) && bounds.includes(`${mos.bounds[1].toFixed(2)} without`), bounds);
      else assert.match(bounds, /^(– no MOS|n\/a): \S+/);
      assert.match(trust, /^(Complete|Caution|Doubtful)\. (Nothing is missing|Missing: .+)\.$/);
      assert.equal(/other direction/.test(trust), quality.one_sided);
      assert.equal(/probe dropped/.test(trust), quality.capture_drops > 0);
      assert.equal(/the start/.test(trust), quality.started_mid_call);
    }
    await clean(page);
    await context.close();
  }
  context = null;
});

test("no text of a call's page runs into other text, at 900 px", async () => {
  const late = ({ streams }) => streams.length > 1 && streams.some((stream) => stream.late_pct[20] > 0.5);
  for (const detail of [await twoWayCall(), ...(await callsWith(late))]) {
    const { page } = await openCall(detail, { width: 900 });
    for (const fold of await page.locator("details summary").all()) await fold.click();
    const clashes = await page.evaluate(() => {
      const boxes = [];
      const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const node = walk.currentNode;
        if (!node.data.trim() || node.parentElement.closest("svg, pre, .sr, .twin, title")) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const clip = node.parentElement.closest(".scroll")?.getBoundingClientRect();
        for (const r of range.getClientRects()) {
          if (r.width < 1 || (clip && r.right > clip.right + 1)) continue;
          boxes.push({ text: node.data.trim().slice(0, 30), left: r.left, right: r.right, top: r.top + 3, bottom: r.bottom - 3 });
        }
      }
      boxes.sort((a, b) => a.top - b.top);
      const found = [];
      boxes.forEach((a, i) => {
        for (let k = i + 1; k < boxes.length && boxes[k].top < a.bottom; k++) {
          const b = boxes[k];
          if (a.left < b.right - 1 && b.left < a.right - 1 && b.top < a.bottom) found.push(`${a.text} / ${b.text}`);
        }
      });
      return found;
    });
    assert.deepEqual(clashes.slice(0, 5), []);
    await context.close();
  }
  context = null;
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
  assert.match((await page.locator(".readout").allInnerTexts()).join(" "), /delay variation p50/, "of a stream that has media then");
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
  const button = page.getByRole("button", { name: /1 new call: refresh/ });
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
