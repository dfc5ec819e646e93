// Sends the file of a form with its progress, and keeps the chosen file when there is an error. The form works without it.
// While a file is on its way the browser asks before the page is left: only what has arrived is safe.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form[data-upload]");
  const input = form?.querySelector("input[type='file']");
  const state = document.querySelector("[data-upload-state]");
  if (!form || !input || !state) return;
  const button = form.querySelector("button[type='submit']");

  const stay = (event) => {
    event.preventDefault();
    // Older browsers ask for this alone.
    event.returnValue = true;
  };

  const show = (selector) => {
    state.replaceChildren(document.querySelector(selector).content.cloneNode(true));
  };

  const fail = (message) => {
    window.removeEventListener("beforeunload", stay);
    button.disabled = false;
    show("template[data-upload-error]");
    state.querySelector(".note-title").textContent = message;
  };

  const progressed = (loaded, total) => {
    // It says 100 only when the answer is there.
    const share = Math.min(99, Math.floor((100 * loaded) / total));
    state.querySelector("progress").value = share;
    state.querySelector(".progress-count").textContent = `${share}\u00a0%`;
  };

  // What to do about an answer that is no sentence of the product.
  const refusal = (request) => {
    if (request.status === 413) return form.dataset.tooLarge;
    // Whoever is no longer signed in is sent to another page, or refused.
    if (request.status < 400 || request.status === 403) return form.dataset.signedOut;
    return form.dataset.refused.replace("{status}", request.status);
  };

  const answered = (request) => {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      answer = {};
    }
    if (request.status < 400 && answer.location) {
      window.removeEventListener("beforeunload", stay);
      window.location.assign(answer.location);
    } else fail(answer.error ?? refusal(request));
  };

  const send = () => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action || window.location.href);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable && button.disabled) progressed(event.loaded, event.total);
    });
    request.addEventListener("load", () => answered(request));
    request.addEventListener("error", () => fail(form.dataset.failed));
    request.addEventListener("timeout", () => fail(form.dataset.failed));
    show("template[data-upload-progress]");
    progressed(0, 1);
    button.disabled = true;
    window.addEventListener("beforeunload", stay);
    request.send(new FormData(form));
  };

  form.addEventListener("submit", (event) => {
    const file = input.files[0];
    if (!file) return;
    event.preventDefault();
    if (file.size > Number(form.dataset.maxBytes)) fail(form.dataset.tooLarge);
    else send();
  });

  // A file may be dropped anywhere on the page; it is chosen, and sent when the button is pressed.
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const files = event.dataTransfer?.files;
    if (!files?.length) return;
    event.preventDefault();
    // What is on its way stays what was chosen.
    if (button.disabled) return;
    input.files = files;
    input.focus();
  });
});
