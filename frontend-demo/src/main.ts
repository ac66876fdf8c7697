/** The page: two panes of the document that the address names. */
import { Pane } from "./pane";

const DEFAULT_DOCUMENT = "welcome";

function find<T extends Element>(selector: string): T {
  const element = document.querySelector<T>(selector);
  if (element === null) throw new Error(`the page has no ${selector}`);
  return element;
}

function webSocketBase(): string {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/ws`;
}

function showDocument(name: string): void {
  document.title = `${name} – Cowrite`;
  find<HTMLInputElement>("#document").value = name;
  find<HTMLAnchorElement>("#second-window").href = `?${new URLSearchParams({ document: name })}`;
}

function openPanes(name: string): Pane[] {
  const parent = find<HTMLElement>(".panes");
  return [0, 1].map((index) => new Pane(parent, index, { server: webSocketBase(), document: name }));
}

const name = new URLSearchParams(location.search).get("document")?.trim() || DEFAULT_DOCUMENT;
showDocument(name);
const panes = openPanes(name);

window.addEventListener("beforeunload", (event) => {
  if (panes.some((pane) => pane.wouldLoseEdits)) event.preventDefault();
});

await Promise.all(panes.map((pane) => pane.start()));
