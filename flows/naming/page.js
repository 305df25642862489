"use strict";
// The fields of the form are drawn from `state`; every change is a new state, so that undo is the one before.
const $ = (id) => document.getElementById(id);
const main = $("cards"), form = $("form"), base = location.pathname;
const centroids = form.elements.centroids.value, kept = `luss-names:${centroids}`;
let revision = form.elements.revision.value;
const cards = new Map();  // by key
let state = { names: {}, into: {}, marks: {}, parts: {} }, saved = "", past = [], future = [], chosen = [], current = null;
const noun = { background: "background", hidden: "not of interest" };

function adopt(node) {
  const key = node.dataset.key;
  cards.set(key, node);
  if ($("cut") && $("cut").getAttribute("aria-pressed") === "true") showCut(node, true);
  return key;
}
function readForm() {
  for (const node of main.querySelectorAll(".card")) {
    const key = adopt(node), field = (kind) => node.querySelector(`[name="${kind}-${CSS.escape(key)}"]`).value.trim();
    if (field("name")) state.names[key] = field("name");
    if (field("into")) state.into[key] = field("into");
    if (field("mark")) state.marks[key] = field("mark");
  }
  for (const input of form.querySelectorAll("input.cut")) state.parts[input.name.slice(6)] = Number(input.value);
  for (const node of document.querySelectorAll(".plain")) node.remove();
}
function text() { return JSON.stringify(state); }
function lives(key) {
  const [cluster, part] = key.split(".");
  return part ? Number(part) <= (state.parts[cluster] || 0) : !state.parts[cluster];
}
function change(edit) {
  const before = text();
  edit();
  if (text() === before) return;
  past.push(before); future = [];
  draw();
}
async function step(from, to) {
  if (!from.length) return;
  to.push(text());
  state = JSON.parse(from.pop());
  await loadParts();
  draw();
}
function title(key) { return state.names[key] ? `${key} ${state.names[key]}` : key; }
function say(message, wrong = false) { $("said").textContent = message; $("said").classList.toggle("wrong", wrong); }

function draw() {
  chosen = chosen.filter((key) => lives(key) && !state.into[key]);
  for (const [key, node] of cards) {
    const leader = state.into[key], mark = state.marks[leader || key] || "";
    const input = node.querySelector(".name");
    if (input.value !== (state.names[key] || "")) input.value = state.names[key] || "";
    node.classList.toggle("follower", Boolean(leader));
    node.classList.toggle("off", Boolean(mark));
    node.classList.toggle("chosen", chosen.includes(key));
    node.querySelector(".pick input").checked = chosen.includes(key);
    node.querySelector(".mark").textContent = leader ? `shown as ${title(leader)}` : noun[mark] || "";
    const own = node.querySelector(".pick i"), first = leader && cards.get(leader);
    own.dataset.own ||= own.style.getPropertyValue("--c");
    own.style.setProperty("--c", first ? first.querySelector(".pick i").dataset.own || own.dataset.own : own.dataset.own);
    for (const button of node.querySelectorAll("[data-mark]")) button.setAttribute("aria-pressed", mark === button.dataset.mark);
    for (const link of node.querySelectorAll("[data-near] span")) link.textContent = title(link.parentNode.dataset.near);
  }
  arrange();
  const shown = [...cards.keys()].filter(lives), named = shown.filter((key) => state.names[key] && !state.into[key]);
  $("count").textContent = `${named.length} named, ${shown.filter((key) => state.into[key]).length} merged, of ${shown.length}`;
  $("known").replaceChildren(...named.map((key) => new Option(state.names[key])));
  $("chosen").textContent = chosen.length ? `${chosen.length} selected` : "nothing selected";
  $("merge").disabled = chosen.length < 2;
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  const dirty = text() !== saved;
  $("save").textContent = dirty ? "save names.yaml" : "saved";
  try { if (dirty) localStorage.setItem(kept, text()); else localStorage.removeItem(kept); } catch { /* a browser may forbid it */ }
}
function arrange() {
  const order = $("order").value, wanted = $("find").value.trim().toLowerCase();
  const rank = (key) => order === "size" ? -cards.get(key).dataset.size : order === "unnamed" ? Number(Boolean(state.names[key])) : 0;
  const place = (key) => key.split(".").reduce((sum, part, level) => sum + part / (level ? 100 : 1), 0);
  const first = [...cards.keys()].filter((key) => !state.into[key]).sort((a, b) => rank(a) - rank(b) || place(a) - place(b));
  const keys = first.flatMap((key) => [key, ...Object.keys(state.into).filter((other) => state.into[other] === key && cards.has(other)).sort((a, b) => place(a) - place(b))]);
  const found = (key) => `${key} ${state.names[state.into[key] || key] || ""}`.toLowerCase().includes(wanted);
  for (const key of keys) cards.get(key).hidden = !lives(key) || (wanted !== "" && !found(key));
  if (keys.some((key, index) => main.children[index] !== cards.get(key))) {
    const focused = document.activeElement;
    main.append(...keys.map((key) => cards.get(key)));
    if (main.contains(focused)) focused.focus({ preventScroll: true });
  }
}
const visible = () => [...main.children].filter((node) => !node.hidden);
function focusCard(node) { if (node) { current = node.dataset.key; node.focus(); node.scrollIntoView({ block: "nearest" }); } }
function move(by) {
  const nodes = visible(), at = nodes.indexOf(cards.get(current));
  focusCard(nodes[Math.min(Math.max(at + by, 0), nodes.length - 1)]);
}
function rename(key, name) { change(() => { if (name.trim()) state.names[key] = name.trim(); else delete state.names[key]; }); sameName(key); }
function sameName(key) {
  const other = Object.keys(state.names).find((each) => each !== key && lives(each) && !state.into[each] && state.names[each] === state.names[key]);
  if (!state.names[key] || !other) return;
  chosen = [other, key];
  draw();
  say(`${other} and ${key} have the same name: press “merge” (m) to make them one, or change one of the names.`, true);
}
function toggle(key) { if (state.into[key]) return; chosen = chosen.includes(key) ? chosen.filter((one) => one !== key) : [...chosen, key]; draw(); }
function merge() {
  if (chosen.length < 2) return say("Select two or more categories to merge (x).", true);
  const [first, ...others] = chosen;
  change(() => {
    if (!state.names[first]) { const named = others.find((key) => state.names[key]); if (named) state.names[first] = state.names[named]; }
    for (const key of others) {
      for (const other of Object.keys(state.into)) if (state.into[other] === key) state.into[other] = first;
      state.into[key] = first;
      delete state.names[key]; delete state.marks[key];
    }
    chosen = [];
  });
  say(`Merged ${others.join(", ")} into ${title(first)}.`);
  focusCard(cards.get(first));
}
function apart(key) {
  change(() => {
    const leaves = state.into[key] ? [key] : Object.keys(state.into).filter((other) => state.into[other] === key);
    for (const other of leaves) delete state.into[other];
  });
}
function mark(key, value) { if (!state.into[key]) change(() => { if (state.marks[key] === value) delete state.marks[key]; else state.marks[key] = value; }); }
async function loadParts() {
  for (const [cluster, count] of Object.entries(state.parts)) {
    if (cards.has(`${cluster}.1`) && !cards.has(`${cluster}.${count + 1}`) && cards.has(`${cluster}.${count}`)) continue;
    const answer = await fetch(`${base}parts/${cluster}/${count}`);
    if (!answer.ok) throw new Error((await plain(answer)) || "the parts cannot be shown");
    for (const key of [...cards.keys()]) if (key.startsWith(`${cluster}.`)) { cards.get(key).remove(); cards.delete(key); }
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    for (const node of holder.content.querySelectorAll(".card")) { for (const old of node.querySelectorAll(".plain")) old.remove(); main.append(node); adopt(node); }
  }
}
async function split(cluster, count) {
  const before = text();
  const own = (key) => key === cluster || key.startsWith(`${cluster}.`);
  const name = state.names[cluster], leader = state.into[cluster], marked = state.marks[cluster];
  for (const group of [state.names, state.marks]) for (const key of Object.keys(group)) if (own(key)) delete group[key];
  for (const key of Object.keys(state.into)) if (own(key) || own(state.into[key])) delete state.into[key];
  delete state.parts[cluster];
  if (count) {
    state.parts[cluster] = count;
    for (let part = 1; marked && part <= count; part++) state.marks[`${cluster}.${part}`] = marked;
    if (name) state.names[`${cluster}.1`] = name; if (leader && !own(leader)) state.into[`${cluster}.1`] = leader; }
  try { await loadParts(); } catch (error) { state = JSON.parse(before); return say(String(error.message), true); }
  past.push(before); future = [];
  draw();
  say(count ? `Split ${cluster} into ${count} parts.` : `Category ${cluster} is whole again.`);
  focusCard(cards.get(count ? `${cluster}.1` : cluster));
}
async function plain(answer) { return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("p")?.textContent; }
async function open(path) {
  let answer;
  try { answer = await fetch(base + path); } catch { return say("luss names no longer runs here; start it again. What you typed stays on this page.", true); }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"), one = page.getElementById("one");
  if (!one) return say(page.querySelector("p")?.textContent || "this cannot be shown", true);
  for (const old of one.querySelectorAll(".plain")) old.remove();
  for (const image of one.querySelectorAll("img")) image.src = base + image.getAttribute("src");
  $("window").replaceChildren(document.adoptNode(one));
  if (!$("window").open) $("window").showModal();
}
async function save(force = false) {
  if (document.activeElement.matches?.(".name")) rename(document.activeElement.closest(".card").dataset.key, document.activeElement.value);
  const sent = text();
  let answer, told;
  try {
    const live = JSON.parse(sent);
    for (const group of [live.names, live.marks, live.into]) for (const key of Object.keys(group)) if (!lives(key)) delete group[key];
    answer = await fetch(`${base}save`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ fields: live, centroids, revision: force ? "" : revision }) });
    told = await answer.json();
  } catch { return say("Nothing was saved: luss names no longer runs here. Start it again and open its address: this browser keeps what you typed.", true); }
  $("draft").hidden = answer.ok || !told.draft;
  $("draft").value = told.draft || "";
  if (!$("draft").hidden) $("draft").scrollIntoView({ block: "center" });
  if (answer.ok) { revision = told.revision; saved = sent; draw(); return say("Saved to names.yaml: predict and exports take it at once, `dvc repro` brings it into the report."); }
  say(told.message, true);
  if (answer.status === 409 && /was changed/.test(told.message)) {
    const button = document.createElement("button");
    button.type = "button"; button.id = "force"; button.textContent = "write over it";
    button.onclick = () => save(true);
    const fresh = document.createElement("a");
    fresh.href = base; fresh.target = "_blank"; fresh.textContent = "open what it holds now";
    $("said").append(" ", fresh, " ", button);
  }
}
function showCut(node, on) { for (const image of node.querySelectorAll(".tiles img")) image.src = image.getAttribute("src").split("?")[0] + (on ? "?cut" : ""); }
function toggleCut() {
  if (!$("cut")) return;
  const on = $("cut").getAttribute("aria-pressed") !== "true";
  $("cut").setAttribute("aria-pressed", on);
  for (const node of cards.values()) showCut(node, on);
}
const clusterOf = (key) => key.split(".")[0];
const keys = {
  j: () => move(1), k: () => move(-1), ArrowRight: () => move(1), ArrowLeft: () => move(-1),
  ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()), x: (key) => toggle(key), " ": (key) => toggle(key),
  n: (key) => edit(key), Enter: (key) => edit(key), m: merge, a: apart, b: (key) => mark(key, "background"), h: (key) => mark(key, "hidden"),
  s: (key) => open(`cluster/${clusterOf(key)}`), c: toggleCut, z: () => step(past, future), Z: () => step(future, past),
  "/": () => $("find").focus(), "?": () => $("keys").showModal(), Escape: () => { chosen = []; draw(); },
};
const onCard = ["x", " ", "n", "Enter", "a", "b", "h", "s"];
function columns() { return getComputedStyle(main).gridTemplateColumns.split(" ").length; }
function edit(key) { if (key && !state.into[key]) { const input = cards.get(key).querySelector(".name"); input.focus(); input.select(); } }
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") { event.preventDefault(); save(); return; }
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.target.matches(".name") && ["Enter", "Escape"].includes(event.key)) {
    event.preventDefault();
    const card = event.target.closest(".card");
    if (event.key === "Escape") event.target.value = state.names[card.dataset.key] || "";
    focusCard(card);
    if (event.key === "Enter") { move(1); if (current !== card.dataset.key) edit(current); }
    return;
  }
  if (event.target === $("find") && ["Enter", "Escape"].includes(event.key)) { event.preventDefault(); if (event.key === "Escape") $("find").value = ""; arrange(); focusCard(visible()[0]); return; }
  if (typing || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("button, a, summary") && ["Enter", " "].includes(event.key)) return;
  const act = keys[event.key];
  if (!act || (onCard.includes(event.key) && !cards.has(current))) return;
  event.preventDefault();
  act(current);
});
document.addEventListener("focusin", (event) => { const card = event.target.closest(".card"); if (card) current = card.dataset.key; });
main.addEventListener("change", (event) => {
  const key = event.target.closest(".card").dataset.key;
  if (event.target.matches(".name")) rename(key, event.target.value); else if (event.target.matches(".pick input")) toggle(key);
});
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-open], [data-near], [data-mark], [data-apart], [data-unsplit], [data-preview], [data-split]");
  if (!target) return;
  event.preventDefault();
  const { open: opened, near, mark: value, unsplit, preview, split: count } = target.dataset, key = target.closest(".card")?.dataset.key;
  if (opened) open(`cluster/${clusterOf(opened)}`);
  else if (near) { $("window").close(); focusCard(visible().find((node) => node.dataset.key === near) || cards.get(`${near}.1`)); }
  else if (value) mark(key, value);
  else if (unsplit) split(unsplit, 0);
  else if (preview) open(`cluster/${$("one").dataset.cluster}?parts=${preview}`);
  else if (count) { $("window").close(); split($("one").dataset.cluster, Number(count)); }
  else apart(key);
});
form.addEventListener("submit", (event) => { if (event.target !== form) return; event.preventDefault(); save(); });
for (const [id, act] of [["merge", merge], ["undo", () => step(past, future)], ["redo", () => step(future, past)], ["help", () => $("keys").showModal()]]) $(id).onclick = act;
if ($("cut")) $("cut").onclick = toggleCut;
$("find").oninput = arrange;
$("order").onchange = arrange;
window.addEventListener("beforeunload", (event) => { if (text() !== saved) event.preventDefault(); });
document.documentElement.classList.remove("no-js");
readForm();
saved = text();
let earlier = null;
try { earlier = localStorage.getItem(kept); } catch { /* a browser may forbid it */ }
draw();
if (earlier && earlier !== saved) {
  try { localStorage.setItem(kept, earlier); } catch { /* as above */ }
  $("unsaved").hidden = false;
  $("bring").onclick = async () => { past.push(text()); state = JSON.parse(earlier); await loadParts(); draw(); $("unsaved").hidden = true; };
  $("forget").onclick = () => { localStorage.removeItem(kept); $("unsaved").hidden = true; };
}
focusCard(visible()[0]);
