/**
 * How the page is built: static files with relative addresses, so that it works from any folder of any server.
 */
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  build: {
    target: "es2022",
    // Everything is one script; nothing is left to load ahead.
    modulePreload: false,
    // The wasm stays a file of its own.
    assetsInlineLimit: 0,
  },
});
