/** How much text one edit may add: the server takes no more at once. */
import { EditorState, type Extension, type Text, type Transaction } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { ySyncAnnotation } from "y-codemirror.next";

import type { Notice } from "./notices";

/** Below what the server takes as one message (L4 of references/protocol.md), for an edit is more than its text. */
export const MAX_INSERTED_BYTES = 16_000_000;

/** Keep out every local edit that adds too much, however it comes, and tell `refuse` how much that was. */
export function limitInsertions(refuse: (bytes: number) => void): Extension {
  const isRefused = (bytes: number): boolean => {
    if (bytes > MAX_INSERTED_BYTES) refuse(bytes);
    return bytes > MAX_INSERTED_BYTES;
  };
  return [
    EditorState.transactionFilter.of((transaction) => (isRefused(insertedBytes(transaction)) ? [] : transaction)),
    // A file is known to be too large before it is read; one of gigabytes could not be.
    EditorView.domEventHandlers({
      drop: (event, view) => !view.state.readOnly && isRefused(droppedBytes(event)),
    }),
  ];
}

/** Say that nothing was inserted, and why. */
export function tooLarge(bytes: number): Notice {
  return {
    text:
      `This text has ${megabytes(bytes)} MB, and at most ${megabytes(MAX_INSERTED_BYTES)} MB can be added at once. ` +
      "Nothing was inserted: add it in smaller pieces.",
    code: null,
    holds: false,
  };
}

function insertedBytes(transaction: Transaction): number {
  // What comes from the others is there already.
  if (!transaction.docChanged || transaction.annotation(ySyncAnnotation) !== undefined) return 0;
  const texts: Text[] = [];
  transaction.changes.iterChanges((_fromA, _toA, _fromB, _toB, inserted) => texts.push(inserted));
  const units = texts.reduce((sum, text) => sum + text.length, 0);
  // UTF-8 has at most three bytes for each unit: what is surely small need not be encoded.
  if (units * 3 <= MAX_INSERTED_BYTES) return units;
  return texts.reduce((sum, text) => sum + new TextEncoder().encode(text.toString()).length, 0);
}

function droppedBytes(event: DragEvent): number {
  return [...(event.dataTransfer?.files ?? [])].reduce((bytes, file) => bytes + file.size, 0);
}

/** Rounded up: what is above the limit must not look like it. */
function megabytes(bytes: number): string {
  return String(Math.ceil(bytes / 100_000) / 10);
}
