"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  // Long names may break after an underscore.
  const breakable = (text) => (text.match(/[^_]*_|[^_]+/g) || []).flatMap((part) => [part, element("wbr")]);
  const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  // Sortable heads of tables.
  function compare(a, b, descending) {
    if (a === b) return 0;
    if (a === null || a === undefined || a === "") return 1;  // unknown last, whatever the direction
    if (b === null || b === undefined || b === "") return -1;
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return descending ? -order : order;
  }

  // Columns have a key, a title, perhaps a remark, and whether the first click sorts in descending order.
  function headOf(table, columns, state, redraw) {
    const row = element("tr");
    columns.forEach((column, place) => {
      const own = column.key === state.key;
      const button = element("button", { type: "button" }, ...breakable(column.title));
      button.addEventListener("click", () => {
        Object.assign(state, { key: column.key, descending: own ? !state.descending : column.descending });
        redraw();
        table.querySelectorAll("thead button")[place].focus();  // the button that was clicked is gone
      });
      const head = element("th", { scope: "col", "aria-sort": own ? (state.descending ? "descending" : "ascending") : "none" }, button);
      if (column.remark) head.append(element("small", {}, column.remark));
      row.append(head);
    });
    return element("thead", {}, row);
  }

  // Files made by the page.
  function save(name, text, type) {
    const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function csvButton(name, rowsOf) {
    const quote = (cell) => (/[",\n]/.test(String(cell ?? "")) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell ?? ""));
    const button = element("button", { type: "button", class: "save" }, "Save as CSV");
    button.addEventListener("click", () => save(`${name}.csv`, rowsOf().map((row) => row.map(quote).join(",")).join("\n") + "\n", "text/csv"));
    return button;
  }

  // The table of models and tasks.
  const any = "any";
  const filters = { evidence: null, task: any, head: any, tuning: any, labels: any };
  const names = { evidence: "evidence", task: "task", head: "probe or decoder", tuning: "tuning", labels: "labels" };
  const sorted = { key: null, descending: true };
  const percentage = (setting) => `${+(100 * setting.fraction).toPrecision(3)} %`;
  const field = (setting, name) => (name === "labels" ? percentage(setting) : setting[name]);
  const fits = (setting) => Object.keys(filters).every((name) => filters[name] === any || field(setting, name) === filters[name]);

  function drawFilters() {
    const form = document.getElementById("filters");
    for (const name of Object.keys(filters)) {
      const values = [...new Set(content.settings.map((one) => field(one, name)))];
      if (name === "evidence") filters.evidence = values[0];
      if (values.length < 2) continue;
      const select = element("select", { id: `filter-${name}` });
      // Scores of several classes of evidence are never in one table.
      for (const value of name === "evidence" ? values : [any, ...values]) {
        select.append(element("option", { value }, value === any && name !== "task" ? "as in the answer" : value));
      }
      select.addEventListener("change", () => { filters[name] = select.value; drawGrid(); });
      form.append(element("label", {}, names[name], select));
    }
    form.append(csvButton("models", gridRows));
  }

  // One setting per task: the first that fits, in the order in which settings give answers.
  function shownSettings() {
    const found = new Map();
    for (const setting of content.settings) if (fits(setting) && !found.has(setting.task)) found.set(setting.task, setting);
    return [...found.values()].sort((a, b) => a.task.localeCompare(b.task));
  }

  // What all shown settings have in common is said once, above the table; the rest in the heads of columns.
  function remarksOf(settings) {
    const parts = [(one) => one.head, (one) => one.tuning, (one) => one.labels, (one) => `n\u00a0=\u00a0${one.n}`];
    const common = (part) => new Set(settings.map(part)).size === 1;
    return {
      shared: settings.length ? parts.filter(common).map((part) => part(settings[0])) : [],
      own: (setting) => parts.filter((part) => !common(part)).map((part) => part(setting)),
    };
  }

  function columnsOf(settings) {
    const { own } = remarksOf(settings);
    return [
      { key: "model", title: "model", of: (model) => model.name, descending: false },
      ...settings.map((setting) => ({
        key: `task ${setting.task}`, title: setting.task, remark: [setting.metric, ...own(setting)].join(", "), setting,
        of: (model) => setting.cells[model.model]?.value ?? null, descending: setting.higher,
      })),
      { key: "mb", title: "MB", of: (model) => model.mb, descending: false },
      { key: "speed", title: "images/s", of: (model) => model.speed, descending: true },
      { key: "licence", title: "licence", of: (model) => model.licence, descending: false },
      { key: "commercial", title: "commercial use", of: (model) => model.commercial, descending: false },
    ];
  }

  function modelsOf(settings, columns) {
    const models = content.models.filter((model) => settings.some((setting) => setting.cells[model.model]));
    const column = columns.find((one) => one.key === sorted.key);
    return column ? models.sort((a, b) => a.control - b.control || compare(column.of(a), column.of(b), sorted.descending)) : models;
  }

  function drawGrid() {
    const settings = shownSettings(), columns = columnsOf(settings), models = modelsOf(settings, columns);
    const table = document.getElementById("grid"), body = element("tbody");
    for (const model of models) {
      const dot = element("span", { class: "dot", style: `--colour: ${model.colour}` });
      const row = element("tr", model.control ? { class: "control" } : {}, element("th", { scope: "row", title: model.title }, dot, ...breakable(model.name)));
      if (content.uses.includes(model.model)) row.firstChild.append(" ", element("small", {}, element("a", { href: `#use-${model.model}` }, "Use it")));
      for (const column of columns.slice(1)) row.append(column.setting ? scoreCell(column.setting, model) : element("td", {}, String(column.of(model) ?? "")));
      body.append(row);
    }
    const caption = element("caption", { class: "note" }, element("span", {}, content.evidence[filters.evidence] || ""));
    table.replaceChildren(caption, headOf(table, columns, sorted, drawGrid), body);
    const shared = remarksOf(settings).shared.join(", ");
    const sizes = `${counted(models.length, "model")} on ${counted(settings.length, "task")}`;
    document.getElementById("grid-note").textContent = !settings.length
      ? "No setting fits all filters: set one of them to its first value."
      : `${sizes}${shared && `: ${shared}`}.`;
  }

  function scoreCell(setting, model) {
    const cell = setting.cells[model.model];
    if (!cell) return element("td", {}, "");
    const made = element("td", setting.control === model.model ? { class: "best-control" } : {}, element("span", { class: "score" }, cell.text));
    if (cell.group) made.append(" ", element("span", { class: "group" }, cell.group));
    made.append(" ", element("small", {}, cell.tap));
    if (cell.interval) made.append(element("small", { class: "interval" }, cell.interval));
    return made;
  }

  function gridRows() {
    const settings = shownSettings();
    const rows = [["model", "control", "task", "evidence", "head", "tuning", "labels", "n", "metric", "score", "interval", "group", "tap", "MB", "images/s", "licence", "commercial use"]];
    for (const model of modelsOf(settings, columnsOf(settings))) for (const one of settings) {
      const cell = one.cells[model.model];
      if (cell) rows.push([
        model.model, model.control, one.task, one.evidence, one.head, one.tuning, one.fraction, one.n, one.metric,
        cell.text, cell.interval, cell.group, cell.tap, model.mb, model.speed, model.licence, model.commercial,
      ]);
    }
    return rows;
  }

  function addCopyButtons() {
    for (const code of document.querySelectorAll("#use pre")) {
      const button = element("button", { type: "button", class: "save" }, "Copy");
      button.addEventListener("click", async () => { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; });
      if (navigator.clipboard) code.before(button);
    }
  }

  // Other tables are built when they are opened.
  const isNumber = (cell) => /^[-+]?[\d,.]*\d/.test(cell);
  const valueOf = (cell) => (isNumber(cell) ? parseFloat(cell.replaceAll(",", "")) : cell === "-" ? null : cell);

  function openTable(details) {
    if (details.dataset.built) return;
    details.dataset.built = "yes";
    const table = content.tables[details.dataset.table], made = element("table"), state = { key: -1, descending: false };
    const columns = table.header.map((title, key) => ({ key, title, descending: table.rows.some((row) => isNumber(row[key])) }));
    const rows = () => (state.key < 0 ? table.rows : [...table.rows].sort((a, b) => compare(valueOf(a[state.key]), valueOf(b[state.key]), state.descending)));
    const rowOf = ([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, ...breakable(first)), ...others.map((cell) => element("td", {}, cell)));
    const draw = () => made.replaceChildren(headOf(made, columns, state, draw), element("tbody", {}, ...rows().map(rowOf)));
    draw();
    const notes = table.notes.length ? [element("ul", { class: "note" }, ...table.notes.map((note) => element("li", {}, note)))] : [];
    const region = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": table.title }, made);
    details.append(csvButton(table.slug, () => [table.header, ...rows()]), region, ...notes);
  }

  // Charts take the colour of the text around them, in light, in dark and on paper.
  const ink = "currentColor";
  const axis = { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridColor: ink, gridOpacity: 0.15, domainOpacity: 0.3, tickOpacity: 0.3 };
  const config = { background: "transparent", view: { stroke: null }, axis, legend: { labelColor: ink, titleColor: ink }, title: { color: ink, subtitleColor: ink } };

  // A chart that leaves the page has a legend of its own.
  async function saveChart(spec, name) {
    const own = JSON.parse(JSON.stringify(spec), (key, value) => (key === "legend" ? undefined : value));
    const drawn = await window.vegaEmbed(element("div"), { ...own, width: 420, height: 300 }, { actions: false, config: { ...config, background: "white" } });
    save(`${name}.svg`, await drawn.view.toSVG(), "image/svg+xml");
    drawn.finalize();
  }

  async function drawCharts() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const spec = content.charts[place.dataset.chart];
      try {
        await window.vegaEmbed(place, spec, { actions: false, renderer: "svg", config });
        place.querySelector("svg").setAttribute("aria-hidden", "true");  // the place has the description
        const button = element("button", { type: "button", class: "save", "aria-label": `Save as SVG: ${spec.title.text}` }, "SVG");
        button.addEventListener("click", () => saveChart(spec, `${place.dataset.chart}-${spec.title.text.replace(/[^\w.-]+/g, "-")}`));
        place.after(button);
      } catch (error) {
        place.textContent = `The chart cannot be drawn: ${error.message}`;
      }
      await new Promise((resolve) => setTimeout(resolve));  // the page answers between two charts
    }
  }

  if (document.getElementById("grid")) { drawFilters(); drawGrid(); }
  addCopyButtons();
  for (const details of document.querySelectorAll("details.table")) {
    details.addEventListener("toggle", () => details.open && openTable(details));
    if (details.open) openTable(details);
  }
  document.addEventListener("DOMContentLoaded", drawCharts);  // the library comes after this script
})();
