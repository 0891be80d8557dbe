"use strict";
const selects = [...document.querySelectorAll("select[data-filter]")];
function filter() {
  let shown = 0;
  const rows = [...document.querySelectorAll("tr.entry")];
  for (const row of rows) {
    row.hidden = selects.some(s => s.value && row.dataset[s.dataset.filter] !== s.value);
    shown += row.hidden ? 0 : 1;
  }
  for (const board of document.querySelectorAll("section.board"))
    board.hidden = ![...board.querySelectorAll("tr.entry")].some(row => !row.hidden);
  document.getElementById("shown").textContent = shown === rows.length ? "" : `${shown} of ${rows.length} entries`;
}
function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}
selects.forEach(s => s.addEventListener("change", filter));
addEventListener("hashchange", open);
filter();
open();
