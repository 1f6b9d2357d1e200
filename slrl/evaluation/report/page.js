"use strict";
(() => {
  const all = (what, where = document) => Array.from(where.querySelectorAll(what));

  // Tables: a press on a heading sorts by its column, a second one turns the order around. Cells without a value stay last.
  const value = (row, column) => {
    const cell = row.children[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "") return null;
    if (text === "inf") return Infinity;
    return Number.isNaN(Number(text)) ? text : Number(text);
  };
  for (const table of all("table[data-sortable]")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = Array.from(body.rows).map((row) => [value(row, column), row]);
        rows.sort(([one], [two]) => {
          if (one === null || two === null) return (one === null) - (two === null);
          if (typeof one === "number" && typeof two === "number") return down * (one === two ? 0 : one < two ? -1 : 1);
          return down * String(one).localeCompare(String(two), "en", { numeric: true });
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Filters: scenario and adapters hold for the whole page, outcome and text for lives.
  const form = document.querySelector(".filter");
  if (form) {
    const plain = (text) => text.toLowerCase().replace(/[,:\s]+/g, " ").trim();
    const lives = all("tr.life");
    const sections = all("details.life");
    const words = new Map(sections.map((section) => [section, plain(section.textContent)]));
    const parts = all("main [data-scenario], main [data-adapter]").filter((part) => !part.matches(".life"));
    const apply = () => {
      const data = new FormData(form);
      const adapters = new Set(data.getAll("adapter"));
      const scenario = data.get("scenario");
      const outcome = data.get("outcome");
      const text = plain(data.get("text"));
      const within = (part) =>
        (!scenario || part.dataset.scenario === undefined || part.dataset.scenario === scenario) &&
        (part.dataset.adapter === undefined || adapters.has(part.dataset.adapter));
      parts.forEach((part) => part.classList.toggle("off", !within(part)));
      let shown = 0;
      const kept = new Set();
      sections.forEach((section) => {
        const keep = within(section) && (!outcome || section.dataset.outcome === outcome) &&
          words.get(section).includes(text);
        section.classList.toggle("off", !keep);
        if (keep) kept.add(`#${section.id}`);
        shown += keep;
      });
      lives.forEach((row) => row.classList.toggle("off", !kept.has(row.querySelector("a").getAttribute("href"))));
      document.querySelector(".nothing").hidden = shown > 0;
      const total = sections.length;
      form.querySelector("output").textContent = `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} lives`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    document.querySelector(".nothing .all").addEventListener("click", () => form.reset());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") form.querySelector(".adapters").open = false;
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".adapters")) form.querySelector(".adapters").open = false;
    });
    apply();
  }

  // A link to something folded up opens it, also one to a life that the filters hide.
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.classList.contains("off")) form.reset();
    if (target.tagName === "DETAILS") {
      target.open = true;
      setTimeout(() => { target.scrollIntoView(); target.querySelector("summary").focus({ preventScroll: true }); });
    }
  };
  window.addEventListener("hashchange", open);
  open();

  // Motion: pause what moves.
  for (const button of all(".pause")) {
    const picture = button.closest("figure").querySelector("picture");
    const still = picture.querySelector("source");
    const image = picture.querySelector("img");
    const moving = image.getAttribute("src");
    let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const show = () => {
      button.textContent = paused ? "Play" : "Pause";
      image.setAttribute("src", paused ? still.getAttribute("srcset") : moving);
      still.media = "print";
    };
    button.addEventListener("click", () => { paused = !paused; show(); });
    if (paused) show();
  }

  // How to live a life again.
  const say = (button, text) => {
    const before = button.textContent;
    button.textContent = text;
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        say(button, "Copied");
      } catch {
        getSelection().selectAllChildren(code); // the browser does not let us: the person can
        say(button, "Selected");
      }
    });
  }
  for (const button of all(".save")) {
    button.addEventListener("click", () => {
      const text = document.getElementById(button.dataset.settings).querySelector("pre").textContent;
      const link = document.createElement("a");
      const own = text.replace(/^seed = .*$/m, `seed = ${button.dataset.seed}`).replace(
        /(^\[adapter\.pretrain\]\n(?:[^[\n].*\n)*?)seed = .*$/m, `$1seed = ${button.dataset.pretraining}`);
      link.href = URL.createObjectURL(new Blob([own]));
      link.download = "settings.toml";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
