// Lets the answers of the playground's candidates come in while they are written. Without it the page waits for all of them.
// Each answer is one request of its own; leaving it tells the server that nobody reads on.
"use strict";

(() => {
  const streams = new Map();
  const form = () => document.getElementById("playground-form");

  const show = (element, selector) => {
    element.querySelector("[data-stop]")?.parentElement.remove();
    element.append(document.querySelector(selector).content.cloneNode(true));
  };

  // While answers come in, whatever would draw the page anew waits.
  const busy = (is) => {
    for (const button of document.querySelectorAll("#playground-form button[type='submit'], button[form='playground-form']")) button.disabled = is;
    const all = document.querySelector("[data-stop-all]");
    if (all) all.hidden = !is;
  };

  const ended = (element) => {
    streams.delete(element);
    element.removeAttribute("aria-busy");
    if (streams.size) return;
    busy(false);
    const compare = document.getElementById("compare");
    if (compare) window.htmx.trigger(compare, "answered");
  };

  // One server-sent event: its kind and what it carries.
  const eventOf = (block) => {
    const lines = block.split("\n");
    const value = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
    return { kind: value("event") || "message", content: JSON.parse(value("data")) };
  };

  const read = async (element, response) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const text = element.querySelector("[data-streamed] pre");
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      waiting += value;
      const blocks = waiting.split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const { kind, content } = eventOf(block);
        if (kind === "answer") {
          // htmx puts what else has changed, the money in the top bar, in its own place.
          window.htmx.swap(element, content.html, { swapStyle: "outerHTML" });
          return true;
        }
        text.append(content.text);
      }
    }
  };

  const start = async (element) => {
    const stop = new AbortController();
    streams.set(element, stop);
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form().querySelector("[name='csrfmiddlewaretoken']").value);
    try {
      const response = await fetch(element.dataset.stream, { method: "POST", body, signal: stop.signal });
      if (!response.ok || !(await read(element, response))) show(element, "template[data-stream-lost]");
    } catch (error) {
      show(element, error.name === "AbortError" ? "template[data-stream-stopped]" : "template[data-stream-lost]");
    } finally {
      ended(element);
    }
  };

  const startAll = () => {
    const waiting = [...document.querySelectorAll("[data-stream]")].filter((element) => !streams.has(element));
    if (!waiting.length) return;
    busy(true);
    for (const element of waiting) {
      start(element);
      delete element.dataset.stream;
    }
  };

  document.addEventListener("htmx:afterSwap", startAll);

  // Once all are asked, answers are what there is to see: prompts fold away.
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("button[name='do'][value='send']")) return;
    for (const fold of document.querySelectorAll("#playground-form .fold[open]")) fold.open = false;
  });

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("[data-stop-all]")) {
      for (const stop of [...streams.values()]) stop.abort();
    }
    const one = target?.closest("[data-stop]");
    if (one) streams.get(one.closest("[id^='answer-']"))?.abort();
  });

  // Enter in a field presses the button that belongs to it, and never one that spends.
  const buttonOf = { row: "example", name: "save" };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.closest?.("#playground-form")) return;
    const sends = event.ctrlKey || event.metaKey;
    if (!sends && event.target.tagName !== "INPUT") return;
    event.preventDefault();
    const what = sends ? "send" : buttonOf[event.target.name];
    document.querySelector(`button[name='do'][value='${what}']:not([disabled])`)?.click();
  });
})();
