"use strict";

// The console of a server. Texts of the server reach the page as text nodes only. Arguments are JSON
// text from the form to the request, as numbers of JavaScript have fewer digits than those of bsrpc.

const $ = id => document.getElementById(id);
const methods = new Map(); // by name; empty until they are known
const views = new Map();   // by description of the method: its form, and its last call
let current = null;        // the view on the page
let wanted = "";           // the name of the method to show

// element returns a new element with properties and children.
function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
}

// clean writes characters out that are invisible, or change the order of others.
const clean = text => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
  c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// parse reads JSON, with all digits of its numbers where the browser can.
const parse = text => JSON.parse(text, (_, v, context) =>
  typeof v === "number" && JSON.rawJSON && context?.source && String(v) !== context.source ? JSON.rawJSON(context.source) : v);

// Requests

// post makes a request. It throws the error of the server.
async function post(path, body, signal, more) {
  const headers = {"Content-Type": "application/json", ...more};
  if ($("token").value) headers.Authorization = "Bearer " + $("token").value;
  let response;
  try {
    response = await fetch(path, {method: "POST", headers, body, signal, cache: "no-store", credentials: "omit"});
  } catch (e) {
    throw e.name === "AbortError" ? e : {code: "unavailable", message: "the server does not answer", outcome: "unknown"};
  }
  if (!response.ok) throw {reply: metadataOf(response), ...await response.json().catch(() => ({code: response.status, message: response.statusText}))};
  return response;
}

// metadataOf returns the metadata of an answer as a text.
function metadataOf(response) {
  const text = response.headers.get("Bsrpc-Metadata") ?? "";
  try {
    return decodeURIComponent(text);
  } catch { // bytes that are not a text
    return text;
  }
}

// events yields the server-sent events of a response, as {name, data}.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read().catch(e => {
      if (e.name === "AbortError") throw e;
      return {done: true};
    });
    if (done) throw {code: "unavailable", message: "the stream has broken off", outcome: "unknown"};
    let from = Math.max(0, text.length - 1), at;
    for (text += value; (at = text.indexOf("\n\n", from)) >= 0; from = 0) {
      const event = {name: "item", data: ""};
      for (const line of text.slice(0, at).split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data = line.slice(6);
      }
      text = text.slice(at + 2);
      if (event.name === "error") throw JSON.parse(event.data);
      if (event.name === "end") return;
      yield event;
    }
  }
}

// describe returns an error as a line.
function describe(e) {
  const code = String(e.code ?? "error"), message = String(e.message).replace(/^bsrpc: /, "");
  const notes = [e.name === "AbortError" ? "" : e.name, e.outcome === "unknown" ? "outcome unknown" : e.outcome].filter(Boolean).join(", ");
  return clean((message.startsWith(code) ? "" : code + ": ") + (message || "without a text") + (notes && ` (${notes})`));
}

// The list of methods

async function load() {
  methods.clear();
  $("notice").textContent = "";
  try {
    for await (const event of events(await post("bsrpc.v1.Methods", '[""]'))) {
      const m = JSON.parse(event.data);
      methods.set(m.Name, m);
    }
  } catch (e) {
    methods.clear();
    const known = e.code === "unauthenticated", typed = $("token").value !== "";
    $("notice").textContent = known && !typed ? "This server wants a token: type it above, and press Enter." :
      (known ? "The server refuses this token. " : e.code === "unimplemented" ? "The server does not describe its methods to this page. " : "The methods are not known. ") + describe(e);
    if (known) $("token").focus();
  }
  wanted ||= decodeURIComponent(location.hash.slice(1));
  list();
  if (methods.has(wanted)) {
    await show(wanted);
    if (document.activeElement === document.body || $("login").contains(document.activeElement)) focusForm();
  } else {
    hide();
  }
  poll();
  refresh();
}

// list makes the list. Services are closed if there are many methods, without a filter.
function list() {
  const filter = $("filter").value.trim().toLowerCase(), services = new Map();
  for (const name of methods.keys()) {
    if (!name.toLowerCase().includes(filter)) continue;
    const at = name.lastIndexOf("."), service = name.slice(0, at);
    if (!services.has(service)) services.set(service, []);
    const button = element("button", {type: "button", textContent: name.slice(at + 1), onclick: () => go(name)});
    button.dataset.name = name;
    services.get(service).push(button);
  }
  const open = filter !== "" || methods.size <= 60;
  $("methods").replaceChildren(...[...services].map(([service, buttons]) =>
    element("details", {open}, element("summary", {textContent: `${service} (${buttons.length})`}), ...buttons)));
  if (services.size === 0 && filter !== "") $("methods").textContent = "No such method.";
  mark();
}

// mark marks the current method in the list.
function mark() {
  for (const button of $("methods").querySelectorAll("button")) {
    const here = button.dataset.name === current?.method.Name;
    button.removeAttribute("aria-current");
    if (here) {
      button.setAttribute("aria-current", "true");
      button.parentNode.open = true;
      button.scrollIntoView({block: "nearest"});
    }
  }
}

// go shows a method, and puts it into the address of the page.
async function go(name) {
  history.pushState(null, "", "#" + encodeURIComponent(name));
  await show(name);
  focusForm();
}

function hide() {
  current = null;
  $("method").hidden = true;
  mark();
}

async function show(name) {
  wanted = name;
  const method = methods.get(name), key = JSON.stringify(method);
  if (!views.has(key)) {
    try {
      const trees = await (await post("console/layout", JSON.stringify(method.Layout))).json();
      if (!views.has(key)) views.set(key, makeView(method, trees));
    } catch (e) {
      $("notice").textContent = describe(e);
      return;
    }
  }
  if (wanted !== name) return;
  current = views.get(key);
  $("notice").textContent = "";
  $("method").hidden = false;
  $("name").textContent = name;
  $("layout").textContent = method.Layout;
  $("options").textContent = [method.Kind, ...method.Options ?? []].join(", ");
  $("refused").textContent = current.refused;
  $("limit").hidden = current.stream >= 0;
  $("timeout").value = current.limit;
  $("json").hidden = current.controls.length === 0;
  $("output").textContent = "";
  mark();
  form();
  render(current);
  $("method").scrollIntoView();
}

// focusForm gives the focus to the first part of the form that takes it.
function focusForm() {
  [$("params").querySelector("input, textarea, select, button"), $("send"), $("stop"), $("copy")].find(e => e && !e.disabled).focus({preventScroll: true});
}

// entries returns the metadata of the form, as pairs. It throws an error for other texts, without their values.
function entries() {
  const list = $("metadata").value.split("\n").filter(line => line.trim() !== "").map(line => {
    const [, key, value] = /^\s*([a-z0-9_.-]{1,64})=(.*?)\r?$/.exec(line) ?? [];
    if (key === undefined) throw new SyntaxError("metadata is key=value, one a line, and a key has small letters, digits, dots, - and _");
    return [key, value];
  });
  if (new Set(list.map(([key]) => key)).size < list.length) throw new SyntaxError("a key of the metadata is there twice");
  return list;
}

// header returns metadata as the value of a header.
const header = list => list.map(([key, value]) => key + "=" + encodeURIComponent(value)).join(", ");

// A view is the form of a method and what its last call has returned. It stays while other methods are
// shown, and its call goes on.
function makeView(method, {params, results}) {
  const secrets = method.Secrets ?? [];
  const exclusive = (method.Options ?? []).some(o => o.startsWith("exclusive="));
  const refused = exclusive || params.some(t => /^(stream|reader|func)$/.test(t.kind));
  return {
    method, params, results, secrets,
    controls: params.map((t, i) => control(t, method.Params?.[i] || `parameter ${i + 1}`, `parameter ${i + 1}`, secrets, [])),
    hasSecrets: secrets.some(s => s.startsWith("parameter")),
    refused: !refused ? "" : `This method ${exclusive ? "is exclusive" : "takes a stream, a reader or a func"}, so it needs a connection: call it with ${document.body.dataset.address ? "the command" : "bsrpc call"}.`,
    limit: (method.Options ?? []).find(o => o.startsWith("timeout="))?.slice(8) ?? "20s",
    stream: results.findIndex(t => t.kind === "stream" || t.kind === "reader"),
    json: null, // the arguments as JSON, in place of the form
    running: null, outcome: "", bad: false, reply: "",
    lines: [], size: 0, dropped: 0, // what is shown of the results
    parts: [], kept: 0, // what can be saved of them
  };
}

// form shows the form of the current view, or its arguments as JSON.
function form() {
  $("params").replaceChildren(...current.json ? [current.json] : current.controls.map(c => c.node));
  $("json").setAttribute("aria-pressed", String(current.json !== null));
  command();
}

// argumentsOf returns the arguments of a view as texts of JSON. Those given as JSON reach the form if it
// has secrets, which are *** in JSON. It throws an error for other texts.
function argumentsOf(v, masked) {
  if (v.json && !v.hasSecrets) return listOf(v.json.value).map(a => JSON.stringify(a));
  if (v.json) fill(v, v.json.value);
  return v.controls.map(c => c.text(masked));
}

function listOf(text) {
  const values = parse(text);
  if (!Array.isArray(values)) throw new SyntaxError("want a list");
  return values;
}

// fill puts arguments into the form of a view.
function fill(v, text) {
  const values = listOf(text);
  if (text.length > maxShown) throw new RangeError("too long for a form");
  v.controls.forEach((c, i) => { if (i in values) c.set(values[i]); });
}

function toggleJSON() {
  try {
    if (current.json) {
      fill(current, current.json.value);
      current.json = null;
    } else {
      const value = pretty("[" + argumentsOf(current, true).join(",") + "]");
      current.json = element("textarea", {rows: 12, spellcheck: false, ariaLabel: "Arguments, a list of JSON", value});
    }
    form();
    focusForm();
  } catch (e) {
    unfit(e);
  }
}

// unfit says why arguments or metadata are not those of a call.
function unfit(e) {
  $("hint").textContent = clean(`This is not a call of the method: ${e.message}.`);
  $("hint").className = "bad";
}

function pretty(text) {
  try {
    return JSON.stringify(parse(text), null, 2);
  } catch {
    return text; // from a JSON input of the form
  }
}

// The command in a shell

const quote = word => /^[\w.:\/@%+,-][\w.:\/@%+,=-]*$/.test(word) && !word.startsWith("-") ? word : "'" + word.replaceAll("'", `'\\''`) + "'";

// word returns an argument for bsrpc: plain texts without the quotes of JSON.
function word(type, json) {
  if (/^(string|time|duration)$/.test(type?.kind) && /^"[\w.:\/][\w.:\/+-]*"$/.test(json)) return json.slice(1, -1);
  return json.startsWith("-") ? json : quote(json);
}

// setCommand shows a command, and the beginning of a long one.
function setCommand(text) {
  current.command = text;
  $("command").textContent = cut(text, maxRemembered);
}

// command shows the call as a command: of bsrpc if the server has said its address, otherwise of curl.
function command() {
  if (!current) return;
  const address = document.body.dataset.address, name = current.method.Name, token = $("token").value !== "";
  const hints = [];
  let words, metadata;
  setCommand("");
  try {
    words = argumentsOf(current, true);
    metadata = entries();
    $("extra-title").textContent = "Metadata" + (metadata.length ? ` (${metadata.length})` : "");
  } catch (e) {
    return unfit(e);
  }
  if (address) {
    const end = words.some(w => w.startsWith("-")) ? ["--"] : [], [server, ...flags] = address.trim().split(/\s+/);
    if (token && !server.startsWith("@")) flags.push("--token-file", "token.txt");
    for (const [key, value] of metadata) flags.push("--metadata", quote(key + "=" + value));
    if (current.stream < 0 && current.limit !== "20s") flags.push("--timeout", quote(current.limit));
    setCommand(["bsrpc call", quote(server), quote(name), ...flags, ...end, ...words.map((w, i) => word(current.params[i], w))].join(" "));
    if (flags.includes("--token-file")) hints.push("the token in the file token.txt");
  } else {
    const url = new URL(encodeURIComponent(name), location.href.split("#")[0]).href;
    setCommand(["curl -sSN", ...token ? ['-H "Authorization: Bearer $TOKEN"'] : [], ...metadata.length ? ["-H", quote("Bsrpc-Metadata: " + header(metadata))] : [], "-H 'Content-Type: application/json' -d", quote("[" + words.join(",") + "]"), quote(url)].join(" "));
    if (token) hints.push("the token in $TOKEN");
  }
  if (current.hasSecrets) hints.push("the secrets in place of ***");
  $("hint").textContent = hints.length ? "The command needs " + hints.join(", and ") + "." : "";
  $("hint").className = "";
}

// Calls

// masked returns a value without what the server tags secret.
function masked(type, value, place, secrets) {
  if (secrets.includes(place)) return "***";
  if (value === null || typeof value !== "object" || !secrets.some(s => s.startsWith(place))) return value;
  switch (type.kind) {
  case "pointer":
    return masked(type.elem, value, place, secrets);
  case "array": case "slice":
    return value.map(v => masked(type.elem, v, place + "[]", secrets));
  case "map":
    return Array.isArray(value) ? "***" : Object.fromEntries(Object.entries(value).map(([k, v], i) => [secrets.includes(place + "[key]") ? `*** ${i + 1}` : k, masked(type.elem, v, place + "[]", secrets)]));
  case "struct": case "union":
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, masked(type.fields.find(f => f.name === k).type, v, `${place}.${k}`, secrets)]));
  }
  return value;
}

// What a view keeps of the results of a call: to show, to save, and in the history.
const maxLines = 1000, maxShown = 1 << 17, maxSaved = 1 << 26, maxRemembered = 1 << 14;

const cut = (text, size) => text.length <= size ? text : `${text.slice(0, size)}… ${text.length - size} more characters`;

// print adds a line to the results of a view. Above the limits it removes the oldest ones.
function print(v, text, part = text + "\n") {
  const line = clean(cut(text, maxShown / 4));
  v.lines.push(line);
  for (v.size += line.length; v.lines.length > maxLines || v.size > 2 * maxShown; v.dropped++) v.size -= v.lines.shift().length;
  if ((v.kept += part.length) <= maxSaved) v.parts.push(part);
  soon(v);
}

// soon shows a view with the next picture of the page.
function soon(v) {
  if (v.soon) return;
  v.soon = true;
  requestAnimationFrame(() => { v.soon = false; render(v); });
}

// render shows the call of a view, if it is the current one.
function render(v) {
  if (v !== current) return;
  const output = $("output"), atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
  $("send").disabled = v.running !== null || v.refused !== "";
  $("stop").disabled = v.running === null;
  $("outcome").textContent = v.outcome;
  $("outcome").className = v.bad ? "bad" : v.running ? "" : "good";
  $("reply").textContent = v.reply && clean("Metadata of the reply: " + v.reply);
  $("save").hidden = v.running !== null || v.parts.length === 0;
  $("save").textContent = v.kept > maxSaved ? "Save the first 64 MiB" : "Save results";
  const text = (v.dropped ? `… ${plural(v.dropped, "line")} before\n` : "") + v.lines.join("\n");
  if (output.textContent === text) return;
  output.textContent = text;
  if (v.stream >= 0 && atEnd) output.scrollTop = output.scrollHeight;
}

async function call(v) {
  const {method, results, secrets, stream} = v, began = performance.now();
  const shown = v.command, typed = $("metadata").value, headers = {};
  let given, body;
  try {
    const metadata = entries();
    if (metadata.length) headers["Bsrpc-Metadata"] = header(metadata);
    if (stream < 0 && v.limit) headers["Bsrpc-Timeout"] = v.limit;
    given = "[" + argumentsOf(v, true).join(",") + "]";
    body = "[" + argumentsOf(v, false).join(",") + "]";
  } catch (e) {
    return unfit(e);
  }
  let count = 0, decoder = new TextDecoder("utf-8", {fatal: true});
  const several = results.length - (stream >= 0) > 1;
  const list = text => {
    const types = results.map((t, i) => [t, i]).filter(([, i]) => i !== stream);
    JSON.parse(text).forEach((value, i) => {
      const [type, at] = types[i];
      print(v, (several ? `result ${at + 1}: ` : "") + JSON.stringify(masked(type, value, `result ${at + 1}`, secrets), null, 2));
    });
  };
  const item = data => {
    const place = `result ${stream + 1}`, type = results[stream];
    if (secrets.includes(place) || secrets.includes(place + "[]")) return print(v, "***");
    const value = JSON.parse(data);
    if (type.kind === "stream") return print(v, JSON.stringify(masked(type.elem, value, place + "[]", secrets)));
    const piece = Uint8Array.from(atob(value), c => c.charCodeAt(0));
    try {
      print(v, decoder ? decoder.decode(piece, {stream: true}) : value, piece);
    } catch { // not a text
      decoder = null;
      print(v, value, piece);
    }
  };
  for (const other of views.values()) if (!other.running) other.parts = [];
  Object.assign(v, {running: new AbortController(), outcome: "calling", bad: false, reply: "", lines: [], size: 0, dropped: 0, parts: [], kept: 0});
  render(v);
  let outcome = "ok";
  try {
    const response = await post(encodeURIComponent(method.Name), body, v.running.signal, headers);
    v.reply = metadataOf(response);
    if (stream < 0) {
      list(await response.text());
    } else {
      for await (const event of events(response)) {
        if (event.name === "results") {
          list(event.data);
          continue;
        }
        count++;
        item(event.data);
        v.outcome = plural(count, "item");
      }
    }
  } catch (e) {
    v.bad = e.name !== "AbortError";
    v.reply ||= e.reply ?? "";
    outcome = v.bad ? describe(e) : "stopped";
  }
  v.running = null;
  v.outcome = `${outcome}, ${stream < 0 ? "" : `${plural(count, "item")}, `}${Math.round(performance.now() - began)} ms`;
  render(v);
  remember(v, shown, given, typed);
}

function remember(v, shown, given, typed) {
  if (shown.length + given.length > maxShown) [shown, given] = [cut(shown, maxRemembered), ""]; // not kept whole
  const name = v.method.Name, output = cut(v.lines.join("\n"), maxRemembered);
  const again = element("button", {type: "button", textContent: "Edit", title: "Put these arguments into the form", onclick: async () => {
    if (!methods.has(name)) return;
    await go(name);
    $("metadata").value = typed;
    $("extra").open = typed !== "";
    current.json = null;
    form();
    try {
      fill(current, given);
      command();
    } catch (e) {
      unfit(e);
    }
  }});
  $("history").prepend(element("li", {}, element("details", {},
    element("summary", {}, new Date().toLocaleTimeString() + " " + name + " ", element("span", {className: v.bad ? "bad" : "good", textContent: cut(v.outcome, 1000)})),
    element("div", {className: "command"}, element("code", {textContent: cut(shown, maxRemembered)}), ...given ? [copyButton(() => shown), again] : []),
    element("pre", {textContent: output}))));
  while ($("history").children.length > 100) $("history").lastChild.remove();
}

function copyButton(text, button = element("button", {type: "button", textContent: "Copy"})) {
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch { // without https browsers have no clipboard
      getSelection().selectAllChildren(button.parentNode.querySelector("code"));
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 3000);
  };
  return button;
}

function save() {
  const reader = current.stream >= 0 && current.results[current.stream].kind === "reader";
  const url = URL.createObjectURL(new Blob(current.parts));
  element("a", {href: url, download: current.method.Name + (reader ? "" : ".json")}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// The server

// cell returns a value of bsrpc.v1 as a text.
function cell(v) {
  if (Array.isArray(v)) return v.join(", ") || "–";
  if (/^\d{4}-\d\d-\d\dT/.test(v)) return v.startsWith("0001-") ? "–" : new Date(v).toLocaleString();
  return v === true ? "yes" : v === false ? "no" : clean(String(v)) || "–";
}

function table(rows) {
  if (rows.length === 0) return "none";
  const columns = Object.keys(rows[0]);
  return element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map(c => element("th", {scope: "col", textContent: c})))),
    element("tbody", {}, ...rows.map(r => element("tr", {}, ...columns.map(c => element("td", {textContent: cell(r[c])}))))));
}

// short returns a duration of JSON with three digits.
function short(duration) {
  const s = parseFloat(duration), [factor, unit] = s < 1e-3 ? [1e6, "µs"] : s < 1 ? [1e3, "ms"] : [1, "s"];
  return `${Number((s * factor).toPrecision(3))} ${unit}`;
}

// calls returns a row for each method with calls.
function calls(m) {
  const sum = counts => counts.reduce((n, c) => n + Number(c.Calls), 0);
  const text = counts => counts.map(c => `${c.Calls} ${c.Code}`);
  return {
    Method: m.Name, Calls: sum(m.Calls), Failed: text(m.Calls.filter(c => c.Code !== "ok")), Refused: text(m.Refused),
    ...Object.fromEntries(["P50", "P90", "P99"].map(p => [p, m.Latency.Count === "0" ? "" : short(m.Latency[p])])),
  };
}

async function refresh() {
  $("server").hidden = methods.size === 0;
  const isOperator = methods.has("bsrpc.v1.Counters");
  $("figures").hidden = !isOperator;
  $("server-notice").textContent = methods.size === 0 || isOperator ? "" : "Sessions, groups and counters are for operators: callers with the OperatorRole of the server.";
  if (!isOperator) return;
  try {
    const ask = async name => (await (await post("bsrpc.v1." + name, "[]")).json())[0];
    const [counters, sessions, groups] = await Promise.all(["Counters", "Sessions", "Groups"].map(ask));
    const nonzero = (v, name) => ({...v, [name]: v[name] === "0" ? "" : v[name]});
    $("counters").replaceChildren(...Object.entries(counters).filter(([, v]) => !Array.isArray(v)).map(([name, v]) =>
      element("div", {}, element("dt", {textContent: name.replace(/([a-z])([A-Z])/g, (_, a, b) => a + " " + b.toLowerCase())}), element("dd", {textContent: cell(v)}))));
    $("calls").replaceChildren(table(counters.Methods.map(calls)));
    $("sessions").replaceChildren(table(sessions.map(s => nonzero(s, "Position"))));
    $("groups").replaceChildren(table(groups.map(g => nonzero(g, "Holder"))));
  } catch (e) {
    $("server-notice").textContent = describe(e);
  }
}

let answers = true; // the server has answered last time

// poll shows the health. It loads the methods of a server that answers again, which may be another version.
async function poll() {
  let state = "";
  if (methods.size > 0) {
    try {
      const [health] = await (await post("bsrpc.v1.Health", '[""]')).json();
      state = health.Serving ? "up" : health.Draining ? "draining" : "down";
    } catch (e) {
      state = e.code === "unavailable" ? "no answer" : describe(e);
    }
  }
  $("health").textContent = state;
  $("health").className = state === "up" ? "good" : "bad";
  const before = answers;
  answers = state !== "no answer";
  if (answers && !before) load();
}

async function follow() {
  if (!document.hidden) {
    await poll();
    if ($("follow").checked && answers) await refresh();
  }
  setTimeout(follow, 2000);
}

$("host").textContent = location.host;
document.title = location.host + " – bsrpc console";
$("login").onsubmit = e => { e.preventDefault(); load(); };
$("token").oninput = command;
$("filter").oninput = list;
$("timeout").oninput = () => { current.limit = $("timeout").value.trim(); };
$("call").oninput = $("call").onchange = command;
$("call").onsubmit = e => { e.preventDefault(); if (!current.running && !current.refused) call(current); };
$("stop").onclick = () => current.running?.abort();
$("json").onclick = toggleJSON;
$("save").onclick = save;
$("refresh").onclick = refresh;
copyButton(() => current.command, $("copy"));
onpopstate = () => {
  const name = decodeURIComponent(location.hash.slice(1));
  if (methods.has(name)) show(name).then(focusForm);
};
document.onkeydown = e => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName), shown = [...$("methods").querySelectorAll("details[open] button")];
  if (e.key === "/" && !typing) {
    e.preventDefault();
    $("filter").focus();
  } else if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && current) {
    $("call").requestSubmit();
  } else if (e.key === "Enter" && e.target === $("filter") && shown[0]) {
    shown[0].click();
  } else if (e.key === "Escape" && e.target !== $("filter")) {
    current?.running?.abort();
  } else if (/^Arrow(Up|Down)$/.test(e.key) && (e.target === $("filter") || shown.includes(e.target))) {
    e.preventDefault();
    (shown[shown.indexOf(e.target) + (e.key === "ArrowDown" ? 1 : -1)] ?? $("filter")).focus();
  }
};
load();
follow();
