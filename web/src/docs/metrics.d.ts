// docs/metrics.md rendered at build time by metrics-page.js.
declare module "virtual:metrics" {
  const html: string;
  export default html;
}
