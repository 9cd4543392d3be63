// Sign-in and roles in a real browser against the mock server: what each role sees, and that the page asks for nothing beyond it.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { start } from "../mock/server.mjs";
import { USERS } from "../mock/session.mjs";
import { clean, launch, newPage, seriousViolations } from "./browser.mjs";

const skip = process.env.AUSCULT_URL !== undefined;
const WIDTHS = [1440, 900, 390];
const shots = mkdtempSync(join(tmpdir(), "auscult-session-"));
let browser;
let mock = null;

before(async () => {
  if (!skip) browser = await launch();
});

after(async () => {
  await browser?.close();
  console.log(`# screenshots: ${shots}`);
});

afterEach(async () => {
  for (const context of browser?.contexts() ?? []) await context.close();
  await mock?.close();
  mock = null;
});

async function visit(role, path, more = {}) {
  mock ??= await start({ role });
  return newPage(browser, mock.url + path, more);
}

const refused = () => mock.asked.filter(({ status }) => status >= 400).map(({ method, url, status }) => `${method} ${url} ${status}`);
const routes = () => new Set(mock.asked.map(({ url }) => url.split("?")[0].replace("/api/v1", "")));

/** A call with media both ways. */
const aCall = () => mock.world.find(({ streams, ladder }) => streams.length >= 2 && ladder.length > 0);

async function fits(page, what) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${what} is ${wide} px wider than the window`);
  const cut = await page.locator(".top").evaluate((top) => [...top.querySelectorAll("a, button, select, .live > *")].filter((each) => each.offsetParent !== null && !each.closest(".menu")).filter((each) => each.getBoundingClientRect().top < 0 || each.getBoundingClientRect().bottom > top.getBoundingClientRect().bottom + 1).map((each) => each.textContent));
  assert.deepEqual(cut, [], `${what}: cut in the head`);
}

/** What must be on screen before a page of a role is looked at. */
const READY = {
  viewer: { "/": "table.stats tbody tr", "/calls/": ".notice", "/audit": ".notice" },
  operator: { "/": "table.calls tbody tr", "/calls/": ".charts canvas", "/audit": ".notice" },
  investigator: { "/": "table.calls tbody tr", "/calls/": ".ladder .message", "/audit": ".notice" },
  admin: { "/": "table.calls tbody tr", "/calls/": ".ladder .message", "/audit": "table.audit tbody tr" },
  open: { "/": "table.calls tbody tr", "/calls/": ".ladder .message", "/audit": "table.audit tbody tr" },
};

for (const [role, ready] of Object.entries(READY)) {
  test(`as ${role} every page fits at every width and asks for nothing that is refused`, { skip }, async () => {
    mock = await start({ role });
    const id = aCall().call.id;
    for (const [path, selector] of Object.entries({ "/stats": "table.stats tbody tr", "/alerts": "article.alert.firing .charts canvas", ...ready })) {
      const page = await visit(role, path === "/calls/" ? `/calls/${id}` : path);
      await page.waitForSelector(selector);
      await page.waitForSelector('.live[data-state="open"]');
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        // Charts are drawn again after the window has its new width.
        await page.waitForFunction(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);
        await fits(page, `${role} ${path} at ${width}`);
        await page.screenshot({ path: join(shots, `${role}-${path.replaceAll("/", "") || "start"}-${width}.png`) });
      }
      assert.deepEqual(await seriousViolations(page), [], `${role} ${path}`);
      assert.equal(await page.locator(".user").count(), role === "open" ? 0 : 1);
      assert.equal(await page.locator(".below.open").count(), role === "open" ? 1 : 0);
      assert.equal(await page.getByRole("link", { name: "Audit", exact: true }).count(), ["admin", "open"].includes(role) ? 1 : 0);
      if (role === "viewer") assert.equal(await page.locator('a[href*="/calls/"], a[href^="/?"], #search').count(), 0, `links to calls on ${path}`);
      await clean(page);
      await page.context().close();
    }
    assert.deepEqual(refused(), []);
  });
}

test("a viewer has figures, alerts and no word of single calls", { skip }, async () => {
  const page = await visit("viewer", "/?number=%2B4930&trunk=carrier-north");
  await page.locator("table.stats tbody tr").first().waitFor();
  assert.match(await page.locator(".below").innerText(), /^You see only trunks: carrier-north, carrier-south$/);
  assert.match(await page.locator("main").innerText(), /narrows by number too\. That is left out/);
  assert.match(await page.locator("main > .hint").innerText(), /single calls and the search by number are for operators/);
  assert.equal(await page.locator("table.stats tbody tr").count(), 1, "narrowed to a trunk");
  const before = await page.locator(".strip .summary b").innerText();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.waitForURL((url) => url.search === "");
  await page.waitForFunction((text) => document.querySelector(".strip .summary b").textContent !== text, before);
  await page.goto(`${mock.url}/alerts`);
  await page.getByText("The calls behind an alert and silences are for operators.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Silence" }).count(), 0);
  await page.goto(`${mock.url}/calls/${aCall().call.id}`);
  await page.getByText("Your role, viewer, may not see single calls.").waitFor();
  for (const path of routes()) assert.doesNotMatch(path, /^\/(calls|streams|intervals|audit)/);
  assert.deepEqual(refused(), []);
  await clean(page);
});

test("an operator's call says that its messages are withheld; an investigator has them", { skip }, async () => {
  let page = await visit("operator", "/");
  await page.goto(`${mock.url}/calls/${aCall().call.id}`);
  await page.getByText("Your role may not see SIP messages").waitFor();
  assert.equal(await page.locator(".ladder .message, .marks").count(), 0);
  assert.match(await page.getByRole("button", { name: "curl" }).getAttribute("data-copy"), /-H "Authorization: Bearer \$AUSCULT_TOKEN" 'http/);
  await page.goto(`${mock.url}/alerts`);
  const firing = page.locator("article.alert.firing");
  await firing.getByRole("button", { name: "Silence" }).click();
  assert.equal(await firing.getByLabel("Your name").count(), 0, "the session knows it");
  await clean(page);
  await page.context().close();
  await mock.close();
  mock = null;
  page = await visit("investigator", "/");
  await page.goto(`${mock.url}/calls/${aCall().call.id}`);
  await page.locator(".ladder .message").first().waitFor();
  await clean(page);
});

async function signIn(page, user, password = USERS[user].password) {
  await page.getByLabel("User", { exact: true }).fill(user);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
}

test("sign-in by keyboard: wrong, then right, and on to the address that was asked for", { skip }, async () => {
  for (const width of WIDTHS) {
    mock = await start({ role: "none" });
    const address = `/calls/${aCall().call.id}?first_at=${encodeURIComponent(aCall().call.first_at)}`;
    const page = await visit("none", address, { width, expectFailures: true });
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(await page.title(), "Sign in · Auscult");
    assert.deepEqual(await page.evaluate(() => [document.activeElement.name, document.activeElement.autocomplete]), ["username", "username"]);
    assert.equal(await page.getByLabel("Password", { exact: true }).getAttribute("autocomplete"), "current-password");
    assert.deepEqual(await seriousViolations(page), []);
    await fits(page, `sign-in at ${width}`);
    await page.keyboard.type("bob");
    await page.keyboard.press("Tab");
    await page.keyboard.type("not-this");
    await page.keyboard.press("Enter");
    assert.equal(await page.getByRole("alert").innerText(), "User or password is wrong.");
    assert.deepEqual(await page.evaluate(() => [document.activeElement.name, document.activeElement.value, document.activeElement.getAttribute("aria-describedby")]), ["password", "", "sign-in-failed"]);
    assert.deepEqual(await seriousViolations(page), []);
    await page.screenshot({ path: join(shots, `sign-in-${width}.png`) });
    await page.keyboard.type(USERS.bob.password);
    await page.keyboard.press("Enter");
    await page.locator(".verdict-head h1").waitFor();
    assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, address);
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state])).then((text) => /secret|auscult_session/.test(text)), false);
    assert.deepEqual(refused(), ["POST /api/v1/session 401"], "nothing else was asked for before sign-in");
    await clean(page);
    await page.context().close();
    await mock.close();
    mock = null;
  }
});

test("a page that was not asked to sign in leaves the focus at its start", { skip }, async () => {
  const page = await visit("operator", "/");
  await page.locator("table.calls tbody tr").first().waitFor();
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
});

test("too many wrong passwords: the page says how long, and waits", { skip }, async () => {
  const page = await visit("none", "/", { expectFailures: true });
  for (let i = 0; i < 3; i++) {
    await signIn(page, "bob", "wrong");
    await page.getByText("User or password is wrong.").waitFor();
    await page.waitForFunction(() => document.querySelector("[name=password]").value === "");
  }
  await signIn(page, "bob");
  await page.getByText(/Too many sign-ins failed\. Try again in [12] seconds?\./).waitFor();
  const asked = mock.asked.length;
  await page.getByLabel("Password", { exact: true }).fill(USERS.bob.password);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  assert.equal(mock.asked.length, asked, "not sent while it must wait");
  assert.equal(await page.getByRole("alert").count(), 0);
  await page.keyboard.press("Enter");
  await page.locator("table.calls tbody tr").first().waitFor();
  await clean(page);
});

test("a session that ends leads to sign-in and back to the same page; its live feed is not tried again", { skip }, async () => {
  const page = await visit("none", "/", { expectFailures: true, clock: true });
  await signIn(page, "alice");
  await page.locator("table.calls tbody tr").first().waitFor();
  await page.goto(`${mock.url}/calls/${aCall().call.id}`);
  await page.locator(".ladder .message").first().waitFor();
  await page.waitForSelector('.live[data-state="open"]');
  mock.endSessions();
  await page.getByText("Your session has ended. After sign-in you go on where you were.").waitFor();
  assert.doesNotMatch(await page.content(), new RegExp(`\\${aCall().call.caller.user}`), "nothing of the call stays");
  const feeds = () => mock.asked.filter(({ url }) => url === "/api/v1/live").length;
  const before = feeds();
  await page.clock.fastForward(600_000);
  assert.equal(await page.evaluate(() => fetch("/api/v1/session").then((answer) => answer.status)), 200);
  assert.equal(feeds(), before);
  await signIn(page, "alice");
  await page.locator(".ladder .message").first().waitFor();
  assert.match(page.url(), /\/calls\/[0-9a-f]{16}$/);
  await clean(page);
});

test("sign out leaves nothing behind for the next user", { skip }, async () => {
  for (const width of WIDTHS) {
    const page = await visit("none", "/?sort=newest", { width, expectFailures: true });
    await signIn(page, "bob");
    await page.locator("table.calls a.open").nth(1).click();
    await page.locator(".neighbours").waitFor();
    const menu = page.getByRole("button", { name: /Signed in: bob operator/ });
    await menu.focus();
    await page.keyboard.press("Enter");
    await page.getByText("calls and their parties, no SIP messages").waitFor();
    assert.deepEqual(await seriousViolations(page), []);
    await fits(page, `menu at ${width}`);
    const box = await page.locator(".user .menu").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= width, "the menu is within the window");
    await page.keyboard.press("Escape");
    assert.equal(await menu.getAttribute("aria-expanded"), "false");
    assert.match(page.url(), /\/calls\//, "Escape closed the menu alone");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Sign out");
    await page.keyboard.press("Enter");
    await page.getByText("You are signed out.").waitFor();
    assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/");
    await page.goBack();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await signIn(page, "carol");
    await page.locator("table.calls tbody tr").first().waitFor();
    assert.match(await page.locator(".below").innerText(), /probes: probe-1/);
    await page.goto(`${mock.url}/calls/${aCall().call.id}`);
    await page.locator(".verdict-head h1").waitFor();
    assert.equal(await page.locator(".neighbours").count(), 0);
    await clean(page);
    await page.context().close();
  }
});

test("sign-in at the provider comes back to the page; its failure is one of our own sentences", { skip }, async () => {
  const page = await visit("none", "/alerts?a=1");
  await page.getByRole("link", { name: "Sign in with Hospital directory" }).click();
  await page.locator("article.alert.firing").first().waitFor();
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/alerts?a=1");
  await page.context().close();
  mock.sessions.oidcError = "no_role";
  const other = await visit("none", "/audit?who=bob");
  await other.getByRole("link", { name: "Sign in with Hospital directory" }).click();
  await other.getByRole("alert").waitFor();
  assert.match(await other.getByRole("alert").innerText(), /no role is given to you here/);
  assert.deepEqual(await seriousViolations(other), []);
  await signIn(other, "alice");
  await other.locator("table.audit tbody tr").first().waitFor();
  assert.equal(new URL(other.url()).pathname + new URL(other.url()).search, "/audit?who=bob");
  await other.context().close();
  const forged = await visit("none", `/sign-in?error=${encodeURIComponent("Send your password to evil.example")}&return_to=${encodeURIComponent("https://evil.example/")}`);
  await forged.getByRole("alert").waitFor();
  assert.doesNotMatch(await forged.locator("body").innerText(), /evil/);
  assert.doesNotMatch(await forged.getByRole("link", { name: /Hospital/ }).getAttribute("href"), /evil/);
  await signIn(forged, "bob");
  await forged.locator("table.calls tbody tr").first().waitFor();
  assert.equal(new URL(forged.url()).pathname, "/");
  await clean(forged);
});

test("without a password the provider has the focus; behind a proxy the page says where to go", { skip }, async () => {
  mock = await start({ role: "none" });
  mock.sessions.methods = ["oidc"];
  const page = await visit("none", "/");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Sign in with/);
  assert.equal(await page.getByLabel("Password", { exact: true }).count(), 0);
  mock.sessions.methods = ["proxy"];
  await page.reload();
  await page.getByText("Open the page through the proxy.").waitFor();
  assert.deepEqual(await seriousViolations(page), []);
  await clean(page);
});

test("the first user closes a service that was open", { skip }, async () => {
  const page = await visit("open", "/stats", { expectFailures: true });
  await page.locator("table.stats tbody tr").first().waitFor();
  assert.match(await page.locator(".below.open").innerText(), /auscult user add --role admin NAME/);
  mock.closeToStrangers();
  await page.getByText("This service has users now").waitFor();
  await signIn(page, "dave");
  await page.locator("table.stats tbody tr").first().waitFor();
  await clean(page);
});

test("a role that changes changes the page; what is refused is said in place", { skip }, async () => {
  const page = await visit("admin", "/", { expectFailures: true });
  await page.locator("table.calls tbody tr").first().waitFor();
  mock.sessions.given = "dave";
  await page.keyboard.press("r");
  await page.getByRole("link", { name: "Overview" }).waitFor();
  await page.locator("table.stats tbody tr").first().waitFor();
  await page.route("**/api/v1/outcomes*", (route) => route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify({ status: 403, code: "not_allowed", detail: "trunk pbx-hq is not in your scope" }) }));
  await page.keyboard.press("r");
  await page.getByText("Your role may not see this.").waitFor();
  assert.match(await page.locator(".notice").innerText(), /trunk pbx-hq is not in your scope/);
  assert.equal(await page.locator(".strip .plot").count(), 1, "the rest of the page stays");
  await clean(page);
});

test("a proxy that signs in again at once is named when signing out", { skip }, async () => {
  const page = await visit("operator", "/");
  await page.locator("table.calls tbody tr").first().waitFor();
  await page.route("**/api/v1/session", (route) => (route.request().method() === "DELETE" ? route.fulfill({ status: 204 }) : route.continue()));
  await page.getByRole("button", { name: /Signed in: bob/ }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("The proxy in front of this service signed you in again").waitFor();
  await clean(page);
});

test("the audit log: newest first, filters in the address, older rows, the end of the chain", { skip }, async () => {
  const page = await visit("admin", "/audit");
  const rows = page.locator("table.audit tbody tr");
  await rows.first().waitFor();
  assert.equal(await rows.count(), 100);
  assert.equal(await rows.first().locator(".seq").innerText(), "140");
  assert.match(await page.locator(".chain").innerText(), /ends at row 140, MAC 9f86d081884c7d65…[\s\S]*auscult audit verify/);
  assert.equal(await page.getByRole("button", { name: "Head" }).getAttribute("data-copy").then((head) => head.length), 68);
  await page.getByRole("button", { name: "Older rows" }).click();
  await page.getByText("140 rows, all shown").waitFor();
  assert.equal(await rows.count(), 140);
  assert.ok((await page.locator("table.audit").innerText()).includes("<img src=x"), "text of others is text");
  await page.getByLabel("Who").fill("carol");
  await page.waitForURL((url) => url.searchParams.get("who") === "carol");
  await page.waitForFunction(() => document.querySelectorAll("table.audit tbody tr").length < 100);
  for (const who of await page.locator("table.audit .by b").allInnerTexts()) assert.equal(who, "carol");
  await page.getByLabel("Action").fill("sign_in");
  await page.getByText("No row matches these filters.").waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.waitForURL((url) => url.search === "");
  await page.getByLabel("To, UTC").fill("2026-03-01 13:00");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.searchParams.has("to"));
  await page.waitForFunction(() => document.querySelector("table.audit time")?.dateTime <= "2026-03-01T13:00:00Z");
  assert.deepEqual(refused(), []);
  await clean(page);
});
