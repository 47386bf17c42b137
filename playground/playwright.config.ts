/**
 * The tests of the built page in Debian's Chromium. Build it first.
 */
import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(chromium)) throw new Error(`${chromium} not found: apt-get install chromium, or set CHROMIUM`);

export default defineConfig({
  testDir: "tests",
  // axe is slow on a busy machine.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  // One at a time, because one test measures time.
  workers: 1,
  forbidOnly: true,
  reporter: "list",
  use: {
    launchOptions: {
      executablePath: chromium,
      args: [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
    viewport: { width: 1440, height: 900 },
  },
});
