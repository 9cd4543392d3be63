// Runs before the first paint: applies a stored choice of light or dark.
try {
  const choice = localStorage.getItem("auscult.theme");
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
} catch {
  // Storage may be refused by the browser; the system's choice applies then.
}
