"use strict";
// The window's page: it shows what the server reports, and sends what a person does. It keeps nothing.

const byId = (id) => document.getElementById(id);
const state = { words: null, viewerWords: null, language: "zh", report: { items: [], studies: [], notes: {} }, cards: new Map(), files: new Map(), rows: new Map(), viewer: null };

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
function say(name, values) {
  const text = state.words[state.language][name] || name;
  return text.replace(/\{(\w+)\}/g, (_, key) => (values || {})[key] ?? "");
}
const both = (words) => (words && words[state.language]) || "";
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const show = (element, isShown) => { if (element.hidden === Boolean(isShown)) element.hidden = !isShown; };

async function send(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body || {}) });
  return response.ok ? response.json() : null;
}
async function give(file, name) {
  const response = await fetch(`give?name=${encodeURIComponent(name || file.name || "photo.png")}`, { method: "POST", body: file });
  if (!response.ok) { message(say(response.status === 413 ? "too-large" : "not-taken")); return; }
  const { number } = await response.json();
  if (file.type.startsWith("image/")) state.files.set(number, file);
}
function giveAll(list) { for (const file of list) give(file); }

/** A folder: photos are sources each, anything else is one study's files. */
async function giveFolder(name, files) {
  if (!files.length) return;
  if (files.every((file) => file.type.startsWith("image/"))) { giveAll(files); return; }
  const started = await send("folder");
  if (!started) { message(say("not-taken")); return; }
  const dialog = openDialog(say("copying", { done: 0, count: files.length })), title = dialog.querySelector("h2"), waiting = [...files];
  let done = 0, isRefused = false;
  const work = async () => {
    while (waiting.length && !isRefused) {
      const file = waiting.shift();
      const response = await fetch(`folder/${started.folder}/file?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }).catch(() => null);
      if (!response || !response.ok) isRefused = true;
      done += 1;
      title.textContent = say("copying", { done, count: files.length });
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  dialog.close();
  if (isRefused) message(say("too-large")); else send(`folder/${started.folder}/whole`, { name });
}
/** All files below a dropped folder. */
async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const inner of entries) found.push(...await filesBelow(inner));
  }
}
async function giveDropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  const folders = entries.filter((entry) => entry && entry.isDirectory);
  giveAll([...transfer.files].filter((_, place) => !(entries[place] && entries[place].isDirectory)));
  for (const folder of folders) await giveFolder(folder.name, await filesBelow(folder).catch(() => []));
}

// ---- words

function translate() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  byId("language").textContent = state.language === "zh" ? "English" : "中文";
  byId("language").lang = state.language === "zh" ? "en" : "zh-CN";
  document.title = say("title");
  byId("cards").replaceChildren();
  byId("studies").replaceChildren();
  state.cards.clear();
  state.rows.clear();
  update();
}

// ---- one card for each source

function card(item) {
  const button = (name, action, kind) => make("button", { type: "button", class: kind, onclick: action }, say(name));
  const post = (action, body) => () => send(`item/${item.number}/${action}`, body);
  const parts = {
    name: make("h3", {}, item.name),
    verdict: make("p", { class: "verdict", hidden: true }),
    doing: make("p", { class: "doing", role: "status" }),
    bar: make("progress", { max: "1", hidden: true, "aria-label": say("progress") }),
    series: make("ul", { class: "series-list" }),
    said: make("p", { class: "small said" }),
    photo: make("div", { class: "photo", hidden: true }),
    help: make("div", { class: "help", hidden: true }, make("p", {}, make("strong", {}, say("help"))),
      make("ul", {}, ...say("help-photo").split("\n").map((line) => make("li", {}, line)))),
    ask: make("div", { class: "ask", hidden: true }),
    problems: make("ul", { class: "problems", hidden: true }),
    pause: button("pause", post("pause")),
    stop: button("stop", post("stop")),
    again: button("go-on", post("again"), "main"),
    browser: button("show-browser", post("browser")),
    another: button("another", () => byId("files").click(), "main"),
    crop: button("crop", () => crop(item.number)),
    see: button("see", () => see(state.report.items.find((other) => other.number === item.number).studies[0]), "main"),
    remove: button("remove", post("remove")),
    key: "",
  };
  parts.element = make("article", { class: "card", "data-number": item.number },
    parts.name, parts.verdict, parts.doing, parts.bar, parts.series, parts.said, parts.ask, parts.problems, parts.help,
    make("div", { class: "row" }, parts.see, parts.another, parts.again, parts.browser, parts.crop, parts.pause, parts.stop, parts.remove), parts.photo);
  return parts;
}

const isPaused = (item) => item.is_paused && ["connecting", "fetching"].includes(item.stage);
function doing(item) {
  const seconds = Math.round(item.seconds), waited = seconds > 2 ? say("waited", { seconds }) : "";
  const host = [item.hospital, item.host].filter(Boolean).join(" · ");
  if (isPaused(item)) return [say("doing-paused"), item.stage === "fetching" ? say("received", { arrived: item.arrived, expected: item.expected ?? "?" }) : ""].filter(Boolean).join(" ");
  if (item.stage === "asking") return item.asked && item.asked.options.length ? say("doing-choosing") : say("doing-asking", { host: host || (item.asked ? item.asked.host : "") });
  if (item.stage === "connecting" && item.is_in_browser) return [say("doing-browser"), waited].join(" ");
  if (item.stage === "connecting" && !item.host) return [say("doing-files"), waited].join(" ");
  if (item.stage !== "fetching") return [say(`doing-${item.stage}`, { host }), item.stage === "ended" || item.stage === "stopped" ? "" : waited].join(" ");
  const place = item.series.findIndex((series) => series.expected === null || series.arrived < series.expected) + 1 || item.series.length;
  const rate = item.fetching_seconds ? item.bytes / item.fetching_seconds / 1e6 : 0;
  const left = item.expected && item.arrived ? Math.ceil((item.expected - item.arrived) * item.fetching_seconds / item.arrived) : null;
  return [say("doing-fetching", { place, series: item.series.length, arrived: item.arrived, expected: item.expected ?? "?" }),
    rate > 0.01 ? say("rate", { rate: rate.toFixed(1) }) : "", left ? (left > 120 ? say("left-minutes", { minutes: Math.ceil(left / 60) }) : say("left", { seconds: left })) : ""].filter(Boolean).join(" ");
}

function askForm(item) {
  const { asked } = item, id = `answer-${item.number}`;
  if (asked.options.length) return optionList(item);
  const input = make("input", { id, type: asked.field === "password" ? "password" : "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-describedby": `${id}-where` });
  const reveal = asked.field === "password" ? make("button", { type: "button", onclick: () => { input.type = input.type === "password" ? "text" : "password"; } }, say("reveal")) : null;
  const form = make("form", { onsubmit: (event) => {
    event.preventDefault();
    if (input.value.trim()) send(`item/${item.number}/answer`, { value: input.value.trim() });
  } },
    asked.was_refused ? make("p", { class: "wrong", role: "alert" }, say("refused"), asked.site_words ? ` (${asked.site_words})` : "") : null,
    make("label", { for: id }, both(asked.label)),
    asked.has_picture ? make("img", { src: `item/${item.number}/picture?${Date.now()}`, alt: say("captcha-picture"), class: "captcha" }) : null,
    make("div", { class: "row" }, input, reveal, make("button", { type: "submit", class: "main" }, say("answer"))),
    make("p", { class: "small", id: `${id}-where` }, both(asked.where)));
  setTimeout(() => input.focus({ preventScroll: false }), 0);
  return form;
}

/** Equally likely links: a person chooses. */
function optionList(item) {
  return make("div", { role: "group", "aria-label": say("doing-choosing") },
    make("p", {}, both(item.asked.where)),
    ...item.asked.options.map((option, place) => make("div", { class: "row" },
      make("button", { type: "button", class: "main option", onclick: () => send(`item/${item.number}/answer`, { value: String(place + 1) }) },
        say("option", { number: option.place === null ? place + 1 : option.place + 1 })), make("span", { class: "small" }, option.text))));
}
const SVG = "http://www.w3.org/2000/svg";
function outline(shape, kind) {
  const polygon = document.createElementNS(SVG, "polygon");
  polygon.setAttribute("points", shape.map(([x, y]) => `${x},${y}`).join(" "));
  polygon.setAttribute("class", kind);
  return polygon;
}
const kindOf = (code) => (code.is_film ? "film" : code.may_be_film ? "maybe" : "other");
/** The number of a code on the photo; a link may be pressed. */
function mark(item, code, place) {
  const words = [both(code.kind), code.text].filter(Boolean).join(": "), number = String(place + 1);
  const element = code.is_link
    ? make("button", { type: "button", class: `mark ${kindOf(code)}`, title: say(code.is_film ? "use-again" : "use-this"), "aria-label": `${number}. ${words}. ${say(code.is_film ? "use-again" : "use-this")}`, onclick: () => choose(item.number, place) })
    : make("span", { class: "mark other", title: words, "aria-hidden": "true" });
  element.dataset.number = number;
  const [across, down] = [0, 1].map((axis) => code.shape.map((corner) => corner[axis]));
  element.style.left = `${Math.min(...across) * 100}%`;
  element.style.top = `${Math.min(...down) * 100}%`;
  element.style.width = `${(Math.max(...across) - Math.min(...across)) * 100}%`;
  element.style.height = `${(Math.max(...down) - Math.min(...down)) * 100}%`;
  return element;
}
function choose(number, place) {
  const item = state.report.items.find((other) => other.number === number), code = item && item.codes[place];
  const isRunning = item && !["ended", "stopped"].includes(item.stage);
  if (code && !(isRunning && code.is_film)) send(`item/${number}/choose`, { place });  // the film's own link is being worked on
}
function photo(item, parts) {
  const drawing = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" })) drawing.setAttribute(name, value);
  drawing.append(...item.suspects.filter((shape) => shape.length).map((shape) => outline(shape, "suspect")),
    ...item.codes.filter((code) => code.shape.length).map((code) => outline(code.shape, kindOf(code))));
  const marks = item.codes.map((code, place) => (code.shape.length ? mark(item, code, place) : null));
  const codes = item.codes.map((code, place) => {
    const words = [both(code.kind), code.text].filter(Boolean).join(": ");
    return make("li", { class: code.is_film ? "film" : "" }, words, " ", code.is_link
      ? make("button", { type: "button", onclick: () => choose(item.number, place) }, say(code.is_film ? "use-again" : "use-this")) : null);
  });
  parts.photo.replaceChildren(make("details", { open: !item.studies.length },
    make("summary", {}, item.codes.length ? say("codes", { count: item.codes.length }) : say("your-photo")),
    make("div", { class: "frame" }, make("img", { src: `item/${item.number}/preview`, alt: say("preview") }), drawing, ...marks),
    make("ol", {}, ...codes)));
}

function seriesRows(item, list, isShown) {
  const rows = isShown ? item.series : [];
  while (list.childElementCount > rows.length) list.lastElementChild.remove();
  rows.forEach((series, place) => {
    if (!list.children[place]) list.append(make("li", {}, make("span")));
    const row = list.children[place];
    setText(row.lastElementChild, `${series.label}  ${series.arrived}/${series.expected ?? "?"}`);
    if (series.has_thumbnail && row.childElementCount === 1) row.prepend(make("img", { src: `item/${item.number}/thumbnail/${place}`, alt: "", class: "thumbnail" }));
  });
}
function updateCard(item) {
  let parts = state.cards.get(item.number);
  if (!parts) {
    parts = card(item);
    state.cards.set(item.number, parts);
    byId("cards").prepend(parts.element);
  }
  const isWorking = !["ended", "stopped"].includes(item.stage);
  const isAskedAgain = Boolean(item.verdict && item.asked);  // the form says that the answer was refused
  show(parts.verdict, item.verdict && !isAskedAgain);
  parts.verdict.className = `verdict ${item.verdict}`;
  setText(parts.verdict, item.verdict ? say(`verdict-${item.verdict}`) : "");
  setText(parts.doing, isAskedAgain ? say("doing-asking", { host: item.hospital || item.asked.host }) : item.verdict && !isWorking ? both(item.sentence) : doing(item));
  show(parts.bar, item.stage === "fetching");
  if (item.expected) parts.bar.value = item.arrived / item.expected; else parts.bar.removeAttribute("value");
  seriesRows(item, parts.series, isWorking || item.series.some((series) => series.has_thumbnail));
  const isForPage = !isWorking && item.needs_hand;
  setText(parts.said, isForPage ? say("browser-how") : isWorking && !item.asked && !isPaused(item) && item.said.length ? both(item.said[item.said.length - 1]) : "");
  const key = JSON.stringify([item.asked && [item.asked.field, item.asked.was_refused, item.asked.has_picture], item.has_preview, item.codes.length, item.studies.length]);
  if (key !== parts.key) {
    parts.key = key;
    const asked = key.slice(0, key.indexOf("]"));
    if (asked !== parts.asked) parts.ask.replaceChildren(...(item.asked ? [askForm(item)] : []));
    parts.asked = asked;
    if (item.has_preview) photo(item, parts);
  }
  show(parts.ask, item.asked);
  show(parts.photo, item.has_preview);
  show(parts.problems, !isWorking && item.problems.length);
  if (parts.problems.childElementCount !== item.problems.length) {
    parts.problems.replaceChildren(...item.problems.map((problem) => make("li", {}, both(problem))));
  }
  const isFetching = item.host && (item.stage === "fetching" || (item.stage === "connecting" && !item.is_in_browser));
  show(parts.pause, isFetching && !isPaused(item));
  show(parts.stop, isWorking);
  setText(parts.again, say(item.verdict === "failed" ? "try-again" : "go-on"));
  show(parts.again, isPaused(item) || (!isWorking && item.verdict !== "complete" && !item.asked));
  const isForEyes = item.stage === "asking" && ["captcha", "sms_code"].includes(item.asked?.field);  // the site's page may be easier
  show(parts.browser, isWorking ? isForEyes : item.may_show_browser);
  show(parts.help, !isWorking && item.may_retake);
  show(parts.another, !isWorking && item.may_retake);
  parts.again.className = item.may_retake || isForPage ? "" : "main";
  parts.browser.className = isForPage ? "main" : "";
  show(parts.crop, !isWorking && item.has_preview && !item.codes.some((code) => code.is_film) && !item.studies.length);
  show(parts.see, item.studies.length && !isWorking);
  show(parts.remove, !isWorking);
}

// ---- what was fetched before

const date = (text) => (/^\d{8}$/.test(text) ? text.replace(/(....)(..)(..)/, "$1-$2-$3") : text);
function studyRow(study) {
  const post = (action, body) => () => send(`study/${study.number}/${action}`, body);
  const button = (name, action, kind) => make("button", { type: "button", class: kind, onclick: action }, say(name));
  const note = make("p", { class: "note", role: "status", hidden: true });
  const remove = button("delete", () => ask(say("delete-sure", { name: study.folder }), say("delete"), post("delete")));
  const hand = make("details", {}, make("summary", {}, say("hand-on")), make("div", { class: "row" },
    ...["zip", "cd", "page", "pictures", "anonymous"].map((kind) => button(`to-${kind}`, post("export", { to: kind }))),
    button("to-archive", () => archive(study)), button("show-export", post("show-export"))));
  return { note, element: make("li", { class: "study", "data-study": study.number },
    make("div", { class: "facts" }, make("strong", {}, [study.patient.replace(/\^+/g, " "), date(study.date), study.modality].filter(Boolean).join("  ") || study.folder),
      make("span", {}, study.description), make("span", { class: `small ${study.status}` }, say("images", { count: study.images }), " ", study.status ? say(`verdict-${study.status}`) : "")),
    make("div", { class: "row" }, button("see", () => see(study.number), "main"), button("open-folder", post("open")), remove), hand, note) };
}
function updateStudies() {
  const { studies, notes } = state.report, list = byId("studies");
  const wanted = studies.map((study) => `${study.number}-${study.saved_at}`);
  for (const [key, row] of state.rows) if (!wanted.includes(key)) { row.element.remove(); state.rows.delete(key); }
  studies.forEach((study, place) => {
    if (!state.rows.has(wanted[place])) state.rows.set(wanted[place], studyRow(study));
    const row = state.rows.get(wanted[place]), note = notes[study.number];
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] || null);
    show(row.note, note);
    row.note.className = `note ${note ? note.state : ""}`;
    setText(row.note, note ? [both(note.text), note.short ? both(note.short) : ""].filter(Boolean).join(" ") : "");
  });
  show(byId("none-kept"), !studies.length);
}

function update() {
  const { items } = state.report;
  show(byId("items"), items.length);
  for (const [number, parts] of state.cards) {
    if (!items.some((item) => item.number === number)) { parts.element.remove(); state.cards.delete(number); }
  }
  for (const item of [...items].reverse()) updateCard(item);
  updateStudies();
}

// ---- looking at a study

async function see(number) {
  const dialog = openDialog(say("opening"));
  const response = await fetch(`study/${number}/index.json`);
  dialog.close();
  if (!response.ok) { message(say("not-readable")); return; }
  const index = await response.json();
  if (!index.series.some((series) => series.count)) { message(say("no-pictures")); return; }
  byId("start").hidden = true;
  byId("see").hidden = false;
  look(number, index);
}
/** Show a study as it is listed; a list made before all files were read is completed once its first image stands. */
async function look(number, index) {
  closeViewer();
  const listing = index.is_whole ? "whole" : "first";
  const viewer = window.cloudfilmViewer(byId("viewer"), { index, words: state.viewerWords, language: state.language,
    load: async (frame) => new Uint8Array(await (await fetch(`study/${number}/frame/${listing}/${frame}`)).arrayBuffer()),
    onLanguage: (language) => { state.language = language; translate(); } });
  state.viewer = viewer;
  viewer.focus();
  if (index.is_whole) return;
  await viewer.first;
  const response = await fetch(`study/${number}/whole.json`);
  if (state.viewer !== viewer || !response.ok) return;
  const whole = await response.json();
  if (state.viewer !== viewer) return;
  if (whole.is_same) viewer.adopt(whole); else look(number, whole);
}
function closeViewer() {
  if (state.viewer) state.viewer.close();
  state.viewer = null;
}
byId("back").addEventListener("click", () => {
  byId("see").hidden = true;
  byId("start").hidden = false;
  closeViewer();
  document.title = say("title");
});

// ---- dialogs

function openDialog(title, ...content) {
  const dialog = byId("dialog");
  dialog.setAttribute("aria-label", title);
  dialog.replaceChildren(make("h2", {}, title), ...content);
  if (!dialog.open) dialog.showModal();
  return dialog;
}
const closer = (name, action) => make("button", { type: "button", onclick: () => { byId("dialog").close(); if (action) action(); } }, say(name));
function message(text) { openDialog(text, make("div", { class: "row" }, closer("close"))); }
function ask(text, name, action) {
  openDialog(text, make("div", { class: "row" }, closer("cancel"), make("button", { type: "button", class: "danger", onclick: () => { byId("dialog").close(); action(); } }, name)));
}
function archive(study) {
  const field = (id, type, word) => make("input", { id: `archive-${id}`, name: id, type, autocomplete: type === "password" ? "new-password" : "off", autocapitalize: "off", spellcheck: "false", "aria-label": say(word) });
  const address = field("to", "text", "archive-address"), tls = make("input", { id: "archive-tls", type: "checkbox" }), certificate = make("input", { id: "archive-certificate", type: "file", accept: ".pem,.crt,.cer" });
  address.required = true;
  address.placeholder = "pacs://ARCHIVE@192.168.1.5:104";
  address.setAttribute("aria-describedby", "archive-how");
  const secrets = ["account", "password", "token"].map((id) => field(id, id === "account" ? "text" : "password", `archive-${id}`));
  const rows = (...inputs) => inputs.map((input) => make("p", {}, make("label", { for: input.id }, say(input.id)), input));
  const web = make("fieldset", { hidden: true }, make("legend", {}, say("archive-access")), ...rows(...secrets));
  const dicom = make("fieldset", { hidden: true }, make("label", { class: "check" }, tls, " ", say("archive-tls")));
  const trust = make("fieldset", { hidden: true }, make("label", { for: certificate.id }, say("archive-certificate")), certificate);
  const fit = () => {
    const isWeb = /^https?:/i.test(address.value.trim());
    show(web, isWeb);
    show(dicom, /^pacs:/i.test(address.value.trim()));
    show(trust, /^https:/i.test(address.value.trim()) || tls.checked);
  };
  address.addEventListener("input", fit);
  tls.addEventListener("change", fit);
  const form = make("form", { autocomplete: "off", onsubmit: async (event) => {
    event.preventDefault();
    const access = { to: address.value.trim(), tls: tls.checked && !dicom.hidden };
    if (!web.hidden) for (const input of secrets) access[input.name] = input.value;
    if (!trust.hidden && certificate.files[0]) access.certificate = await certificate.files[0].text();
    form.reset();
    byId("dialog").close();
    send(`study/${study.number}/send`, access);
  } }, make("label", { for: address.id }, say("archive-address")), address, make("p", { class: "small", id: "archive-how" }, say("archive-how")), web, dicom, trust,
    make("div", { class: "row" }, make("button", { type: "submit", class: "main" }, say("send")), closer("cancel")));
  openDialog(say("to-archive"), form);
  address.focus();
}
async function camera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 3840 }, facingMode: "environment" } });
  } catch { message(say("no-camera")); return; }
  const video = make("video", { autoplay: true, playsinline: true, "aria-label": say("camera") });
  video.addEventListener("loadeddata", () => { take.disabled = false; });
  const end = () => stream.getTracks().forEach((track) => track.stop());
  const take = make("button", { type: "button", class: "main", onclick: () => {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => give(blob, "camera.jpg"), "image/jpeg", 0.95);
    byId("dialog").close();
  } }, say("take"));
  take.disabled = true;  // until there is something to see
  video.srcObject = stream;
  openDialog(say("camera"), make("p", {}, say("camera-how")), video, make("div", { class: "row" }, take, closer("cancel"))).addEventListener("close", end, { once: true });
}
async function crop(number) {
  // after a reload, and of what no browser shows (HEIC, PDF), the page's picture is cut
  const preview = async () => createImageBitmap(await (await fetch(`item/${number}/preview`)).blob());
  const own = state.files.get(number);
  const image = own ? await createImageBitmap(own, { imageOrientation: "from-image" }).catch(preview) : await preview();
  const scale = Math.min(1, 900 / image.width, (window.innerHeight * 0.6) / image.height);
  const canvas = make("canvas", { width: Math.round(image.width * scale), height: Math.round(image.height * scale), class: "crop", "aria-label": say("crop-how") });
  const context = canvas.getContext("2d");
  let from = null, box = [0, 0, canvas.width, canvas.height];
  const draw = () => {
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.lineWidth = 4;
    context.strokeStyle = "#d00000";
    context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  };
  const at = (event) => [event.offsetX * canvas.width / canvas.clientWidth, event.offsetY * canvas.height / canvas.clientHeight];
  canvas.addEventListener("pointerdown", (event) => { from = at(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = at(event);
    box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
    draw();
  });
  canvas.addEventListener("pointerup", () => { from = null; });
  draw();
  const go = make("button", { type: "button", class: "main", onclick: () => {
    const [left, top, right, bottom] = box.map((value) => value / scale), part = make("canvas", { width: Math.max(right - left, 1), height: Math.max(bottom - top, 1) });
    part.getContext("2d").drawImage(image, left, top, right - left, bottom - top, 0, 0, part.width, part.height);
    part.toBlob((blob) => give(blob, "part.png"), "image/png");
    byId("dialog").close();
  } }, say("crop-go"));
  openDialog(say("crop"), make("p", {}, say("crop-how")), canvas, make("div", { class: "row" }, go, closer("cancel")));
}

// ---- giving

byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", (event) => { giveAll(event.target.files); event.target.value = ""; });
byId("choose-folder").addEventListener("click", () => byId("folder").click());
byId("folder").addEventListener("change", (event) => {
  const files = [...event.target.files];
  if (files.length) giveFolder(files[0].webkitRelativePath.split("/")[0] || "…", files);
  event.target.value = "";
});
byId("camera").addEventListener("click", camera);
byId("language").addEventListener("click", () => { state.language = state.language === "zh" ? "en" : "zh"; translate(); });
byId("text-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text) { send("text", { text }); byId("text").value = ""; }
});
for (const name of ["dragover", "dragenter"]) document.addEventListener(name, (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files.length) giveDropped(event.dataTransfer);
  else if (event.dataTransfer.getData("text")) send("text", { text: event.dataTransfer.getData("text") });
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) { event.preventDefault(); giveAll(files); return; }
  if (event.target.closest("input, textarea")) return;
  const text = event.clipboardData.getData("text");
  if (text) { event.preventDefault(); send("text", { text }); }
});
window.addEventListener("beforeunload", (event) => {
  if (state.report.items.some((item) => !["ended", "stopped"].includes(item.stage))) event.preventDefault();
});

// ---- news from the server

function listen() {
  const events = new EventSource("events");
  events.onmessage = (event) => {
    state.report = JSON.parse(event.data);
    show(byId("lost"), false);
    update();
  };
  events.onerror = () => show(byId("lost"), true);
}
(async () => {
  const told = await (await fetch("words.json")).json();
  state.words = told.words;
  state.viewerWords = told.viewer;
  state.language = told.language;
  translate();
  listen();
})();
