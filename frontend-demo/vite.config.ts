import { defineConfig } from "vite";

export default defineConfig({
  // Two copies of one of these cannot share documents ("Yjs was already imported").
  resolve: { dedupe: ["yjs", "y-protocols", "lib0", "@codemirror/state", "@codemirror/view"] },
  build: {
    outDir: "../server/page",
    emptyOutDir: true,
    // The licences ask that their text travels with every copy, and the bundle is one.
    license: { fileName: "licenses.md" },
    chunkSizeWarningLimit: 700,
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/ws": { target: "http://127.0.0.1:8000", ws: true } },
  },
});
