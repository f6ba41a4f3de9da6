"use strict";

// The inputs of the console: a control for each kind of value.

// A control is an input for a value of a layout: {node, text(masked), set(value)}. around has the types
// around this one, the innermost last.
function control(type, label, place, secrets, around) {
  if (type.up) { // a type that contains itself
    around = around.slice(0, around.length - type.up + 1);
    type = around.pop();
  }
  const make = type.kind === "array" && type.len > 16 ? makers.other : makers[type.kind] ?? makers.other;
  const c = make(type, label, place, secrets, [...around, type]);
  if (!secrets.some(s => place === s || place.startsWith(s + ".") || place.startsWith(s + "["))) return c;
  for (const i of c.node.querySelectorAll("input[type=text]")) i.type = "password";
  return {node: c.node, text: masked => masked ? '"***"' : c.text(), set: v => { if (v !== "***") c.set(v); }};
}

function labelled(type, label, input, note = type.text ?? "") {
  return element("label", {}, element("span", {textContent: label}), input, element("span", {className: "kind", textContent: note}));
}

const textOf = v => typeof v === "string" ? v : v === null ? "" : v.rawJSON ?? JSON.stringify(v);

function field(value, toText, note) {
  return (type, label) => {
    const input = element("input", {type: "text", value, spellcheck: false, autocomplete: "off"});
    const text = () => toText(input.value.trim() === "" ? value : input.value);
    return {node: labelled(type, label, input, note && `${type.text}, ${note}`), text, set: v => { input.value = textOf(v); }};
  };
}

const isNumber = text => /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text);
const number = field("0", text => isNumber(text.trim()) ? text.trim() : JSON.stringify(text.trim()));
const string = field("", JSON.stringify);

// bytes can come from a file. Long ones are not in the input, in which browsers become slow.
function bytes(type, label) {
  const c = field("", JSON.stringify, "base64")(type, label), input = c.node.querySelector("input"), {text, set} = c;
  let held = null;
  c.text = () => held !== null && input.value === "" ? JSON.stringify(held) : text();
  c.set = v => {
    held = typeof v === "string" && v.length > maxRemembered ? v : null;
    input.placeholder = held === null ? "" : `${held.length} characters`;
    set(held === null ? v : "");
  };
  const file = element("input", {type: "file", ariaLabel: label + " from a file", onchange: () => {
    if (!file.files[0]) return;
    const reader = new FileReader();
    reader.onload = () => { c.set(reader.result.slice(reader.result.indexOf(",") + 1)); command(); };
    reader.readAsDataURL(file.files[0]);
  }});
  c.node = element("div", {className: "bytes"}, c.node, file);
  return c;
}

// several has items. Those of a slice can be added and removed.
function several(type, label, place, secrets, around) {
  let items = [];
  const box = element("div"), fixed = type.kind === "array";
  const add = element("button", {type: "button", textContent: "Add", onclick: () => { more().node.querySelector("input, textarea, select, button")?.focus(); command(); }});
  function number() {
    items.forEach((c, i) => { c.node.querySelector("legend, span").textContent = i + 1; });
  }
  function more() {
    const c = control(type.elem, `${items.length + 1}`, place + "[]", secrets, around);
    const row = element("div", {className: "row"}, c.node);
    if (!fixed) {
      row.append(element("button", {type: "button", textContent: "Remove", onclick: () => {
        items.splice(items.indexOf(c), 1);
        row.remove();
        number();
        add.focus();
        command();
      }}));
    }
    items.push(c);
    box.append(row);
    return c;
  }
  if (fixed) for (let i = 0; i < (type.len ?? 0); i++) more();
  return {
    node: element("fieldset", {}, element("legend", {textContent: label}), box, ...fixed ? [] : [add]),
    text: masked => "[" + items.map(c => c.text(masked)).join(",") + "]",
    set(values) {
      if (!fixed) {
        items = [];
        box.replaceChildren();
      }
      (values ?? []).forEach((v, i) => { (items[i] ?? more()).set(v); });
    },
  };
}

const makers = {
  bool(type, label) {
    const input = element("input", {type: "checkbox"});
    return {node: labelled(type, label, input), text: () => String(input.checked), set: v => { input.checked = v === true; }};
  },
  int: number, uint: number, float: number,
  string, text: string, bytes, binary: field("", JSON.stringify, "base64"),
  time: (type, label) => field(new Date().toISOString(), JSON.stringify)(type, label),
  duration: field("0s", JSON.stringify, "as 1m30s"),
  array: several, slice: several,
  struct(type, label, place, secrets, around) {
    const fields = new Map((type.fields ?? []).filter(f => f.name !== "_").map(f => [f.name, control(f.type, f.name, `${place}.${f.name}`, secrets, around)]));
    const first = new Map([...fields].map(([name, c]) => [name, c.text(true)]));
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), ...[...fields.values()].map(c => c.node)),
      text: masked => "{" + [...fields].map(([name, c]) => JSON.stringify(name) + ":" + c.text(masked)).join(",") + "}",
      set(v) {
        const other = Object.keys(v).find(name => !fields.has(name));
        if (other) throw new RangeError(`${place} has no field ${other}`);
        fields.forEach((c, name) => c.set(name in v ? v[name] : parse(first.get(name))));
      },
    };
  },
  union(type, label, place, secrets, around) {
    const members = new Map(), box = element("div"); // made when they are chosen, as a union may contain itself
    const select = element("select", {ariaLabel: label, onchange: choose}, ...type.fields.map(f => element("option", {textContent: f.name})));
    function choose() {
      const f = type.fields.find(f => f.name === select.value);
      if (!members.has(f.name)) members.set(f.name, control(f.type, f.name, `${place}.${f.name}`, secrets, around));
      box.replaceChildren(members.get(f.name).node);
    }
    choose();
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), select, box),
      text: masked => `{${JSON.stringify(select.value)}:${members.get(select.value).text(masked)}}`,
      set(v) {
        const member = Object.keys(v)[0];
        if (!type.fields.some(f => f.name === member)) throw new RangeError(`${place} has no member ${member}`);
        select.value = member;
        choose();
        members.get(select.value).set(v[select.value]);
      },
    };
  },
  pointer(type, label, place, secrets, around) {
    let inner = null; // made when it is set, as a type may contain itself
    const box = element("div"), set = element("input", {type: "checkbox", onchange: choose}), twice = type.elem.kind === "pointer";
    function choose() {
      inner ??= control(type.elem, "value", place, secrets, around);
      box.replaceChildren(...set.checked ? [inner.node] : []);
    }
    return {
      node: element("fieldset", {}, element("legend", {textContent: label}), element("label", {}, set, "set"), box),
      text: masked => !set.checked ? "null" : twice ? `[${inner.text(masked)}]` : inner.text(masked),
      set(v) {
        set.checked = v !== null;
        choose();
        if (set.checked) inner.set(twice ? v[0] : v);
      },
    };
  },
  other(type, label, place, secrets, around) { // maps, complex numbers, long arrays, what cannot be sent
    const value = type.example ?? (type.kind === "array" ? "[" + Array(type.len).fill(control(type.elem, "", "", [], around).text()).join(",") + "]" : "null");
    const input = element("textarea", {value, spellcheck: false});
    return {node: labelled(type, `${label} (JSON)`, input), text: () => input.value.trim() || value, set: v => { input.value = JSON.stringify(v); }};
  },
};
