// Behaviour of the kit: theme, dialogs, copying, toasts, panels and relative times. Pages work without it.
"use strict";

(() => {
  const root = document.documentElement;

  const isDark = () => {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return window.matchMedia("(prefers-color-scheme: dark)").matches;
  };

  const themeChanged = () => document.dispatchEvent(new CustomEvent("llmopt:theme", { detail: { dark: isDark() } }));

  const toggleTheme = () => {
    const theme = isDark() ? "light" : "dark";
    root.dataset.theme = theme;
    const secure = window.location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    themeChanged();
  };

  // Paper is white: what is drawn by script is drawn again in the light colours while the page is printed.
  let themeOfScreen = null;
  window.addEventListener("beforeprint", () => {
    themeOfScreen = root.dataset.theme ?? "";
    root.dataset.theme = "light";
    themeChanged();
  });
  window.addEventListener("afterprint", () => {
    if (themeOfScreen) root.dataset.theme = themeOfScreen;
    else delete root.dataset.theme;
    themeChanged();
  });

  const copy = async (button) => {
    const source = button.closest(".code")?.querySelector("pre");
    if (!source) return;
    const words = [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    await navigator.clipboard.writeText(source.textContent);
    if (!words || button.dataset.busy) return;
    const before = words.data;
    button.dataset.busy = "1";
    words.data = button.dataset.copied;
    window.setTimeout(() => {
      words.data = before;
      delete button.dataset.busy;
    }, 2000);
  };

  const closeOthers = (target) => {
    for (const open of document.querySelectorAll("details.menu[open], details.tip[open]")) {
      if (!open.contains(target)) open.open = false;
    }
  };

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    closeOthers(target);
    if (target.closest("[data-theme-toggle]")) toggleTheme();
    const dismiss = target.closest("[data-dismiss]");
    if (dismiss) dismiss.closest("[data-toast]")?.remove();
    const copier = target.closest("[data-copy]");
    if (copier) copy(copier);
    if (target.closest("[data-print]")) window.print();
    const opener = target.closest("[data-opens]");
    if (opener && !("commandForElement" in HTMLButtonElement.prototype)) {
      document.getElementById(opener.dataset.opens)?.showModal();
    }
    const retry = target.closest("[data-retry]");
    const panel = retry?.closest("[data-panel]");
    if (panel) {
      event.preventDefault();
      window.htmx.trigger(panel, "retry");
    }
  });

  // Inside a scrolling table an absolute box would be cut off, and at the edge of a phone it would run out of the page.
  const place = (details) => {
    const box = details.querySelector(".tip-text, .menu-list");
    if (!box || !(details.matches(".tip") || details.closest(".table-scroll"))) return;
    const mark = details.querySelector("summary").getBoundingClientRect();
    box.style.position = "fixed";
    box.style.right = "auto";
    box.style.left = `${Math.max(8, Math.min(mark.left - 8, root.clientWidth - box.offsetWidth - 8))}px`;
    const below = mark.bottom + 4;
    box.style.top = `${below + box.offsetHeight > window.innerHeight ? Math.max(8, mark.top - box.offsetHeight - 4) : below}px`;
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details.tip, details.menu") && event.target.open) place(event.target);
  }, true);
  document.addEventListener("scroll", () => {
    for (const open of document.querySelectorAll("details.tip[open], .table-scroll details.menu[open]")) open.open = false;
  }, { capture: true, passive: true });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of document.querySelectorAll("details.menu[open], details.tip[open]")) {
      open.open = false;
      if (open.contains(document.activeElement)) open.querySelector("summary").focus();
    }
  });

  // A tip opens under the pointer too, so that its text needs no press.
  const hover = (event) => {
    const tip = event.target instanceof Element ? event.target.closest("details.tip") : null;
    if (tip && event.pointerType === "mouse") tip.open = event.type === "pointerover" || tip.contains(event.relatedTarget);
  };
  document.addEventListener("pointerover", hover);
  document.addEventListener("pointerout", hover);

  // A form that asks first, before htmx hears of it: the dialog is built once from what the page already says.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.dataset.confirm || form.dataset.confirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const dialog = document.getElementById("confirm");
    const accept = dialog.querySelector("[data-accept]");
    dialog.querySelector("[data-question]").textContent = form.dataset.confirm;
    accept.textContent = (event.submitter ?? form.querySelector("button")).textContent.trim();
    accept.onclick = () => {
      form.dataset.confirmed = "1";
      dialog.close();
      form.requestSubmit();
      delete form.dataset.confirmed;
    };
    dialog.showModal();
  }, true);

  // A part that could not be loaded shows its own error and keeps its place.
  const panelFailed = (event) => {
    const panel = event.target.closest?.("[data-panel]");
    if (!panel || event.target !== panel) return;
    const message = panel.panelError ?? panel.querySelector("template[data-panel-error]");
    if (!message) return;
    panel.panelError = message;
    panel.replaceChildren(message.content.cloneNode(true), message);
  };
  document.addEventListener("htmx:responseError", panelFailed);
  document.addEventListener("htmx:sendError", panelFailed);
  document.addEventListener("htmx:beforeRequest", (event) => {
    const panel = event.target;
    if (panel.matches?.("[data-panel]") && !panel.panelError) panel.panelError = panel.querySelector("template[data-panel-error]");
  });

  // A part that is fetched again keeps what a person had in hand: the focus, what was open, how far it was scrolled.
  const IN_HAND = "a[href], button, summary, input, select, textarea, [tabindex]";
  const nameOf = (element) => {
    const words = element.getAttribute("aria-label") ?? element.textContent.trim();
    return `${element.tagName} ${element.getAttribute("href") ?? `${element.form?.getAttribute("action") ?? ""} ${words}`}`;
  };
  // Elements of the same name are told apart by their order.
  const named = (part, selector) => {
    const found = new Map();
    for (const element of part.querySelectorAll(selector)) {
      const name = nameOf(element);
      let place = 0;
      while (found.has(`${name} ${place}`)) place += 1;
      found.set(`${name} ${place}`, element);
    }
    return found;
  };
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    kept = null;
    if (!part?.id || !event.detail.shouldSwap) return;
    kept = { id: part.id, focused: null, opened: [], scrolled: [] };
    for (const [name, element] of named(part, IN_HAND)) {
      if (element === document.activeElement) kept.focused = name;
      if (element.matches("details[open] > summary")) kept.opened.push(name);
      if (element.scrollLeft || element.scrollTop) kept.scrolled.push([name, element.scrollLeft, element.scrollTop]);
    }
  });
  document.addEventListener("htmx:afterSwap", () => {
    const part = kept && document.getElementById(kept.id);
    if (!part) return;
    const elements = named(part, IN_HAND);
    for (const name of kept.opened) {
      if (elements.has(name)) elements.get(name).parentElement.open = true;
    }
    for (const [name, left, top] of kept.scrolled) elements.get(name)?.scrollTo({ left, top, behavior: "instant" });
    if (kept.focused && !part.contains(document.activeElement)) elements.get(kept.focused)?.focus({ preventScroll: true });
    kept = null;
  });

  const units = [["day", 86400, 172800], ["hour", 3600, 3600], ["minute", 60, 60], ["second", 1, 5]];
  const relative = (element, formatter) => {
    const seconds = (Date.parse(element.dateTime) - Date.now()) / 1000;
    const size = Math.abs(seconds);
    const unit = units.find(([, , from]) => size >= from);
    return unit ? formatter.format(Math.trunc(seconds / unit[1]), unit[0]) : formatter.format(0, "second");
  };
  const formatter = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto", style: "short" });
  window.setInterval(() => {
    for (const element of document.querySelectorAll("time[data-relative='relative']")) element.textContent = relative(element, formatter);
  }, 10000);

  const focusFirstError = () => document.querySelector("[data-focus]")?.focus();
  document.addEventListener("htmx:afterSwap", focusFirstError);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  document.addEventListener("DOMContentLoaded", focusFirstError);
})();
