// Opens a page in Chromium without any network and says what happened, as JSON in a file.
//
//   node drive.mjs FILE|URL STEPS.json TOLD.json
//
// STEPS: a list of {"size": [width, height]}, {"scheme": "dark"}, {"run": "an expression in the page, awaited"},
// {"screenshot": "file.png"}, {"print": "file.pdf"}, {"script": "file.js"}, which is executed in the page as a whole,
// {"goto": "an address, from the page on"} and {"wait": milliseconds}, such as for a page to which a click has led.
// Told are the value of each step, what the console said, what was thrown, what was asked for over a network, and how long
// the page took to be there.
//
// Chromium is spoken to over two pipes (the DevTools protocol), so that nothing listens anywhere.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [file, steps, out] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "page-"));
const words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"];
words.push("--disable-background-networking", "--disable-component-update", `--user-data-dir=${profile}`, "--remote-debugging-pipe");
// A file is opened in a namespace of its own, in which even loopback is down: what is asked for cannot come. For an address, the
// caller has made one, with loopback alone.
const isFile = !file.startsWith("http://");
const command = [...(isFile ? ["unshare", "-r", "-n"] : []), "chromium", ...words];
const browser = spawn(command[0], command.slice(1), { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
let complaints = "";
browser.stderr.on("data", (text) => { complaints += text; });
const patience = setTimeout(() => end(`the browser did not answer within two minutes: ${complaints.slice(-2000)}`), 120_000);
browser.on("exit", (code) => end(`the browser ended with ${code}: ${complaints.slice(-2000)}`));

let ended = false;
function end(trouble, told) {
  if (ended) return;
  ended = true;
  clearTimeout(patience);
  writeFileSync(out, `${JSON.stringify(trouble ? { trouble } : told)}\n`);
  browser.kill("SIGKILL");
  const leave = () => {
    // Its helpers end a moment after it, and until then they may write.
    try {
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    } catch (error) {
      process.stderr.write(`${error}\n`);
    }
    process.exit(trouble ? 1 : 0);
  };
  if (browser.exitCode !== null || browser.signalCode !== null) leave(); else browser.once("exit", leave);
}

const waiting = new Map();
const listeners = [];
let number = 0;
let rest = Buffer.alloc(0);
browser.stdio[4].on("data", (bytes) => {
  rest = Buffer.concat([rest, bytes]);
  for (let at = rest.indexOf(0); at >= 0; at = rest.indexOf(0)) {
    const message = JSON.parse(rest.subarray(0, at).toString());
    rest = rest.subarray(at + 1);
    if (message.id) {
      const { done, failed } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) failed(new Error(message.error.message)); else done(message.result);
    } else {
      for (const listener of listeners) listener(message);
    }
  }
});

function ask(method, params = {}, sessionId = undefined) {
  number += 1;
  browser.stdio[3].write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
  return new Promise((done, failed) => waiting.set(number, { done, failed }));
}

const told = { console: [], thrown: [], requests: [], steps: [] };
const { targetId } = await ask("Target.createTarget", { url: "about:blank" });
const { sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true });
const page = (method, params) => ask(method, params, sessionId);
const url = isFile ? pathToFileURL(resolve(file)).href : file;
// What is asked for besides the page itself: of a server, whatever is not its own.
const isOwn = (asked) => (isFile ? asked.split("#")[0] === url : asked.startsWith(new URL("/", url).href));
let loaded = () => {};
listeners.push(({ method, params }) => {
  if (method === "Log.entryAdded") told.console.push(`${params.entry.level}: ${params.entry.text}`);
  if (method === "Runtime.consoleAPICalled") told.console.push(`${params.type}: ${params.args.map((a) => a.value ?? a.description).join(" ")}`);
  if (method === "Runtime.exceptionThrown") told.thrown.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
  if (method === "Network.requestWillBeSent" && !isOwn(params.request.url) && !params.request.url.startsWith("data:")) told.requests.push(params.request.url);
  if (method === "Page.loadEventFired") loaded();
});
for (const domain of ["Page", "Runtime", "Log", "Network"]) await page(`${domain}.enable`);

async function evaluate(expression) {
  const result = await page("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, userGesture: true });
  if (result.exceptionDetails) throw new Error(result.exceptionDetails.exception?.description ?? result.exceptionDetails.text);
  return result.result.value ?? null;
}

// Until it was laid out and painted.
async function open(address) {
  const isLoaded = new Promise((done) => { loaded = done; });
  await page("Page.navigate", { url: address });
  await isLoaded;
  await evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
}

try {
  const all = JSON.parse(readFileSync(steps, "utf8"));
  const first = all[0]?.size;
  if (first) await page("Emulation.setDeviceMetricsOverride", { width: first[0], height: first[1], deviceScaleFactor: 1, mobile: false });
  const from = performance.now();
  await open(url);
  told.opened_ms = Math.round(performance.now() - from);
  for (const step of all) {
    if (step.size) {
      await page("Emulation.setDeviceMetricsOverride", { width: step.size[0], height: step.size[1], deviceScaleFactor: 1, mobile: false });
      told.steps.push(null);
    } else if (step.scheme) {
      await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: step.scheme }] });
      told.steps.push(null);
    } else if (step.wait) {
      await new Promise((done) => setTimeout(done, step.wait));
      told.steps.push(null);
    } else if (step.goto) {
      await open(new URL(step.goto, await evaluate("location.href")).href);
      told.steps.push(null);
    } else if (step.run) {
      told.steps.push(await evaluate(step.run));
    } else if (step.script) {
      await evaluate(readFileSync(step.script, "utf8"));
      told.steps.push(null);
    } else if (step.screenshot) {
      const { data } = await page("Page.captureScreenshot", { format: "png", captureBeyondViewport: Boolean(step.whole) });
      writeFileSync(step.screenshot, Buffer.from(data, "base64"));
      told.steps.push(null);
    } else if (step.print) {
      const { data } = await page("Page.printToPDF", { printBackground: true });
      writeFileSync(step.print, Buffer.from(data, "base64"));
      told.steps.push(Buffer.from(data, "base64").length);
    }
  }
  end(null, told);
} catch (error) {
  end(String(error.stack ?? error));
}
