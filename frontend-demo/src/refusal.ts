/** What the server refuses, and why it ends the access, in words for the person at the page. Knows no DOM. */
import type { Notice } from "./notices";

/** "CODE: phrase", as the server says why it refuses something. */
const REASON = /^(\d{4}): (.*)$/s;
const MAX_PHRASE_LENGTH = 200;

/** By the server's own words: what there is more to say about than its code tells. */
const REFUSALS = new Map<string, Omit<Notice, "code">>([
  [
    "4413: something was too large and was taken out",
    {
      text: "Something that you added was too large for the server and was taken out again. All the rest is kept.",
      holds: false,
    },
  ],
  [
    "4400: No document can have this name.",
    { text: "No document can have this name: try a shorter one, without . and .. between slashes.", holds: true },
  ],
  [
    "4413: the document is full, edits are not saved",
    {
      text:
        "This document is full. What you type from now on is not saved, and nobody else sees it: " +
        "copy what you need into another document.",
      holds: true,
    },
  ],
]);

/** By close code (references/protocol.md, C1): what follows "Access ended". */
const CAUSES = new Map<number, string>([
  [4400, "the server could not read what this page sent; a reload brings the page that goes with the server"],
  [4401, "the server does not know who you are"],
  [4403, "this page's address is not allowed to connect"],
  [4404, "this document was deleted"],
  [4406, "the server could not read what this page sent; a reload brings the page that goes with the server"],
  [4409, "this document was replaced by another one of the same name"],
  [4413, "something in this copy is too large for the server; copy what you need into another document"],
]);

/** Put a refusal into words; `reason` is what the server says. */
export function refusal(reason: string): Notice {
  const [, digits, phrase = reason] = REASON.exec(reason) ?? [];
  const code = digits === undefined ? null : Number(digits);
  const known = REFUSALS.get(reason);
  if (known !== undefined) return { ...known, code };
  return { text: `The server refused something: ${cause(code, phrase)}.`, holds: true, code };
}

/** Put the end of the access into words: why, and what that means for the `edits` that are not saved. */
export function endOfAccess(code: number, reason: string, edits: number, areKeptHere: boolean): string {
  return [
    `Access ended: ${cause(code, reason)}.`,
    ...(edits > 0 ? [lostEdits(edits, areKeptHere)] : []),
    "From now on nothing is saved: the text can be copied, and no longer edited.",
  ].join(" ");
}

function cause(code: number | null, phrase: string): string {
  const own = code === null ? undefined : CAUSES.get(code);
  return own ?? (cleanPhrase(phrase) || "it does not say why");
}

function lostEdits(edits: number, areKeptHere: boolean): string {
  const count = edits === 1 ? "Your last edit is" : `Your last ${edits} edits are`;
  return `${count} not on the server, ${areKeptHere ? "only on this device" : "and gone when this page closes"}.`;
}

/** One line, not endless, and without the full stop that follows here. */
function cleanPhrase(phrase: string): string {
  const line = phrase.replace(/\s+/g, " ").trim();
  return [...line].slice(0, MAX_PHRASE_LENGTH).join("").replace(/\.$/, "");
}
