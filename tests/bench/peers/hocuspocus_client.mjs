// A stock Hocuspocus client: node hocuspocus_client.mjs URL DOCUMENT
// Inserts each line of its input before its text, and prints its text as JSON whenever that has changed.

import { createInterface } from "node:readline";
import { HocuspocusProvider } from "@hocuspocus/provider";
import WebSocket from "ws";
import * as Y from "yjs";

const [url, name] = process.argv.slice(2);

const document = new Y.Doc();
const text = document.getText("text");
text.observe(() => process.stdout.write(JSON.stringify(text.toString()) + "\n"));
const provider = new HocuspocusProvider({ url, name, document, WebSocketPolyfill: WebSocket });

createInterface({ input: process.stdin })
  .on("line", (line) => text.insert(0, line))
  .on("close", () => {
    provider.destroy();
    process.exit(0);
  });
