"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Light and dark: the system's choice until the reader takes one.
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    theme.setAttribute("aria-pressed", String(!dark));
  });
  for (const box of all("input[data-hide]")) {
    box.addEventListener("change", () => document.body.classList.toggle(box.dataset.hide, !box.checked));
  }

  // Sorting: a number where there is one, text otherwise; missing numbers stay last; a third press restores the order.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return null;
    const text = cell.dataset.sort ?? cell.textContent.trim();
    if (text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  for (const button of all("button.sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = button.closest("table");
      const body = table.tBodies[0];
      const column = Number(head.dataset.column);
      all("tr.drill", body).forEach((row) => row.remove());
      all("a.value[aria-expanded]", body).forEach((link) => link.setAttribute("aria-expanded", "false"));
      const rows = [...body.rows];
      rows.forEach((row, i) => { row.dataset.place ??= String(i); });
      const first = head.dataset.numeric ? "descending" : "ascending";
      const second = head.dataset.numeric ? "ascending" : "descending";
      const now = head.getAttribute("aria-sort");
      const next = now === first ? second : now === second ? "none" : first;
      all("th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      rows.sort((a, b) => {
        const place = a.dataset.place - b.dataset.place;
        if (next === "none") return place;
        const [x, y] = [key(a, column), key(b, column)];
        if (x === null || y === null) return (x === null) - (y === null) || place;
        return sign * compare(x, y) || place;
      });
      body.append(...rows);
    });
  }

  // Per-class drill-down: the counts stand in the cells' own sections; here they are read and drawn.
  const counts = (id, split, attack) => {
    const section = document.getElementById("cell-" + id);
    const table = section && all("table.counts", section).find((t) => t.dataset.split === split);
    if (!table) return null;
    const column = [...table.tHead.rows[0].cells].findIndex((c) => c.dataset.attack === attack);
    if (column < 0) return null;
    return [...table.tBodies[0].rows].map((row) => ({
      name: row.cells[0].textContent, train: Number(row.cells[1].textContent), n: Number(row.cells[2].textContent),
      correct: Number(row.cells[column].textContent),
    }));
  };
  const percent = (k, n) => (n ? (100 * k / n).toFixed(2) : "—");
  const drill = (link) => {
    const row = link.closest("tr");
    const open = row.nextElementSibling?.classList.contains("drill") ? row.nextElementSibling : null;
    const mine = open && open.dataset.for === link.dataset.cells + link.dataset.attack;
    if (open) open.remove();
    all("a.value[aria-expanded]", row).forEach((other) => other.setAttribute("aria-expanded", "false"));
    if (mine) return;
    const ids = link.dataset.cells.split(" ");
    const seeds = ids.map((id) => [id, counts(id, link.dataset.split, link.dataset.attack)]).filter(([, c]) => c);
    if (!seeds.length) return;
    const table = make("table");
    table.append(make("caption", `Recall of each class, ${link.dataset.attack}, ${link.dataset.split} test split`));
    const head = table.createTHead().insertRow();
    const seed = (id) => (document.getElementById("cell-" + id).dataset.seed ? "seed " + document.getElementById("cell-" + id).dataset.seed : id);
    for (const text of ["Class", "Train", "Test", ...seeds.map(([id]) => `Correct, ${seed(id)}`), "Recall %", ""]) head.append(make("th", text, { scope: "col" }));
    const body = table.createTBody();
    seeds[0][1].forEach((first, i) => {
      const line = body.insertRow();
      line.append(make("th", first.name, { scope: "row" }));
      line.append(make("td", first.train), make("td", first.n));
      for (const [, classes] of seeds) line.append(make("td", classes[i].correct));
      const total = seeds.reduce((sum, [, c]) => sum + c[i].n, 0);
      const hit = seeds.reduce((sum, [, c]) => sum + c[i].correct, 0);
      line.append(make("td", percent(hit, total)));
      const bar = make("span", undefined, { class: "bar", "aria-hidden": "true" });
      const fill = make("span");
      fill.style.width = `${total ? 100 * hit / total : 0}%`;
      bar.append(fill);
      const cell = make("td");
      cell.append(bar);
      line.append(cell);
    });
    const holder = make("tr", undefined, { class: "drill" });
    holder.dataset.for = link.dataset.cells + link.dataset.attack;
    const cell = make("td", undefined, { colspan: String(row.cells.length) });
    const links = make("p", "Provenance: ");
    seeds.forEach(([id], i) => { if (i) links.append(", "); links.append(make("a", id, { href: "#cell-" + id })); });
    cell.append(table, links);
    holder.append(cell);
    row.after(holder);
    link.setAttribute("aria-expanded", "true");
  };
  for (const link of all("a.value[data-cells]")) {
    link.setAttribute("role", "button");
    link.setAttribute("aria-expanded", "false");
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.value[data-cells]");
    if (link) { event.preventDefault(); drill(link); }
  });
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest?.("a.value[data-cells]");
    if (link && event.key === " ") { event.preventDefault(); drill(link); }
  });

  // Every table as tab-separated text: one line a row, labels and numbers as they are, for a spreadsheet.
  const plain = (cell) => {
    if (!cell) return "";
    const text = cell.tagName === "TH" && cell.dataset.sort !== undefined ? cell.dataset.sort
      : (cell.querySelector("a.value, button.sort") ?? cell).textContent;
    return cell.querySelector(".missing") ? "" : text.trim().replace(/\s+/g, " ").replace(/^−/, "-");
  };
  const tsv = (table) => {
    const heads = [...table.tHead.rows];
    const names = [...heads.at(-1).cells].map(plain);
    if (heads.length > 1) {
      const groups = [...heads[0].cells].flatMap((cell) => Array(cell.colSpan).fill(plain(cell)));
      groups.forEach((group, i) => { if (group) names[i] = `${group}: ${names[i]}`; });
    }
    const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("drill"));
    return [names, ...rows.map((row) => [...row.cells].map(plain))].map((line) => line.join("\t")).join("\n") + "\n";
  };
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {  // a page without that right: through a field, as before it existed
      const field = make("textarea", undefined, { class: "sr" });
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  };
  for (const table of all("table.main, table.counts")) {
    const button = make("button", "Copy as TSV", { class: "copy", type: "button" });
    button.addEventListener("click", async () => {
      button.textContent = (await copied(tsv(table))) ? "Copied" : "Not allowed here";
      setTimeout(() => { button.textContent = "Copy as TSV"; }, 1500);
    });
    table.closest(".scroll").after(button);
  }

  // A page that is still being written shows itself again, as the reader left it.
  const seconds = Number(document.body.dataset.refresh);
  const kept = "bench-report " + location.pathname;
  const open = () => all("details").map((d) => d.open);
  try {
    const before = JSON.parse(sessionStorage.getItem(kept));
    sessionStorage.removeItem(kept);
    if (before) {
      const details = all("details");
      if (before.open.length === details.length) details.forEach((d, i) => { d.open = before.open[i]; });
      if (before.theme) root.dataset.theme = before.theme;
      requestAnimationFrame(() => scrollTo(0, before.y));
    }
  } catch { /* a browser that keeps nothing for files: the page begins anew */ }
  if (seconds) {
    setTimeout(() => {
      try { sessionStorage.setItem(kept, JSON.stringify({ open: open(), y: scrollY, theme: root.dataset.theme })); } catch { /* as above */ }
      location.reload();
    }, 1000 * seconds);
  }

  // A link to something inside a closed section opens it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    const inner = target.querySelector(":scope > details");
    if (inner) inner.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // The list of cells, filtered as one types.
  const filter = document.getElementById("filter");
  filter?.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const article of all("article.cell")) {
      const text = article.querySelector("summary").textContent.toLowerCase();
      article.hidden = !words.every((word) => text.includes(word));
    }
  });
})();
