/**
 * What two texts, or two lists of texts, have in common at their ends: all that is drawn or edited is what lies between.
 */

/** How many characters or texts are the same at the start, and then at the end. */
export function sameEnds(old: ArrayLike<string>, next: ArrayLike<string>): { start: number; end: number } {
  const most = Math.min(old.length, next.length);
  let start = 0;
  while (start < most && old[start] === next[start]) start++;
  let end = 0;
  while (end < most - start && old[old.length - 1 - end] === next[next.length - 1 - end]) end++;
  return { start, end };
}
