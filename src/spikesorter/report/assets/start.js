// The start page: choose files, begin, watch the progress, end in the viewer, which the server then has here.
(() => {
  "use strict";

  const EVERY_MS = 500;
  const at = (id) => document.getElementById(id);
  const [form, status, problem, progress, browser] = ["form", "status", "problem", "progress", "browser"].map(at);

  const ask = async (name, options) => {
    const response = await fetch(name, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  };
  const show = (error) => {
    problem.textContent = error.message;
  };
  window.startPage = { ask, at, chosen: () => ({}) }; // preview.js says what was chosen

  const button = (text, onclick) => Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick });
  const join = (folder, name) => `${folder}${folder.endsWith("/") ? "" : "/"}${name}`;

  // List a folder; a file, or the folder itself, is put into a field.
  const browse = async (field, path) => {
    const listed = await ask(`folder?${new URLSearchParams({ path })}`);
    const choose = (chosen) => {
      const input = at(field);
      input.value = field === "targets" && input.value.trim() ? `${input.value.trimEnd()}\n${chosen}` : chosen;
      browser.hidden = true;
      input.dispatchEvent(new Event("change"));
      input.focus();
      window.startPage.onChosen?.(field);
    };
    const heading = Object.assign(document.createElement("p"), { textContent: listed.path });
    const list = document.createElement("ul");
    list.className = "files";
    const add = (one) => {
      const item = document.createElement("li");
      item.append(one);
      list.append(item);
    };
    add(button("↑ folder above", () => browse(field, listed.above).catch(show)));
    add(button("This folder", () => choose(listed.path)));
    for (const name of listed.folders) add(button(`${name}/`, () => browse(field, join(listed.path, name)).catch(show)));
    for (const name of listed.files) add(button(name, () => choose(join(listed.path, name))));
    browser.replaceChildren(heading, list);
    browser.hidden = false;
    list.querySelector("button").focus();
  };
  for (const one of document.querySelectorAll("[data-browse]")) {
    const field = one.dataset.browse;
    one.addEventListener("click", () => browse(field, at(field).value.trim().split("\n").at(-1) || at("recording").value).catch(show));
  }

  const working = (on) => {
    progress.hidden = !on;
    for (const one of form.elements) one.disabled = on;
  };

  const watch = async () => {
    const state = await ask("progress");
    if (state.done) {
      window.location.reload();
      return;
    }
    status.textContent = state.working ? `${state.step}: ${Math.round(100 * state.share)} %` : "";
    progress.value = state.share;
    problem.textContent = state.problem;
    working(state.working);
    if (state.working) setTimeout(() => watch().catch(show), EVERY_MS);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.textContent = "";
    const given = {
      recording: at("recording").value, labels: at("labels").value, out: at("out").value,
      unlabelled: at("unlabelled").checked,
      targets: at("targets").value.split("\n").map((line) => line.trim()).filter(Boolean),
    };
    const { noChannel, ...chosen } = window.startPage.chosen();
    if (noChannel) {
      show(new Error("No channel is chosen; choose at least one."));
      return;
    }
    Object.assign(given, chosen);
    const headers = { "Content-Type": "application/json" };
    ask("begin", { method: "POST", headers, body: JSON.stringify(given) }).then(watch).catch(show);
  });
  watch().catch(show);
})();
