/** Who is here: one's own identity, and what the others say about themselves, which is not trusted. */
import type { Awareness } from "y-protocols/awareness";

/** A person as shown. The same person may be connected more than once. */
export interface Person {
  id: string;
  name: string;
  /** Always #rrggbb. */
  color: string;
}

/** One connected copy of the document and the person at it. */
export interface Participant {
  clientId: number;
  person: Person;
  /** Relative positions as the peer sent them, to be checked before use. */
  cursor: { anchor: unknown; head: unknown } | null;
}

const MAX_NAME_LENGTH = 40;
const COLOR = /^#[0-9a-f]{6}$/i;
const UNKNOWN_COLOR = "#5f6b7a";

/** White text on each of these has a contrast of at least 4.5 to 1. */
const COLORS = [
  "#c2255c",
  "#1864ab",
  "#2b7a3d",
  "#7048e8",
  "#b34700",
  "#0b7285",
  "#a61e4d",
  "#5f3dc4",
  "#4a6b12",
  "#8f4b0a",
];
const MOODS = ["Quiet", "Bright", "Gentle", "Swift", "Merry", "Calm", "Clever", "Sunny", "Brave", "Kind"];
const ANIMALS = ["Otter", "Heron", "Fox", "Lynx", "Wren", "Badger", "Hare", "Robin", "Beaver", "Owl", "Seal"];

/** The person of one pane of this window: kept over reloads, another one in every window. */
export function ownPerson(pane: number): Person {
  const kept = parsePerson(readKept(pane));
  if (kept !== null) return kept;
  const person = inventPerson(pane);
  keepPerson(pane, person);
  return person;
}

/** Remember a person for `ownPerson`; without effect where the browser keeps nothing. */
export function keepPerson(pane: number, person: Person): void {
  try {
    sessionStorage.setItem(`cowrite:person:${pane}`, JSON.stringify(person));
  } catch {
    // A window that may not keep anything has new people after a reload, and that is all.
  }
}

/** Everybody who says who they are, this copy first. */
export function participants(awareness: Awareness): Participant[] {
  const found: Participant[] = [];
  for (const [clientId, state] of awareness.getStates()) {
    const person = parsePerson(state["user"], String(clientId));
    if (person !== null) found.push({ clientId, person, cursor: parseCursor(state["cursor"]) });
  }
  const isOther = ({ clientId }: Participant): number => Number(clientId !== awareness.clientID);
  return found.sort((one, other) => isOther(one) - isOther(other) || one.clientId - other.clientId);
}

/** The people among `present`, each once, in the same order. */
export function people(present: Participant[]): Person[] {
  const byId = new Map<string, Person>();
  for (const { person } of present) if (!byId.has(person.id)) byId.set(person.id, person);
  return [...byId.values()];
}

/** At most two letters for an avatar. */
export function initials(name: string): string {
  const words = name.split(/\s+/).filter(Boolean);
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? ([...(words.at(-1) ?? "")][0] ?? "") : "";
  return (first + last).toUpperCase();
}

/** Black or white, whichever reads better on `color`. */
export function inkOn(color: string): string {
  const channels = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
  const [red = 0, green = 0, blue = 0] = channels.map((c) =>
    c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4,
  );
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

/** A name as it may be shown: one line, not empty, not endless. */
export function cleanName(name: string): string {
  return [...name.replace(/\s+/g, " ").trim()].slice(0, MAX_NAME_LENGTH).join("");
}

function parsePerson(value: unknown, fallbackId = ""): Person | null {
  if (typeof value !== "object" || value === null) return null;
  const { id, name, color } = value as Record<string, unknown>;
  if (typeof name !== "string" || cleanName(name) === "") return null;
  return {
    id: typeof id === "string" && id !== "" ? id : fallbackId,
    name: cleanName(name),
    color: typeof color === "string" && COLOR.test(color) ? color : UNKNOWN_COLOR,
  };
}

function parseCursor(value: unknown): Participant["cursor"] {
  if (typeof value !== "object" || value === null) return null;
  const { anchor, head } = value as Record<string, unknown>;
  return anchor && head ? { anchor, head } : null;
}

function readKept(pane: number): unknown {
  try {
    return JSON.parse(sessionStorage.getItem(`cowrite:person:${pane}`) ?? "null");
  } catch {
    return null;
  }
}

/** Two panes of one window never get the same colour or animal. */
function inventPerson(pane: number): Person {
  const seed = windowSeed();
  const pick = (list: string[], step: number): string => list[(seed + pane * step) % list.length] ?? "";
  return {
    id: [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    name: `${pick(MOODS, 3)} ${pick(ANIMALS, 4)}`,
    color: pick(COLORS, 3),
  };
}

let seed: number | null = null;

function windowSeed(): number {
  seed ??= crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return seed;
}
