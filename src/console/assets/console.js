// Keeps an open page up to date, and adds the keyboard and the reader's own time zone.
"use strict";
(() => {
  const main = document.getElementById("main");
  const seconds = Number(main.dataset.refresh || 0);
  const line = document.getElementById("line");
  const say = (state, word) => {
    line.className = `line ${state}`;
    line.querySelector(".word").textContent = word;
  };

  // Times in the reader's zone on hover.
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC\n${zone.format(at)}`;
    }
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  };
  localise(document);

  // Every part that the server rendered differently is replaced; what the reader opened, selected
  // or wrote stays.
  const written = (control) => {
    if (control.matches("select")) return [...control.options].some((option, n, all) =>
      option.selected !== (all.some((other) => other.defaultSelected) ? option.defaultSelected : n === 0));
    return control.type === "checkbox" ? control.checked !== control.defaultChecked : control.value !== control.defaultValue;
  };
  const draft = (part) => {
    const controls = [...part.querySelectorAll("textarea, select, input:not([type=hidden])")];
    return controls.some((control) => control === document.activeElement || written(control));
  };
  const folded = (part) => [...part.querySelectorAll("details")];
  const renew = (fresh) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next) continue;
      const before = part.dataset.source || part.outerHTML;
      const source = next.outerHTML;
      if (before === source || part.contains(getSelectedNode()) || draft(part)) continue;
      const open = folded(part).map((details) => details.open);
      const focused = part.contains(document.activeElement) ? document.activeElement : null;
      const href = focused && focused.getAttribute("href");
      const at = part.querySelector("tr.at a");
      part.innerHTML = next.innerHTML;
      part.className = next.className;
      part.dataset.source = source;
      folded(part).forEach((details, n) => { details.open = Boolean(open[n]); });
      if (href) part.querySelector(`[href="${CSS.escape(href)}"]`)?.focus();
      if (at) find(part, at.getAttribute("href"))?.closest("tr").classList.add("at");
      localise(part);
      if (part.classList.contains("flush")) flash(part, open);
    }
    document.title = fresh.title;
  };
  const find = (part, href) => [...part.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
  const getSelectedNode = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed ? selection.anchorNode : null;
  };

  // Rows that were not there before are marked for a moment.
  let known = null;
  const rows = () => new Set([...document.querySelectorAll("[data-row] .title a")].map((a) => a.getAttribute("href")));
  const flash = () => {
    for (const a of document.querySelectorAll("[data-row] .title a")) {
      if (known && !known.has(a.getAttribute("href"))) a.closest("tr").classList.add("fresh");
    }
    known = rows();
  };
  known = rows();

  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (response.redirected) { say("lost", "Logged out"); busy = false; return; }
      renew(new DOMParser().parseFromString(await response.text(), "text/html"));
      if (response.ok) { if (line.classList.contains("lost")) say("live", "Live"); } else say("lost", "Not current");
    } catch {
      say("lost", "No answer");
    }
    busy = false;
    if (again) { again = false; setTimeout(refresh, 300); }
  };

  if (seconds > 0) {
    setInterval(() => { if (document.visibilityState === "visible") refresh(); }, seconds * 1000);
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh(); });
    // The browser comes back by itself with the id of the last event.
    const stream = new EventSource("/v1/alerts/stream");
    let soon = null;
    stream.addEventListener("open", () => say("live", "Live"));
    stream.addEventListener("error", () => say("lost", "Reconnecting"));
    stream.addEventListener("alert", () => {
      clearTimeout(soon);
      soon = setTimeout(refresh, 150);
    });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  // A chosen filter is applied at once.
  document.getElementById("filter")?.addEventListener("change", (event) => {
    if (event.target.matches("select")) event.target.form.requestSubmit();
  });

  const step = (by) => {
    const all = [...document.querySelectorAll("[data-row]")];
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
    all[at]?.classList.remove("at");
    next.classList.add("at");
    next.querySelector(".title a").focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    o: () => { location.href = "/"; },
    i: () => { location.href = "/incidents?state=open"; },
    "/": () => document.getElementById("find").focus(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
})();
