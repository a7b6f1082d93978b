"use strict";
// Headers of tables sort the rows, and a button copies a table with tabs between its cells.

function sortKey(row, index) {
  const cell = row.cells[index];
  return "value" in cell.dataset ? parseFloat(cell.dataset.value) : cell.textContent.trim();
}

function isMissing(key) {
  return key === "" || Number.isNaN(key);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortRows(table, index, descending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [sortKey(row, index), row]);
  rows.sort(([a], [b]) => {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return descending ? compare(b, a) : compare(a, b);
  });
  body.append(...rows.map(([, row]) => row));
}

function makeSortable(table) {
  const headers = Array.from(table.tHead.rows[0].cells);
  headers.forEach((header, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortRows(table, index, descending);
    });
  });
}

function tableText(table) {
  const lines = Array.from(table.rows, (row) => Array.from(row.cells, (cell) => cell.textContent.trim()).join("\t"));
  return lines.join("\n") + "\n";
}

function copy(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy"); // The clipboard's own interface is not there for files.
  area.remove();
  return done;
}

function makeCopyable(table) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the table");
  button.addEventListener("click", () => {
    button.textContent = copy(tableText(table)) ? "Copied" : "Not copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  table.caption.append(button);
}

document.querySelectorAll("table.sortable").forEach((table) => {
  makeSortable(table);
  makeCopyable(table);
});
