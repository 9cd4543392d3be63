// Built page: a handful of files below `dist/`, no inline script or style, no data: URLs, so that a strict CSP holds.
import { defineConfig } from "vite";
import { metricsPage } from "./metrics-page.js";

const api = process.env.AUSCULT_URL ?? "http://127.0.0.1:8799";

export default defineConfig({
  plugins: [metricsPage()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: { "/api": { target: api, changeOrigin: true }, "/version": { target: api, changeOrigin: true } } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.txt" },
    reportCompressedSize: true,
  },
});
