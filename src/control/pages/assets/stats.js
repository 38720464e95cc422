"use strict";
// Moves the numbers of the page, switches its colours, and copies URLs. The page is whole without it.

(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Before anything is shown, so that nothing flashes.
  const THEMES = ["auto", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // forbidden by the browser's settings
    }
  };
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  const paint = () => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  paint();

  const byId = (id) => document.getElementById(id);

  const showTheme = () => {
    const words = { auto: "as the system has them", light: "light", dark: "dark" };
    byId("theme-word").textContent = theme;
    byId("theme").setAttribute("aria-label", `Colours: ${words[theme]}`);
  };

  const nextTheme = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Then it holds for this page alone.
    }
    paint();
    showTheme();
  };

  const copy = async (button) => {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not over plain HTTP: select it and let the browser copy the selection.
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };

  const show = (event) => {
    for (const [id, text] of Object.entries(event.text)) {
      const element = byId(id);
      if (element && element.textContent !== text) element.textContent = text;
    }
    for (const [id, attributes] of Object.entries(event.attr)) {
      const element = byId(id);
      if (!element) continue;
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    }
    // Made and escaped by the server, as it was when the page was loaded.
    for (const [id, part] of Object.entries(event.html || {})) {
      const element = byId(id);
      // Whoever is in there now would lose the place.
      if (element && !element.contains(document.activeElement)) element.innerHTML = part;
    }
  };

  const state = (word, on) => {
    byId("state").textContent = word;
    byId("state").classList.toggle("on", on);
  };

  const listen = () => {
    state("connecting", false);
    // A token that the page was asked with goes along.
    const events = new EventSource(`events${location.search}`);
    events.onmessage = (message) => {
      state("live", true);
      show(JSON.parse(message.data));
    };
    events.onerror = () => {
      state("not live", false);
      if (events.readyState !== EventSource.CLOSED) return; // it tries again by itself
      document.removeEventListener("visibilitychange", look);
      setTimeout(listen, 10000);
    };
    // A page that nobody looks at needs no numbers.
    const look = () => {
      if (!document.hidden) return;
      events.close();
      document.removeEventListener("visibilitychange", look);
      document.addEventListener("visibilitychange", listen, { once: true });
    };
    document.addEventListener("visibilitychange", look);
  };

  addEventListener("DOMContentLoaded", () => {
    showTheme();
    byId("theme").addEventListener("click", nextTheme);
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-copy]");
      if (button) copy(button);
    });
    listen();
  });
})();
