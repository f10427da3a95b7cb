"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // The table of models and tasks.
  const any = "any";
  const filters = { evidence: null, task: any, head: any, tuning: any, labels: any };
  const names = { evidence: "evidence", task: "task", head: "probe or decoder", tuning: "tuning", labels: "labels" };
  let sorted = { column: null, descending: true };
  const share = (setting) => `${+(100 * setting.fraction).toPrecision(3)} %`;
  const field = (setting, name) => (name === "labels" ? share(setting) : setting[name]);

  const fits = (setting, skipped) => Object.keys(filters).every(
    (name) => name === skipped || filters[name] === any || field(setting, name) === filters[name]);

  function drawFilters() {
    const form = document.getElementById("filters");
    form.replaceChildren();
    for (const name of Object.keys(filters)) {
      const values = [...new Set(content.settings.map((one) => field(one, name)))];
      if (values.length < 2) { filters[name] = name === "evidence" ? values[0] : any; continue; }
      if (name === "evidence" && filters.evidence === null) filters.evidence = values[0];
      const select = element("select", { id: `filter-${name}` });
      // Scores of several classes of evidence are never in one table.
      for (const value of name === "evidence" ? values : [any, ...values]) {
        select.append(element("option", value === filters[name] ? { value, selected: "" } : { value }, value === any && name !== "task" ? "as in the answer" : value));
      }
      select.addEventListener("change", () => { filters[name] = select.value; drawGrid(); });
      form.append(element("label", {}, names[name], select));
    }
    const csv = element("button", { type: "button", class: "csv" }, "Save as CSV");
    csv.addEventListener("click", () => saveCsv("models", gridRows()));
    form.append(csv);
  }

  // One setting per task: the first that fits, in the order in which settings give answers.
  function shownSettings() {
    const found = new Map();
    for (const setting of content.settings) if (fits(setting) && !found.has(setting.task)) found.set(setting.task, setting);
    return [...found.values()].sort((a, b) => a.task.localeCompare(b.task));
  }

  const columns = () => [
    { title: "model", of: (model) => model.name },
    ...shownSettings().map((setting) => ({
      title: `${setting.task}: ${setting.metric}`, setting, higher: setting.higher,
      of: (model) => (setting.cells[model.model] || {}).value ?? null,
    })),
    { title: "MB", of: (model) => model.mb, higher: false },
    { title: "images/s", of: (model) => model.speed, higher: true },
    { title: "licence", of: (model) => model.licence },
    { title: "commercial use", of: (model) => model.commercial },
  ];

  function shownModels(shown) {
    const settings = shownSettings();
    const models = content.models.filter((model) => settings.some((setting) => setting.cells[model.model]));
    const column = shown.find((one) => one.title === sorted.column);
    if (!column) return models;
    return models.sort((a, b) => a.control - b.control || compare(column.of(a), column.of(b), sorted.descending));
  }

  function compare(a, b, descending) {
    if (a === b) return 0;
    if (a === null || a === undefined || a === "") return 1;  // unknown last, whatever the direction
    if (b === null || b === undefined || b === "") return -1;
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return descending ? -order : order;
  }

  function header(title, state, act) {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", act);
    return element("th", { scope: "col", "aria-sort": state }, button);
  }

  function drawGrid() {
    const shown = columns(), table = document.getElementById("grid");
    const head = element("tr");
    for (const column of shown) {
      const own = column.title === sorted.column;
      head.append(header(column.title, own ? (sorted.descending ? "descending" : "ascending") : "none", () => {
        sorted = { column: column.title, descending: own ? !sorted.descending : column.higher ?? false };
        drawGrid();
      }));
    }
    const body = element("tbody");
    for (const model of shownModels(shown)) {
      const row = element("tr", model.control ? { class: "control" } : {}, element("th", { scope: "row", title: model.title }, model.name));
      for (const column of shown.slice(1)) row.append(column.setting ? scoreCell(column.setting, model) : element("td", {}, String(column.of(model) ?? "")));
      body.append(row);
    }
    table.replaceChildren(element("caption", {}), element("thead", {}, head), body);
    const which = shownSettings().map((one) => `${one.task}: ${one.head}${one.tuning === "frozen" ? "" : `, ${one.tuning}`}, ${one.labels}, n = ${one.n}`);
    table.caption.className = "note";
    table.caption.textContent = content.evidence[filters.evidence] || "";
    document.getElementById("grid-note").textContent = which.length ? `${which.join("; ")}.` : "No setting fits all filters: set one of them to its first value.";
  }

  function scoreCell(setting, model) {
    const cell = setting.cells[model.model];
    if (!cell) return element("td", {}, "");
    const made = element("td", setting.control === model.model ? { class: "best-control" } : {}, cell.text);
    if (cell.group) made.append(element("span", { class: "group" }, cell.group));
    made.append(element("small", {}, [cell.interval, cell.tap].filter(Boolean).join(", ")));
    return made;
  }

  function gridRows() {
    const settings = shownSettings(), rows = [["model", "control", "task", "head", "tuning", "labels", "metric", "score", "interval", "group", "tap"]];
    for (const model of shownModels(columns())) for (const one of settings) {
      const cell = one.cells[model.model];
      if (cell) rows.push([model.model, model.control, one.task, one.head, one.tuning, one.fraction, one.metric, cell.text, cell.interval, cell.group, cell.tap]);
    }
    return rows;
  }

  function saveCsv(name, rows) {
    const quote = (cell) => (/[",\n]/.test(String(cell ?? "")) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell ?? ""));
    const blob = new Blob([rows.map((row) => row.map(quote).join(",")).join("\n") + "\n"], { type: "text/csv" });
    const link = element("a", { href: URL.createObjectURL(blob), download: `${name}.csv` });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // Other tables are built when they are opened.
  function openTable(details) {
    if (details.dataset.built) return;
    details.dataset.built = "yes";
    const table = content.tables[details.dataset.table];
    const csv = element("button", { type: "button", class: "csv" }, "Save as CSV");
    csv.addEventListener("click", () => saveCsv(table.slug, [table.header, ...table.rows]));
    const made = element("table"), state = { column: -1, descending: false };
    const draw = () => {
      const rows = state.column < 0 ? table.rows : [...table.rows].sort((a, b) => compare(number(a[state.column]), number(b[state.column]), state.descending));
      const head = element("tr", {}, ...table.header.map((title, place) => header(title, place === state.column ? (state.descending ? "descending" : "ascending") : "none", () => {
        state.descending = place === state.column ? !state.descending : true;
        state.column = place;
        draw();
      })));
      made.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))));
    };
    draw();
    const notes = element("ul", { class: "note" }, ...table.notes.map((note) => element("li", {}, note)));
    details.append(csv, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": table.title }, made), notes);
  }

  const number = (cell) => (/^[-+]?[\d,.]+/.test(cell) ? parseFloat(cell.replaceAll(",", "")) : cell === "-" ? null : cell);

  // Charts take their colours from the page.
  function drawCharts() {
    if (typeof vegaEmbed === "undefined" && !window.vegaEmbed) return;
    const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
    const axis = { labelColor: ink, titleColor: ink, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.5 };
    const config = { background: "transparent", view: { stroke: line }, axis, legend: { labelColor: ink }, title: { color: ink, subtitleColor: ink } };
    for (const figure of document.querySelectorAll("[data-chart]")) {
      window.vegaEmbed(figure, content.charts[figure.dataset.chart], { actions: { export: true, source: false, compiled: false, editor: false }, renderer: "svg", config })
        .catch((error) => { figure.textContent = `The chart cannot be drawn: ${error.message}`; });
    }
  }

  if (document.getElementById("grid")) { drawFilters(); drawGrid(); }
  for (const details of document.querySelectorAll("details.table")) {
    details.addEventListener("toggle", () => details.open && openTable(details));
    if (details.open) openTable(details);
  }
  drawCharts();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
})();
