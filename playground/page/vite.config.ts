/**
 * Build of the page: static files with relative URLs, which work in any folder of any server.
 */
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  build: {
    target: "es2022",
    // There is only one script, so nothing to preload.
    modulePreload: false,
    // The wasm is a separate file.
    assetsInlineLimit: 0,
  },
});
