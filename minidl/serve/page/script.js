"use strict";

const at = (id) => document.getElementById(id);
let models = [];
let picture = null; // the file that is shown
let turn = 0; // answers to earlier pictures are of no interest
let token = sessionStorage.getItem("token") || "";

const number = new Intl.NumberFormat("en");
const bytes = (n) => (n < 1e6 ? `${number.format(Math.round(n / 1000))} KB` : `${(n / 1e6).toFixed(1)} MB`);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) {
    at("login").hidden = false;
    throw new Error("This server asks for a token.");
  }
  if (!response.ok) {
    const later = response.headers.get("Retry-After");
    const hint = later ? ` Try again in ${later} s.` : "";
    throw new Error(`${answer.error || `The server answered ${response.status}`}.${hint}`);
  }
  return answer;
}

function say(text) {
  at("status").textContent = text;
  at("status").hidden = !text;
  at("error").hidden = true;
}

function complain(error) {
  at("status").hidden = true;
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("classes").replaceChildren();
  for (const id of ["timings", "toggle", "heat"]) at(id).hidden = true;
}

function fact(name, value, all = false) {
  const box = document.createElement("div");
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value;
  if (all) box.className = "all";
  box.append(term, text);
  return box;
}

function showCard() {
  const card = models.find((m) => m.name === at("model").value) || models[0];
  if (!card) return;
  const accuracy = card.results.test_accuracy;
  const list = (values) => values.map((v) => Number(v.toPrecision(4))).join(", ");
  at("card").replaceChildren(
    fact("Name", card.name),
    fact("Accuracy on test pictures", accuracy === undefined ? "not known" : percent(accuracy)),
    fact("File", `${card.file}, ${bytes(card.bytes)}`),
    fact("Parameters", number.format(card.parameters)),
    fact("Input", `${card.input_shape.join(" × ")} (channels, height, width)`),
    fact("Mean by channel", list(card.mean)),
    fact("Deviation by channel", list(card.std)),
    fact(`${card.classes.length} classes`, card.classes.join(", "), true),
  );
}

async function start() {
  try {
    models = (await ask("/models")).models;
  } catch (error) {
    complain(error);
    return;
  }
  at("login").hidden = true;
  at("model").replaceChildren(...models.map((m) => new Option(m.name, m.name)));
  at("chooser").hidden = models.length < 2;
  showCard();
  if (picture) classify();
  else say("Nothing yet: choose a picture.");
}

function take(file) {
  if (!file) return;
  picture = file;
  const url = URL.createObjectURL(file);
  at("shown").onload = () => URL.revokeObjectURL(url);
  at("shown").onerror = () => {
    at("shown").hidden = true;
    at("prompt").hidden = false;
    at("drop").classList.remove("full");
  };
  at("shown").src = url;
  at("shown").alt = file.name || "your picture";
  at("shown").hidden = false;
  at("heat").hidden = true;
  at("prompt").hidden = true;
  at("again").hidden = false;
  at("drop").classList.add("full");
  classify();
}

async function classify() {
  const mine = ++turn;
  say("Looking …");
  const name = encodeURIComponent(at("model").value);
  const began = performance.now();
  try {
    const answer = await ask(`/predict?top=5&explain=1&model=${name}`, {
      method: "POST",
      headers: { "Content-Type": picture.type || "application/octet-stream" },
      body: picture,
    });
    if (mine === turn) show(answer, performance.now() - began);
  } catch (error) {
    if (mine === turn) complain(error);
  }
}

function show(answer, total) {
  const [first] = answer.classes;
  say(`${first.name}, ${percent(first.probability)} sure.`);
  at("classes").replaceChildren(...answer.classes.map(bar));
  const timings = Object.entries(answer.timings_ms).map(([name, ms]) => fact(name, `${ms.toFixed(1)} ms`));
  at("timings").replaceChildren(...timings, fact("in all", `${total.toFixed(0)} ms`));
  at("timings").hidden = false;
  const heat = answer.explanation;
  at("toggle").hidden = !heat;
  if (heat) at("heat").src = heat;
  at("heat").hidden = !(heat && at("explain").checked);
}

function bar({ name, probability }) {
  const item = document.createElement("li");
  const line = document.createElement("div");
  const label = document.createElement("span");
  const share = document.createElement("span");
  const progress = document.createElement("progress");
  line.className = "name";
  share.className = "share";
  label.textContent = name;
  share.textContent = percent(probability);
  progress.max = 1;
  progress.value = probability;
  progress.setAttribute("aria-label", `${name}: ${percent(probability)}`);
  line.append(label, share);
  item.append(line, progress);
  return item;
}

at("file").addEventListener("change", (event) => take(event.target.files[0]));
at("model").addEventListener("change", () => { showCard(); if (picture) classify(); });
at("explain").addEventListener("change", (event) => {
  at("heat").hidden = !(event.target.checked && at("heat").src);
});
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  sessionStorage.setItem("token", token);
  start();
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); at("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
  if (file) take(file);
});

start();
