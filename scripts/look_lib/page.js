// Runs inside a page and returns what a reader would trip over. Called by scripts/look_lib/page.py.
() => {
  const seen = (element) => element.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true });
  const box = (element) => element.getBoundingClientRect();
  const hidden = (element) => {
    const { width, height, bottom, right } = box(element);
    return (width <= 1 && height <= 1) || bottom <= 0 || right <= 0;
  };
  const describe = (element) => {
    const text = (element.getAttribute("aria-label") || element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""} "${text}"`;
  };

  const small = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const holder = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !holder || holder.closest("script, style, template, noscript") || !seen(holder)) continue;
    const size = parseFloat(window.getComputedStyle(holder).fontSize);
    if (size < 12) small.add(`${describe(holder)} ${size}px`);
  }

  const tight = [];
  for (const element of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=button]")) {
    if (!seen(element) || hidden(element) || element.type === "hidden") continue;
    // A link inside a sentence is as high as its line; its neighbours are words, not other targets.
    const sentence = element.tagName === "A" && window.getComputedStyle(element).display === "inline"
      && [...element.parentElement.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const rectangle = element.labels?.length && /checkbox|radio/.test(element.type) ? box(element.labels[0]) : box(element);
    if (!sentence && (rectangle.width < 23.5 || rectangle.height < 23.5)) {
      tight.push(`${describe(element)} ${Math.round(rectangle.width)}×${Math.round(rectangle.height)}`);
    }
  }

  const edge = document.documentElement.clientWidth;
  const clipped = (element) => {
    for (let at = element.parentElement; at; at = at.parentElement) {
      if (window.getComputedStyle(at).overflowX !== "visible" && at !== document.body && at !== document.documentElement) return true;
    }
    return false;
  };
  const beyond = [...document.querySelectorAll("main *")]
    .filter((element) => seen(element) && Math.max(box(element).right, box(element).left + element.scrollWidth) > edge + 1 && !clipped(element)).slice(-3).map(describe);

  const links = [...document.querySelectorAll("a[href]")].map((link) => link.href.split("#")[0])
    .filter((href) => href.startsWith(window.location.origin));
  const fragments = [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href").slice(1))
    .filter((id) => id && !document.getElementById(id));
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);

  return {
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    beyond,
    h1: document.querySelectorAll("h1").length,
    primary: [...document.querySelectorAll("[data-primary]")].filter(seen).map(describe),
    small: [...small],
    tight,
    links: [...new Set(links)],
    fragments,
    repeated: ids.filter((id, position) => ids.indexOf(id) !== position),
    untranslated: document.documentElement.outerHTML.includes("<c-"),
    shift: window.lookShift ?? 0,
    violations: window.lookViolations ?? [],
    failedCharts: document.querySelectorAll("[data-drawn='failed']").length,
    lang: document.documentElement.lang,
  };
}
