/**
 * The carets, selections and names of the other people, and one's own caret for them.
 *
 * They are drawn in layers over and under the text, never in it: composition, screen readers and
 * the line layout do not notice them.
 */
import { EditorSelection, StateEffect, type EditorState, type Extension } from "@codemirror/state";
import { RectangleMarker, ViewPlugin, layer } from "@codemirror/view";
import type { EditorView, LayerMarker, ViewUpdate } from "@codemirror/view";
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";

import { inkOn, participants, type Participant, type Person } from "./presence";

const MAX_CARETS = 20;
const NAME_SHOWN_MS = 2500;
const PUBLISH_EVERY_MS = 50;

const presenceChanged = StateEffect.define<null>();

/** Draw the others' carets in an editor of `text`, and publish this editor's own in `awareness`. */
export function carets(text: Y.Text, awareness: Awareness): Extension {
  const plugin = ViewPlugin.define((view) => new Carets(view, text, awareness));
  const markers =
    (draw: (carets: Carets) => LayerMarker[]) =>
    (view: EditorView): LayerMarker[] => {
      const value = view.plugin(plugin);
      return value === null ? [] : draw(value);
    };
  const update = (update: ViewUpdate): boolean => update.docChanged || isPresenceChange(update);
  return [
    plugin,
    layer({ above: false, class: "selections", update, markers: markers((it) => it.selections()) }),
    layer({ above: true, class: "carets", update, markers: markers((it) => it.carets()) }),
  ];
}

class Carets {
  private readonly movedAt = new Map<number, number>();
  private publishTimer: ReturnType<typeof setTimeout> | null = null;
  private hideTimer: ReturnType<typeof setTimeout> | null = null;
  private isDestroyed = false;

  constructor(
    private readonly view: EditorView,
    private readonly text: Y.Text,
    private readonly awareness: Awareness,
  ) {
    awareness.on("change", this.onPresence);
  }

  update(update: ViewUpdate): void {
    // The caret of someone who never was in the editor is nowhere.
    if (!update.view.hasFocus) return;
    if (update.selectionSet || update.docChanged || update.focusChanged) {
      this.publishTimer ??= setTimeout(this.publish, PUBLISH_EVERY_MS);
    }
  }

  destroy(): void {
    this.isDestroyed = true;
    this.awareness.off("change", this.onPresence);
    if (this.publishTimer !== null) clearTimeout(this.publishTimer);
    if (this.hideTimer !== null) clearTimeout(this.hideTimer);
  }

  /** One marker for the caret of each other person. */
  carets(): LayerMarker[] {
    const now = Date.now();
    return this.others().flatMap(({ clientId, person, anchor, head }) => {
      // Where a line wraps, the end of a selection is at the end of the line.
      const caret = EditorSelection.cursor(head, anchor < head ? -1 : 1);
      const [place] = RectangleMarker.forRange(this.view, "", caret);
      if (place === undefined) return [];
      const isActive = now - (this.movedAt.get(clientId) ?? 0) < NAME_SHOWN_MS;
      const isRight = place.left > this.view.contentDOM.clientWidth * 0.6;
      return [new CaretMarker(place, person, isActive, isRight)];
    });
  }

  /** The rectangles of what the others selected. */
  selections(): LayerMarker[] {
    return this.others().flatMap(({ person, anchor, head }) => {
      if (anchor === head) return [];
      const range = EditorSelection.range(anchor, head);
      const places = RectangleMarker.forRange(this.view, "selection", range);
      return places.map((place) => new SelectionMarker(place, person.color));
    });
  }

  private others(): { clientId: number; person: Person; anchor: number; head: number }[] {
    const found = [];
    for (const participant of participants(this.awareness)) {
      if (participant.clientId === this.awareness.clientID) continue;
      const range = this.resolve(participant);
      if (range !== null) found.push({ ...participant, ...range });
      if (found.length === MAX_CARETS) break;
    }
    return found;
  }

  private resolve({ cursor }: Participant): { anchor: number; head: number } | null {
    if (cursor === null) return null;
    const anchor = indexOf(cursor.anchor, this.text);
    const head = indexOf(cursor.head, this.text);
    if (anchor === null || head === null) return null;
    const length = this.view.state.doc.length;
    return { anchor: Math.min(anchor, length), head: Math.min(head, length) };
  }

  private readonly onPresence = (changes: { added: number[]; updated: number[]; removed: number[] }): void => {
    const now = Date.now();
    for (const clientId of [...changes.added, ...changes.updated]) this.movedAt.set(clientId, now);
    for (const clientId of changes.removed) this.movedAt.delete(clientId);
    // Presence may change in the middle of an editor's update, and that must not start another.
    queueMicrotask(this.redraw);
    if (this.hideTimer !== null) clearTimeout(this.hideTimer);
    this.hideTimer = setTimeout(this.redraw, NAME_SHOWN_MS);
  };

  private readonly redraw = (): void => {
    if (!this.isDestroyed) this.view.dispatch({ effects: presenceChanged.of(null) });
  };

  private readonly publish = (): void => {
    this.publishTimer = null;
    const cursor = relativeSelection(this.view.state, this.text);
    const published: unknown = this.awareness.getLocalState()?.["cursor"];
    if (JSON.stringify(cursor) === JSON.stringify(published)) return;
    this.awareness.setLocalStateField("cursor", cursor);
  };
}

class CaretMarker implements LayerMarker {
  constructor(
    private readonly place: RectangleMarker,
    private readonly person: Person,
    private readonly isActive: boolean,
    private readonly isRight: boolean,
  ) {}

  eq(other: CaretMarker): boolean {
    return (
      this.place.eq(other.place) &&
      this.person.name === other.person.name &&
      this.person.color === other.person.color &&
      this.isActive === other.isActive
    );
  }

  draw(): HTMLElement {
    const caret = document.createElement("div");
    caret.append(document.createElement("span"));
    this.paint(caret);
    return caret;
  }

  update(caret: HTMLElement): boolean {
    this.paint(caret);
    return true;
  }

  private paint(caret: HTMLElement): void {
    caret.className = "caret";
    caret.classList.toggle("is-active", this.isActive);
    caret.classList.toggle("is-right", this.isRight);
    caret.style.left = `${this.place.left}px`;
    caret.style.top = `${this.place.top}px`;
    caret.style.height = `${this.place.height}px`;
    caret.style.setProperty("--person", this.person.color);
    caret.style.setProperty("--ink", inkOn(this.person.color));
    const name = caret.firstElementChild;
    if (name !== null) name.textContent = this.person.name;
  }
}

class SelectionMarker implements LayerMarker {
  constructor(
    private readonly place: RectangleMarker,
    private readonly color: string,
  ) {}

  eq(other: SelectionMarker): boolean {
    return this.place.eq(other.place) && this.color === other.color;
  }

  draw(): HTMLElement {
    const element = this.place.draw();
    element.style.setProperty("--person", this.color);
    return element;
  }
}

function isPresenceChange(update: ViewUpdate): boolean {
  return update.transactions.some((it) => it.effects.some((effect) => effect.is(presenceChanged)));
}

/** An edge sticks to what is selected; a caret sticks to the character before it, which is the last typed. */
function relativeSelection(state: EditorState, text: Y.Text): { anchor: unknown; head: unknown } {
  const { anchor, head, from, empty } = state.selection.main;
  const relative = (index: number): unknown => {
    const stick = !empty && index === from ? 0 : -1;
    return Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, index, stick));
  };
  return { anchor: relative(anchor), head: relative(head) };
}

/** Where a peer's relative position is now; null when it is nowhere, or nonsense. */
function indexOf(position: unknown, text: Y.Text): number | null {
  if (text.doc === null) return null;
  try {
    const relative = Y.createRelativePositionFromJSON(position);
    const absolute = Y.createAbsolutePositionFromRelativePosition(relative, text.doc);
    return absolute?.type === text ? absolute.index : null;
  } catch {
    return null;
  }
}
