// Draws every [data-chart] from the JSON beside it, in the colours of the current theme. Plotly is fetched only where a chart is.
"use strict";

(() => {
  const plotlyUrl = document.currentScript.dataset.plotly;
  const nonce = document.currentScript.nonce;
  let plotly = null;

  const token = (() => {
    const probe = document.createElement("span");
    probe.hidden = true;
    return (name) => {
      // Plotly needs a plain colour: let the browser resolve the token for the theme in use.
      if (!probe.isConnected) document.body.append(probe);
      probe.style.color = `var(--${name})`;
      return window.getComputedStyle(probe).color;
    };
  })();

  const load = () => {
    plotly ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = plotlyUrl;
      script.nonce = nonce;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("The chart library could not be loaded."));
      document.head.append(script);
    });
    return plotly;
  };

  const colourOf = (trace, position) => {
    const role = trace.meta?.role;
    if (role === "recommended") return token("accent");
    if (role === "reference") return token("series-reference");
    return token(`series-${(position % 5) + 1}`);
  };

  // A trace gets its colour wherever its kind keeps it; what the page set itself (an opacity, a dash) stays.
  const paint = (traces) => {
    let position = 0;
    return traces.map((trace) => {
      const role = trace.meta?.role;
      const colour = colourOf(trace, position);
      if (role !== "recommended" && role !== "reference") position += 1;
      const painted = { hoverlabel: { namelength: -1 }, ...trace };
      const perPoint = trace.meta?.roles?.map((each) => colourOf({ meta: { role: each } }, position - 1));
      painted.marker = { size: 8, ...trace.marker, color: perPoint ?? colour };
      if (trace.type !== "bar") painted.line = { width: 1.75, ...trace.line, color: colour };
      for (const axis of ["error_x", "error_y"]) {
        if (trace[axis]) painted[axis] = { thickness: 1.5, width: 4, ...trace[axis], color: perPoint ? token("text-soft") : colour };
      }
      if (trace.mode?.includes("text")) Object.assign(painted, { cliponaxis: false, textfont: { size: 12, color: token("text") } });
      if (trace.fill) painted.fillcolor = colour.replace("rgb(", "rgba(").replace(")", ", 0.14)");
      return painted;
    });
  };

  const axis = (given) => ({
    automargin: true, zeroline: false, showline: false, ticks: "outside", ticklen: 4, tickcolor: "rgba(0,0,0,0)", fixedrange: true,
    separatethousands: true, gridcolor: token("grid"), linecolor: token("line"), ...given,
    title: { standoff: 8, ...(typeof given?.title === "string" ? { text: given.title } : given?.title), font: { size: 12, color: token("text-soft") } },
    tickfont: { size: 12, color: token("text-soft") },
  });

  const lastPoint = (trace) => {
    for (let at = (trace.y?.length ?? 0) - 1; at >= 0; at -= 1) if (trace.y[at] !== null) return { x: trace.x?.[at] ?? at, y: trace.y[at] };
    return null;
  };

  // Lines are named at their ends where the names keep apart; else a legend names them.
  const endLabels = (figure, traces, width) => {
    if (figure.layout?.showlegend !== undefined || width < 420 || traces.length < 2) return null;
    if (!traces.every((trace) => (trace.type ?? "scatter") === "scatter" && trace.mode?.startsWith("lines"))) return null;
    const ends = traces.map(lastPoint);
    if (ends.includes(null)) return null;
    const values = traces.flatMap((trace) => trace.y.filter((value) => value !== null));
    const apart = (Math.max(...values) - Math.min(...values, figure.layout?.yaxis?.rangemode === "tozero" ? 0 : Infinity)) * 0.07;
    const sorted = ends.map((end) => end.y).sort((a, b) => a - b);
    if (sorted.some((value, at) => at > 0 && value - sorted[at - 1] < apart)) return null;
    return traces.map((trace, at) => ({
      ...ends[at], text: trace.name, showarrow: false, xanchor: "left", xshift: 8, font: { size: 12, color: token("text") },
    }));
  };

  // On a logarithmic axis Plotly writes the 2 and the 5 in nine pixels; these ticks are all of one size and written in full.
  const logTicks = (figure, key) => {
    const letter = key[0];
    const values = figure.data.flatMap((trace) => trace[letter] ?? []).filter((value) => value > 0);
    if (figure.layout[key].type !== "log" || figure.layout[key].tickvals || values.length === 0) return {};
    const decades = (value) => Math.floor(Math.log10(value));
    const [low, high] = [decades(Math.min(...values)) - 1, decades(Math.max(...values)) + 1];
    const steps = high - low > 4 ? [1] : [1, 2, 5];
    const tickvals = [];
    for (let power = low; power <= high; power += 1) for (const step of steps) tickvals.push(step * 10 ** power);
    const words = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, maximumFractionDigits: 12 });
    const prefix = figure.layout[key].tickprefix ?? "";
    return { tickmode: "array", tickvals, ticktext: tickvals.map((value) => prefix + words.format(value)), tickprefix: "" };
  };

  const layoutFor = (figure, traces, width) => {
    const labels = endLabels(figure, traces, width);
    const given = figure.layout ?? {};
    const axes = Object.fromEntries(Object.keys(given).filter((key) => /^[xy]axis\d*$/.test(key)).map((key) => [key, { ...axis(given[key]), ...logTicks(figure, key) }]));
    return {
      xaxis: axis({}), yaxis: axis({}), ...given, ...axes,
      shapes: (given.shapes ?? []).map((shape) => ({ ...shape, line: { width: 1, dash: "dot", ...shape.line, color: token("text-soft") } })),
      annotations: [
        ...(given.annotations ?? []).map((note) => ({ showarrow: false, ...note, font: { size: 12, color: token("text-soft") } })),
        ...(labels ?? []),
      ],
      autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 8, r: labels ? 80 : 16, t: 8, b: 8, ...given.margin },
      font: { family: "Inter Variable, sans-serif", size: 12, color: token("text") },
      showlegend: labels ? false : given.showlegend ?? figure.data.filter((trace) => trace.showlegend !== false).length > 1,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { size: 12 }, itemclick: false, itemdoubleclick: false },
      hoverlabel: { bgcolor: token("bg-raised"), bordercolor: token("line-strong"), font: { family: "Inter Variable, sans-serif", size: 12, color: token("text") } },
    };
  };

  const draw = async (element) => {
    const source = document.getElementById(element.dataset.chart);
    if (!source) return;
    const figure = JSON.parse(source.textContent);
    const library = await load();
    const traces = paint(figure.data);
    await library.react(element, traces, layoutFor(figure, traces, element.clientWidth), { displayModeBar: false, responsive: true, locale: "en" });
    element.dataset.drawn = "true";
  };

  const failed = (element) => (error) => {
    element.dataset.drawn = "failed";
    console.error(error);
  };

  const drawAll = (scope = document) => {
    for (const element of scope.querySelectorAll("[data-chart]")) draw(element).catch(failed(element));
  };

  document.addEventListener("DOMContentLoaded", () => drawAll());
  document.addEventListener("llmopt:theme", () => drawAll());
  document.addEventListener("htmx:afterSettle", (event) => drawAll(event.target.parentElement ?? document));
  document.addEventListener("htmx:beforeCleanupElement", (event) => {
    if (event.target.matches?.("[data-chart]") && window.Plotly) window.Plotly.purge(event.target);
  });
})();
