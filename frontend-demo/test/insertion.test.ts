import { EditorSelection, EditorState } from "@codemirror/state";
import { ySyncAnnotation, type YSyncConfig } from "y-codemirror.next";
import { expect, test } from "vitest";

import { MAX_INSERTED_BYTES, limitInsertions, tooLarge } from "../src/insertion";

test.each([
  ["letters of one byte", "x".repeat(MAX_INSERTED_BYTES)],
  ["letters of two", "é".repeat(MAX_INSERTED_BYTES / 2)],
  ["characters of four, as two units", "🎉".repeat(MAX_INSERTED_BYTES / 4)],
])("%s are taken up to the limit and refused above it", (_name, largest) => {
  const { state, refused } = edit();
  const taken = state.update({ changes: { from: 0, insert: largest } });
  expect(taken.newDoc.length).toBe("start".length + largest.length);
  const kept = state.update({ changes: { from: 0, insert: `${largest}!` } });
  expect(kept.newDoc.toString()).toBe("start");
  expect(refused).toEqual([MAX_INSERTED_BYTES + 1]);
});

test("what is refused leaves the selection that it would have replaced", () => {
  const { state, refused } = edit();
  const selected = state.update({ selection: { anchor: 1, head: 4 } }).state;
  const pasted = selected.update(selected.replaceSelection("x".repeat(MAX_INSERTED_BYTES + 1)));
  expect(pasted.newDoc.toString()).toBe("start");
  expect(pasted.newSelection.eq(EditorSelection.single(1, 4))).toBe(true);
  expect(refused).toHaveLength(1);
});

test("several places that get text count together", () => {
  const { state, refused } = edit();
  const half = "x".repeat(MAX_INSERTED_BYTES / 2);
  const both = [
    { from: 0, insert: half },
    { from: 5, insert: `${half}!` },
  ];
  expect(state.update({ changes: both }).docChanged).toBe(false);
  expect(refused).toEqual([MAX_INSERTED_BYTES + 1]);
});

test("what comes from the others is never refused", () => {
  const { state, refused } = edit();
  const annotations = [ySyncAnnotation.of({} as YSyncConfig)];
  const arrived = state.update({ changes: { from: 0, insert: "x".repeat(MAX_INSERTED_BYTES + 1) }, annotations });
  expect(arrived.docChanged).toBe(true);
  expect(refused).toEqual([]);
});

test("the notice says how much it was, and never the limit for what is above it", () => {
  expect(tooLarge(MAX_INSERTED_BYTES + 1).text).toContain("has 16.1 MB, and at most 16 MB");
  expect(tooLarge(123_456_789).text).toContain("has 123.5 MB");
});

function edit(): { state: EditorState; refused: number[] } {
  const refused: number[] = [];
  const extensions = limitInsertions((bytes) => refused.push(bytes));
  return { state: EditorState.create({ doc: "start", extensions }), refused };
}
