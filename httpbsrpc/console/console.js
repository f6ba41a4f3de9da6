"use strict";

// The console of a server. Texts of the server reach the page as text nodes only. Arguments are JSON
// text from the form to the request, as numbers of JavaScript have fewer digits than those of bsrpc.

const $ = id => document.getElementById(id);
const methods = new Map(); // by name
let current = null;        // {method, params, results, controls}
let running = null;        // the AbortController of the call under way

// element returns a new element with properties and children.
function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
}

// Requests

// post makes a request. It throws the error of the server.
async function post(path, body, signal, timeout) {
  const headers = {"Content-Type": "application/json"};
  if ($("token").value) headers.Authorization = "Bearer " + $("token").value;
  if (timeout) headers["Bsrpc-Timeout"] = timeout;
  const response = await fetch(path, {method: "POST", headers, body, signal, cache: "no-store", credentials: "omit"});
  if (!response.ok) throw await response.json().catch(() => ({code: response.status, message: response.statusText}));
  return response;
}

// events yields the server-sent events of a response, as {name, data}.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) throw {code: "unavailable", message: "the stream has broken off"};
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = {name: "item", data: ""};
      for (const line of part.split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data = line.slice(6);
      }
      if (event.name === "error") throw JSON.parse(event.data);
      if (event.name === "end") return;
      yield event;
    }
  }
}

const describe = e => `${e.code ?? e.name}: ${e.message}` + (e.outcome ? ` (${e.outcome})` : "");

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
    $("notice").textContent = "The methods are not known. " + describe(e);
  }
  list();
  refresh();
}

function list() {
  const filter = $("filter").value.toLowerCase(), services = new Map();
  for (const name of methods.keys()) {
    if (!name.toLowerCase().includes(filter)) continue;
    const at = name.lastIndexOf("."), service = name.slice(0, at);
    if (!services.has(service)) services.set(service, []);
    const button = element("button", {type: "button", textContent: name.slice(at + 1), onclick: () => show(name)});
    if (current?.method.Name === name) button.setAttribute("aria-current", "true");
    services.get(service).push(button);
  }
  $("methods").replaceChildren(...[...services].flatMap(([service, buttons]) => [element("h2", {textContent: service}), ...buttons]));
}

async function show(name) {
  const method = methods.get(name);
  let layout;
  try {
    layout = await (await post("console/layout", JSON.stringify(method.Layout))).json();
  } catch (e) {
    $("notice").textContent = describe(e);
    return;
  }
  const controls = layout.params.map((t, i) => control(t, method.Params?.[i] ?? `parameter ${i + 1}`, `parameter ${i + 1}`, method.Secrets ?? []));
  current = {method, controls, results: layout.results};
  $("method").hidden = false;
  $("name").textContent = name;
  $("layout").textContent = method.Layout;
  $("options").textContent = [method.Kind, ...method.Options ?? []].join(", ");
  $("params").replaceChildren(...controls.map(c => c.node));
  $("output").textContent = $("outcome").textContent = "";
  list();
  command();
  ($("params").querySelector("input, textarea, select, button") ?? $("send")).focus();
}

// Forms

// A control is {node, text(masked)}: an input for a value of a layout, and its JSON.
function control(type, label, place, secrets) {
  const make = makers[type.kind] ?? makers.other;
  const c = make(type, label, place, secrets);
  if (!secrets.includes(place)) return c;
  for (const i of c.node.querySelectorAll("input[type=text]")) i.type = "password";
  return {node: c.node, text: masked => masked ? '"***"' : c.text()};
}

function labelled(type, label, input) {
  return element("label", {}, element("span", {textContent: label}), input, element("span", {className: "kind", textContent: type.text}));
}

function field(value, toText) {
  return (type, label) => {
    const input = element("input", {type: "text", value, spellcheck: false, autocomplete: "off"});
    return {node: labelled(type, label, input), text: () => toText(input.value.trim() === "" ? value : input.value)};
  };
}

const isNumber = text => /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text.trim());
const number = field("0", text => isNumber(text) ? text.trim() : JSON.stringify(text.trim()));
const string = field("", JSON.stringify);

// several has items that can be added and removed.
function several(type, label, place, secrets) {
  const items = [], box = element("div");
  const add = element("button", {type: "button", textContent: "Add", onclick: () => { more().node.querySelector("input, textarea, select")?.focus(); command(); }});
  function more() {
    const c = control(type.elem, `${items.length + 1}`, place + "[]", secrets);
    const row = element("div", {className: "row"}, c.node, element("button", {type: "button", textContent: "Remove", onclick: () => {
      items.splice(items.indexOf(c), 1);
      row.remove();
      command();
    }}));
    items.push(c);
    box.append(row);
    return c;
  }
  for (let i = 0; i < (type.len ?? 0) && i < 64; i++) more();
  const fixed = type.kind === "array";
  if (fixed) box.querySelectorAll(":scope > .row > button").forEach(b => b.remove());
  return {
    node: element("fieldset", {}, element("legend", {textContent: label}), box, ...fixed ? [] : [add]),
    text: masked => "[" + items.map(c => c.text(masked)).join(",") + "]",
  };
}

const makers = {
  bool(type, label) {
    const input = element("input", {type: "checkbox"});
    return {node: labelled(type, label, input), text: () => String(input.checked)};
  },
  int: number, uint: number, float: number,
  string, text: string, bytes: string, binary: string,
  time: (type, label) => field(new Date().toISOString(), JSON.stringify)(type, label),
  duration: field("0s", JSON.stringify),
  array: several, slice: several,
  struct(type, label, place, secrets) {
    const fields = type.fields.filter(f => f.name !== "_").map(f => [f.name, control(f.type, f.name, `${place}.${f.name}`, secrets)]);
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), ...fields.map(([, c]) => c.node)),
      text: masked => "{" + fields.map(([name, c]) => JSON.stringify(name) + ":" + c.text(masked)).join(",") + "}",
    };
  },
  union(type, label, place, secrets) {
    const members = new Map(type.fields.map(f => [f.name, control(f.type, f.name, `${place}.${f.name}`, secrets)]));
    const box = element("div");
    const select = element("select", {onchange: () => box.replaceChildren(members.get(select.value).node)}, ...type.fields.map(f => element("option", {textContent: f.name})));
    select.onchange();
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), select, box),
      text: masked => `{${JSON.stringify(select.value)}:${members.get(select.value).text(masked)}}`,
    };
  },
  pointer(type, label, place, secrets) {
    const inner = control(type.elem, "value", place, secrets), box = element("div", {hidden: true}, inner.node);
    const set = element("input", {type: "checkbox", onchange: () => { box.hidden = !set.checked; }});
    const wrap = type.elem.kind === "pointer" ? text => `[${text}]` : text => text;
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), element("label", {}, set, "set"), box),
      text: masked => set.checked ? wrap(inner.text(masked)) : "null",
    };
  },
  other(type, label) { // maps, complex numbers, recursive types
    const value = type.kind === "map" ? "{}" : "null";
    const input = element("textarea", {value, spellcheck: false});
    return {node: labelled(type, `${label} (JSON)`, input), text: () => input.value.trim() || value};
  },
};

// The command in a shell

const quote = word => /^[\w.:\/@%+,-]+$/.test(word) && !word.startsWith("-") ? word : "'" + word.replaceAll("'", `'\\''`) + "'";

function command() {
  if (!current) return;
  const words = current.controls.map(c => c.text(true)), end = words.some(w => w.startsWith("-")) ? ["--"] : [];
  const address = document.body.dataset.address;
  $("command").textContent = ["bsrpc call", ...address ? [quote(address)] : [], quote(current.method.Name), ...end, ...words.map(w => w.startsWith("-") ? w : quote(w))].join(" ");
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

const maxLines = 1000;

async function call() {
  const {method, controls, results} = current, secrets = method.Secrets ?? [];
  const streams = results.findIndex(t => t.kind === "stream" || t.kind === "reader");
  const began = performance.now(), shown = $("command").textContent, lines = [];
  let count = 0, outcome = "ok", bad = false;
  const print = text => {
    lines.push(text);
    if (lines.length > maxLines) lines.shift();
    if (current.method === method) $("output").textContent = lines.join("\n");
  };
  const list = text => {
    const types = results.map((t, i) => [t, i]).filter(([, i]) => i !== streams);
    JSON.parse(text).forEach((v, i) => print(JSON.stringify(masked(types[i][0], v, `result ${types[i][1] + 1}`, secrets), null, 2)));
  };
  running = new AbortController();
  $("send").disabled = !($("stop").disabled = false);
  $("output").textContent = "";
  $("outcome").textContent = "calling";
  $("outcome").className = "";
  try {
    const response = await post(encodeURIComponent(method.Name), "[" + controls.map(c => c.text(false)).join(",") + "]", running.signal, streams < 0 ? $("timeout").value : "");
    if (streams < 0) {
      list(await response.text());
    } else {
      for await (const event of events(response)) {
        if (event.name === "results") {
          list(event.data);
          continue;
        }
        count++;
        const place = `result ${streams + 1}`, type = results[streams];
        const hidden = secrets.includes(place) || secrets.includes(place + "[]");
        print(hidden ? "***" : JSON.stringify(type.elem ? masked(type.elem, JSON.parse(event.data), place + "[]", secrets) : JSON.parse(event.data)));
        $("outcome").textContent = `${count} items`;
      }
    }
  } catch (e) {
    bad = e.name !== "AbortError";
    outcome = bad ? describe(e) : "stopped";
  }
  running = null;
  $("send").disabled = !($("stop").disabled = true);
  const text = `${outcome}, ${streams < 0 ? "" : `${count} items, `}${Math.round(performance.now() - began)} ms`;
  $("outcome").textContent = text;
  $("outcome").className = bad ? "bad" : "good";
  remember(method.Name, text, bad, shown, lines.join("\n"));
}

function remember(name, outcome, bad, shown, output) {
  $("history").prepend(element("li", {}, element("details", {},
    element("summary", {}, new Date().toLocaleTimeString() + " " + name + " ", element("span", {className: bad ? "bad" : "good", textContent: outcome})),
    element("div", {className: "command"}, element("code", {textContent: shown}), copyButton(() => shown)),
    element("pre", {textContent: output}))));
  while ($("history").children.length > 100) $("history").lastChild.remove();
}

function copyButton(text, button = element("button", {type: "button", textContent: "Copy"})) {
  button.onclick = async () => {
    await navigator.clipboard.writeText(text()).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Select it"; });
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  return button;
}

// The server

function table(rows) {
  if (rows.length === 0) return "none";
  const columns = Object.keys(rows[0]), cell = v => element("td", {textContent: typeof v === "object" ? JSON.stringify(v) : String(v)});
  return element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map(c => element("th", {scope: "col", textContent: c})))),
    element("tbody", {}, ...rows.map(r => element("tr", {}, ...columns.map(c => cell(r[c]))))));
}

async function refresh() {
  const part = async (id, name, rows) => {
    try {
      $(id).replaceChildren(table(rows((await (await post("bsrpc.v1." + name, "[]")).json())[0])));
    } catch (e) {
      $(id).replaceChildren(describe(e));
    }
  };
  const up = await fetch("health", {cache: "no-store"}).then(r => r.ok, () => false);
  $("health").textContent = up ? "up" : "down";
  $("health").className = up ? "good" : "bad";
  await Promise.all([part("counters", "Counters", v => [v]), part("sessions", "Sessions", v => v), part("groups", "Groups", v => v)]);
}

async function follow() {
  if ($("follow").checked && !document.hidden) await refresh();
  setTimeout(follow, 2000);
}

$("login").onsubmit = e => { e.preventDefault(); load(); };
$("filter").oninput = list;
$("call").oninput = $("call").onchange = command;
$("call").onsubmit = e => { e.preventDefault(); if (!running) call(); };
$("stop").onclick = () => running?.abort();
$("refresh").onclick = refresh;
copyButton(() => $("command").textContent, $("copy"));
document.onkeydown = e => {
  if (e.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) { e.preventDefault(); $("filter").focus(); }
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && e.target.tagName === "TEXTAREA") $("call").requestSubmit();
};
load();
follow();
