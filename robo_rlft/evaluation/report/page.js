"use strict";
// Filters by the address's hash, sorting of tables, and films that follow their steps. Needs nothing but this page.
(() => {
  const form = document.getElementById("filters");
  const told = document.getElementById("filter-told");
  const fold = (text) => text.toLowerCase().replace(/\s+/g, " ").trim();
  const items = [...document.querySelectorAll("[data-item]")].map((node) => ({
    node,
    split: node.dataset.split,
    text: node.dataset.text === undefined ? null : fold(node.dataset.text),
    results: node.dataset.results === undefined ? null : JSON.parse(node.dataset.results),
  }));
  const scenes = new Set(document.querySelectorAll("#every-scene [data-item]"));
  const fields = ["run", "split", "outcome", "kind", "text"];

  // The state is what the form shows; the hash holds the same: #run=a&run=b&kind=no_grasp&text=red
  const controls = (name) => [...form.querySelectorAll(`[name=${name}]`)];
  const chosen = (name) => controls(name).filter((c) => (c.type === "checkbox" ? c.checked : c.value !== "")).map((c) => c.value);

  const fillForm = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of fields) {
      for (const control of controls(name)) {
        if (control.type === "checkbox") control.checked = asked.getAll(name).includes(control.value);
        else control.value = asked.get(name) ?? "";
        if (control.selectedIndex === -1) control.value = ""; // a kind that this report does not have
      }
    }
  };

  const writeHash = () => {
    const state = new URLSearchParams();
    for (const name of fields) for (const value of chosen(name)) state.append(name, value);
    const hash = state.toString();
    if (hash === location.hash.slice(1)) return;
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    } catch {
      location.hash = hash; // some viewers of files keep no history
    }
  };

  const passes = (item, state) => {
    if (state.split.length && !state.split.includes(item.split)) return false;
    if (item.text !== null && !state.words.every((word) => item.text.includes(word))) return false;
    return item.results === null || item.results.some(([run, status, kind]) =>
      (!state.run.length || state.run.includes(run)) &&
      (!state.outcome || status === state.outcome) && (!state.kind || kind === state.kind));
  };

  const apply = () => {
    const state = {
      run: chosen("run"), split: chosen("split"), outcome: chosen("outcome")[0], kind: chosen("kind")[0],
      words: fold(chosen("text")[0] ?? "").split(" ").filter(Boolean),
    };
    const active = [...state.run, ...state.split, state.outcome, state.kind && state.kind.replaceAll("_", " "), ...state.words].filter(Boolean);
    for (const node of document.querySelectorAll("[data-run]")) {
      node.hidden = state.run.length > 0 && !state.run.includes(node.dataset.run);
    }
    for (const node of document.querySelectorAll("[data-column]")) {
      node.hidden = state.split.length > 0 && !state.split.includes(node.dataset.column);
    }
    let shown = 0;
    for (const item of items) {
      item.node.hidden = !passes(item, state);
      if (scenes.has(item.node) && !item.node.hidden) shown += 1;
    }
    for (const group of document.querySelectorAll("[data-hide-empty]")) {
      group.hidden = !group.querySelector("[data-item]:not([hidden])");
      if (active.length) group.open = true;
    }
    for (const note of document.querySelectorAll(".none")) note.hidden = shown > 0;
    told.textContent = `${active.length ? active.join(", ") + ": " : ""}${shown} of ${scenes.size} scenes`;
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { writeHash(); apply(); });
    form.addEventListener("reset", () => setTimeout(() => { writeHash(); apply(); }));
    addEventListener("hashchange", () => { fillForm(); apply(); });
    fillForm();
    apply();
  }

  // Sorting: a button in every column's head; rows without a value stay last.
  const valueOf = (row, index) => {
    const cell = row.cells[index];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.textContent.includes("not run") ? null : fold(cell.textContent);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => ({ row, value: valueOf(row, head.cellIndex) }));
        rows.sort((a, b) => {
          if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
          return a.value < b.value ? -sign : a.value > b.value ? sign : 0;
        });
        table.tBodies[0].append(...rows.map((r) => r.row));
      });
    }
  }

  // Films: a step's button plays from there, and the step that plays is marked.
  for (const episode of document.querySelectorAll(".episode")) {
    const film = episode.querySelector("video");
    const buttons = [...episode.querySelectorAll(".seek")];
    if (!film || !buttons.length) continue;
    for (const button of buttons) {
      button.hidden = false;
      button.addEventListener("click", () => { film.currentTime = Number(button.dataset.start); film.play(); });
    }
    film.addEventListener("timeupdate", () => {
      const begun = buttons.filter((b) => Number(b.dataset.start) <= film.currentTime + 0.01);
      for (const button of buttons) button.closest("li").classList.toggle("now", button === begun[begun.length - 1]);
    });
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    for (const film of document.querySelectorAll("video[autoplay]")) { film.autoplay = false; film.pause(); }
  }
})();
