// What the pages can do besides working without a script: copy, watch, search by a key, and test without loading again.
(() => {
  "use strict";
  document.documentElement.classList.add("js");

  const said = document.getElementById("said");
  const say = (text) => { if (said) said.textContent = text; };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      // Without TLS browsers have no clipboard for pages: the old way still works.
      const field = document.createElement("textarea");
      field.value = button.dataset.copy;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    const before = button.textContent;
    button.textContent = "copied";
    say("Copied");
    setTimeout(() => { button.textContent = before; }, 1500);
  });

  // A form that changes something is sent once, however often its button is clicked. After as long as a page may take, or when
  // the page is come back to, it may be sent again.
  let sent = new WeakSet();
  addEventListener("pageshow", () => { sent = new WeakSet(); });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.submitter && event.submitter.dataset.into) return;
    if (sent.has(form)) return event.preventDefault();
    sent.add(form);
    setTimeout(() => sent.delete(form), 30000);
  });

  // "/" leads to the search of a page.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const search = document.querySelector(".filters input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  });

  // Menus close when something else is meant.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open], details.switch[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open], details.switch[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // The page as it is now, in the place of what is shown. What was said stays: the server says it once.
  const renew = async () => {
    try {
      const answer = await fetch(location.href);
      const main = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (!answer.ok || !main) throw new Error("no page");
      const shown = document.getElementById("main");
      const notice = shown.querySelector(".notice");
      if (notice && !main.querySelector(".notice")) main.prepend(notice);
      shown.replaceWith(document.adoptNode(main));
    } catch {
      location.reload();
    }
  };

  // A part of the page that the server keeps up to date. What it sends was made by its own templates.
  const live = document.querySelector("[data-events]");
  if (live && window.EventSource) {
    const source = new EventSource(live.dataset.events);
    source.addEventListener("progress", (event) => { live.innerHTML = event.data; });
    source.addEventListener("ended", (event) => {
      source.close();
      live.innerHTML = event.data;
      say("The task has ended");
      // The results are on the page itself. Whoever is typing is not disturbed.
      if (!document.activeElement || document.activeElement === document.body || document.activeElement.tagName === "MAIN") renew();
    });
    addEventListener("pagehide", () => source.close());
  }

  // A test answers beside its button, so that what was typed stays.
  document.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (!button || !button.dataset.into) return;
    event.preventDefault();
    const form = event.target;
    const into = document.getElementById(button.dataset.into);
    const body = new URLSearchParams(new FormData(form));
    if (button.name) body.set(button.name, button.value);
    button.disabled = true;
    into.textContent = "Asking the tool …";
    try {
      const answer = await fetch(button.getAttribute("formaction") || form.getAttribute("action"), { method: "POST", body, headers: { "Crosswalk-Part": "1" } });
      const text = await answer.text();
      if (answer.ok) into.innerHTML = text;
      else into.textContent = "The server did not answer as it should. Load the page again.";
    } catch {
      into.textContent = "The server does not answer. Try again.";
    }
    button.disabled = false;
  });
})();
