// Keeps a page live: one stream of events for its panels while its window is to be seen. Hidden
// windows hold no connection, so that many tabs do not use up the browser's six. Without this
// script everything still works; pages then reload by themselves.
"use strict";
(() => {
  const topics = document.body.dataset.topics;
  const badge = document.getElementById("live");
  const asOf = document.getElementById("as-of");
  const panels = new Map();
  for (const panel of document.querySelectorAll("[data-topic]")) {
    panels.set(panel.dataset.topic, panel);
  }

  let source = null;
  let paused = false;
  let heard = 0;
  const waiting = new Map();

  const say = (word, text) => {
    if (!badge) return;
    badge.hidden = false;
    badge.className = "badge " + word;
    if (badge.textContent !== text) badge.textContent = text;
  };

  // Puts new content into a panel and leaves focus, opened details and scrolling as they were.
  const put = (panel, html) => {
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed && panel.contains(selection.anchorNode)) return false;
    const opened = [...panel.querySelectorAll("details[id][open]")].map((one) => one.id);
    const scrolled = [...panel.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const active = panel.contains(document.activeElement) ? document.activeElement : null;
    const key = active && active.getAttribute("href");
    panel.innerHTML = html;
    for (const id of opened) {
      const again = document.getElementById(id);
      if (again) again.open = true;
    }
    panel.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    if (key) {
      const again = [...panel.querySelectorAll("a[href]")].find((a) => a.getAttribute("href") === key);
      if (again) again.focus({ preventScroll: true });
    }
    return true;
  };

  const take = (topic, data) => {
    const panel = panels.get(topic);
    if (!panel || !data.html) return;
    if (paused || !put(panel, data.html)) waiting.set(topic, data);
    else waiting.delete(topic);
    if (paused) say("paused", "Paused, " + waiting.size + " waiting");
  };

  const flush = () => {
    for (const [topic, data] of [...waiting]) take(topic, data);
  };

  const open = () => {
    if (source || !topics) return;
    source = new EventSource("/api/v1/stream?form=html&topics=" + encodeURIComponent(topics));
    source.onopen = () => { heard = Date.now(); if (!paused) say("live", "Live"); };
    source.onerror = () => {
      say("offline", "Offline");
      // The browser tries again by itself unless the server refused: then the page asks anew.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        setTimeout(() => { if (!document.hidden) open(); }, 10000);
      }
    };
    for (const topic of [...topics.split(","), "tick"]) {
      source.addEventListener(topic, (event) => {
        heard = Date.now();
        if (!paused) say("live", "Live");
        const at = Number(event.lastEventId.split("-")[0]) / 1000;
        if (asOf && at > 0) {
          const iso = new Date(at).toISOString();
          asOf.dateTime = iso;
          asOf.textContent = iso.slice(0, 19).replace("T", " ") + " UTC";
        }
        if (topic !== "tick") take(topic, JSON.parse(event.data));
      });
    }
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  if (topics) {
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", open);
    if (badge) {
      badge.addEventListener("click", () => {
        paused = !paused;
        badge.setAttribute("aria-pressed", String(paused));
        if (paused) say("paused", "Paused, 0 waiting");
        else { say("live", "Live"); flush(); }
      });
    }
    setInterval(() => {
      if (!paused) flush();
      const silent = Math.round((Date.now() - heard) / 1000);
      if (source && source.readyState === EventSource.OPEN && !paused && heard && silent > 12) {
        say("delayed", "Delayed " + silent + " s");
      }
    }, 1000);
    if (!document.hidden) open();
  }

  // Panels that a log server is asked for each time: fetched every few seconds while seen.
  for (const panel of document.querySelectorAll("[data-fetch]")) {
    setInterval(async () => {
      if (document.hidden || paused) return;
      try {
        const answer = await fetch(panel.dataset.fetch, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) put(panel, await answer.text());
      } catch (error) {
        // The badge says "offline" already; the last good lines stay.
      }
    }, 3000);
  }

  // Keys: g then o, p, c or d goes to a page; / goes to the search box.
  const places = { o: "/", p: "/pops", c: "/config", d: "/explain" };
  let going = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
    if (going && places[event.key]) {
      const link = document.querySelector('header nav a[href="' + places[event.key] + '"]');
      if (link) link.click();
      going = false;
    } else if (event.key === "g") {
      going = true;
      setTimeout(() => { going = false; }, 1200);
    } else if (event.key === "/") {
      const box = document.getElementById("q");
      if (box) { event.preventDefault(); box.focus(); }
    }
  });
})();
