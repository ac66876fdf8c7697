/** The text editor of one pane: CodeMirror bound to a shared text, with undo of one's own edits only. */
import { defaultKeymap, standardKeymap } from "@codemirror/commands";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, keymap, placeholder } from "@codemirror/view";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";

import { carets } from "./carets";
import { limitInsertions } from "./insertion";

/** What an editor is made of. */
export interface EditorOptions {
  parent: HTMLElement;
  text: Y.Text;
  awareness: Awareness;
  /** What screen readers call it. */
  label: string;
  /** Told how many bytes of text were more than one edit may add; nothing was inserted then. */
  refuse(bytes: number): void;
}

/** A mounted editor. */
export interface Editor {
  /** Put the keyboard into the text. */
  focus(): void;
  /** From here on people can read, select and copy, and no longer edit. */
  freeze(): void;
}

/** Mount an editor that shows `text` as it is now and follows it from here on. */
export function mountEditor({ parent, text, awareness, label, refuse }: EditorOptions): Editor {
  const mode = new Compartment();
  const state = EditorState.create({
    doc: text.toString(),
    extensions: [
      lineBreaks,
      limitInsertions(refuse),
      EditorView.lineWrapping,
      drawSelection(),
      placeholder("Type something…"),
      EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "true" }),
      keymap.of([...yUndoManagerKeymap, ...standardKeymap, ...defaultKeymap]),
      yCollab(text, null, { undoManager: new Y.UndoManager(text) }),
      carets(text, awareness),
      mode.of([]),
    ],
  });
  const view = new EditorView({ state, parent });
  return {
    focus: () => view.focus(),
    freeze: () => view.dispatch({ effects: mode.reconfigure(readOnly) }),
  };
}

/**
 * CodeMirror counts every line break as one character and the shared text counts what is in it:
 * only \n may be a break, or a peer's \r\n shifts every later edit.
 */
const lineBreaks: Extension = [
  EditorState.lineSeparator.of("\n"),
  EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, "\n")),
];

/** Still in the tab order, so that the keyboard can select and copy. */
const readOnly: Extension = [
  EditorState.readOnly.of(true),
  EditorView.editable.of(false),
  EditorView.contentAttributes.of({ tabindex: "0" }),
];
