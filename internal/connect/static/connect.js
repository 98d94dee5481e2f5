// What the page can do only with a script: tell the page around it the token, copy it, and say that a test is under way.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const done = document.getElementById("done");
  if (done) {
    // The browser delivers it to a page of that origin alone. Most of them say which it is, so that others need not be tried.
    const framed = window.parent !== window;
    const around = framed ? window.parent : window.opener;
    const is = framed && location.ancestorOrigins ? location.ancestorOrigins[0] : null;
    const message = { type: "crosswalk-connect", token: done.dataset.token };
    for (const origin of done.dataset.origins.split(" ")) {
      if (origin && around && (!is || is === origin)) around.postMessage(message, origin);
    }
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const from = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(from.textContent);
        button.textContent = button.dataset.copied;
      } catch {
        getSelection().selectAllChildren(from); // the browser does not let us: the person can
      }
    });
  }

  for (const form of document.querySelectorAll("form[data-busy]")) {
    const button = form.querySelector("[type=submit]");
    const label = button.textContent;
    const free = () => {
      button.textContent = label;
      button.removeAttribute("aria-disabled");
      delete form.dataset.sent;
    };
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      button.setAttribute("aria-disabled", "true");
      button.textContent = form.dataset.busy;
    });
    addEventListener("pageshow", free); // also when the browser brings the page back
  }

  const wrong = document.querySelector("[aria-invalid=true]") || document.getElementById("wrong");
  if (wrong) wrong.focus();
})();
