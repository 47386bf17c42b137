/**
 * `npm run screenshots`: the pictures in the book, taken of the built page.
 */
import base from "./playwright.config";

export default { ...base, testMatch: "screenshots.ts" };
