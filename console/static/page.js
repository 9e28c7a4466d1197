// What a page does beyond showing: it counts times on, copies ids and secrets, and takes over what is new. Everything can be read
// and done without it.
"use strict";

const root = document.documentElement;
const ahead = Number(root.dataset.now || Date.now()) - Date.now(); // of this machine's clock

// Times.
const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const relative = (ms) => {
  const seconds = Math.trunc(Math.abs(ms) / 1000);
  let text = "";
  if (seconds < 1) return "now";
  if (seconds < 60) text = many(seconds, "second");
  else if (seconds < 3600) text = many(Math.trunc(seconds / 60), "minute");
  else if (seconds < 48 * 3600) text = many(Math.trunc(seconds / 3600), "hour");
  else text = many(Math.trunc(seconds / 86400), "day");
  return ms > 0 ? `in ${text}` : `${text} ago`;
};
const tick = () => {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll("time")) {
    const text = relative(Date.parse(time.dateTime) - now);
    if (time.textContent !== text) time.textContent = text;
  }
};

// Copying.
const addCopyButtons = (within) => {
  for (const what of within.querySelectorAll("input[readonly], code[data-copy]")) {
    if (what.dataset.copies) continue;
    what.dataset.copies = "yes";
    const isField = what.tagName === "INPUT";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet copy";
    button.textContent = "Copy";
    const name = what.dataset.copy || what.closest("label")?.firstChild.textContent.trim();
    if (name) button.setAttribute("aria-label", `Copy ${name}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(isField ? what.value : what.title || what.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    (isField ? what.closest("label") : what).after(button);
  }
};

// Finding in a long list of check boxes. What is chosen stays in sight.
for (const list of document.querySelectorAll("[data-find]")) {
  const choices = [...list.querySelectorAll("label.check")];
  if (choices.length <= 8) continue;
  const field = document.createElement("input");
  field.type = "search";
  const label = document.createElement("label");
  label.className = "find";
  label.append(list.dataset.find, field);
  list.before(label);
  field.addEventListener("input", () => {
    const text = field.value.trim().toLowerCase();
    for (const choice of choices) {
      const hidden = !choice.querySelector("input").checked && !choice.textContent.toLowerCase().includes(text);
      choice.hidden = hidden;
      const more = choice.nextElementSibling;
      if (more?.tagName === "DETAILS") more.hidden = hidden;
    }
  });
  field.addEventListener("keydown", (e) => {
    if (e.key === "Enter") e.preventDefault(); // it would send the form
  });
}

// News.
const main = document.querySelector("main[data-live]");
const shown = new Map(); // parts as the server made them, by id
const note = (within) => {
  for (const part of within.querySelectorAll("[data-part], [data-rows] > tr")) {
    if (part.id) shown.set(part.id, part.outerHTML);
  }
};

const replace = (old, fresh) => {
  if (shown.get(old.id) === fresh.outerHTML || old.contains(document.activeElement)) return; // somebody is using it
  shown.set(old.id, fresh.outerHTML);
  const open = [...old.querySelectorAll("details")].map((d) => d.open);
  const scrolled = [...old.querySelectorAll("pre")].map((p) => p.scrollTop);
  old.replaceWith(fresh);
  [...fresh.querySelectorAll("details")].forEach((d, i) => { if (open[i] !== undefined) d.open = open[i]; });
  [...fresh.querySelectorAll("pre")].forEach((p, i) => { p.scrollTop = scrolled[i] || 0; });
  addCopyButtons(fresh);
};

const takeOver = (page) => {
  for (const old of document.querySelectorAll("[data-part]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) replace(old, fresh);
  }
  const rows = document.querySelector("[data-rows]");
  const freshRows = page.querySelector("[data-rows]");
  if (!freshRows) return;
  const all = freshRows.children.length; // some are taken out below
  let added = 0;
  for (const fresh of [...freshRows.children]) {
    const old = document.getElementById(fresh.id);
    if (old) replace(old, fresh);
    else added++;
  }
  const news = document.getElementById("news");
  if (news && added && !new URL(location.href).searchParams.has("after")) {
    if (!rows) location.reload(); // the list was empty: there is nothing to shift
    news.textContent = added === all ? "Show new entries" : `Show ${added} new ${added === 1 ? "entry" : "entries"}`;
    news.hidden = false;
  }
};

let stream;
let asking = false;
let askAgain = false;
const say = (text) => {
  const state = document.getElementById("live");
  if (state) state.textContent = text;
};
const refresh = async () => {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
    tick();
  } catch {
    say("Not live: reload the page to see what is new.");
  }
  asking = false;
  if (askAgain) {
    askAgain = false;
    refresh();
  }
};
const listen = () => {
  if (!main || document.hidden || stream) return;
  stream = new EventSource(location.href);
  stream.addEventListener("open", () => {
    say("Live");
    refresh();
  });
  stream.addEventListener("change", refresh);
  stream.addEventListener("error", () => {
    say(stream && stream.readyState === EventSource.CLOSED ? "Not live: reload the page to see what is new." : "Reconnecting…");
  });
};
const hush = () => {
  stream?.close();
  stream = undefined;
};

note(document);
addCopyButtons(document);
tick();
setInterval(tick, 1000);
listen();
document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
window.addEventListener("pagehide", hush);
window.addEventListener("pageshow", listen);
