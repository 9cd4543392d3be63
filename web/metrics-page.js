// docs/metrics.md as HTML at build time, with an anchor per heading and per figure, for the page at /docs/metrics.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Marked } from "marked";

const NAME = "virtual:metrics";
const SOURCE = fileURLToPath(new URL("../docs/metrics.md", import.meta.url));

/** Vite plugin: `import html from "virtual:metrics"`. */
export function metricsPage() {
  return {
    name: "metrics-page",
    resolveId: (id) => (id === NAME ? `\0${NAME}` : null),
    load(id) {
      if (id !== `\0${NAME}`) return null;
      this.addWatchFile(SOURCE);
      return `export default ${JSON.stringify(render(readFileSync(SOURCE, "utf8")))};`;
    },
  };
}

/** Names in the first column of a table become anchors: `lq` is at `#lq`. */
export function render(markdown) {
  const taken = new Set();
  const anchor = (name) => {
    if (taken.has(name)) return "";
    taken.add(name);
    return ` id="${name}"`;
  };
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth, text }) {
        return `<h${depth}${anchor(slug(text))}>${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      table({ header, rows }) {
        const cells = (row, tag) => row.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`);
        const head = cells(header, 'th scope="col"').join("").replaceAll('</th scope="col">', "</th>");
        const body = rows.map((row) => {
          const [first = "", ...rest] = cells(row, "td");
          return `<tr>${first.replace(/<code>([a-z_0-9.]+)/g, (_all, name) => `<code${anchor(name)}>${name}`)}${rest.join("")}</tr>`;
        });
        const label = header.map((cell) => cell.text).join(", ");
        return `<div class="scroll" tabindex="0" role="region" aria-label="Table: ${label}"><table class="plain"><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>\n`;
      },
    },
  });
  return marked.parse(markdown);
}

function slug(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}
