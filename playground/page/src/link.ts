/**
 * Encodes the content of the page as the fragment of a URL, and decodes it: JSON, deflated, in base64url.
 */

/** Texts and options of all tabs, by name. */
export type State = Record<string, string>;

const MARK = "#v1=";
/** Maximum size of decoded content, so that a link cannot exhaust memory. */
const LIMIT = 4 << 20;

export function isLink(fragment: string): boolean {
  return fragment.startsWith(MARK);
}

export async function encode(state: State): Promise<string> {
  const packed = await through(new TextEncoder().encode(JSON.stringify(state)), new CompressionStream("deflate-raw"));
  const binary = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
  return MARK + btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Throws if the fragment was not created by `encode`. */
export async function decode(fragment: string): Promise<State> {
  if (!isLink(fragment)) throw new Error("no link of this page");
  const binary = atob(fragment.slice(MARK.length).replace(/-/g, "+").replace(/_/g, "/"));
  const packed = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const text = new TextDecoder("utf-8", { fatal: true }).decode(
    await through(packed, new DecompressionStream("deflate-raw")),
  );
  const state: unknown = JSON.parse(text);
  if (typeof state !== "object" || state === null || Array.isArray(state)) throw new Error("no object");
  for (const value of Object.values(state)) if (typeof value !== "string") throw new Error("no text");
  return state as State;
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > LIMIT) throw new Error("too long");
    chunks.push(value);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
