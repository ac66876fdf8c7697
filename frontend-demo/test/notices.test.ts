import { expect, test } from "vitest";

import { Notices, type Notice } from "../src/notices";

const HOLDS: Notice = { text: "this document is full", code: 4413, holds: true };
const HAPPENED: Notice = { text: "something was taken out", code: 4413, holds: false };

test("what is repeated is shown once and changes nothing", () => {
  const { notices, changes } = listen();
  notices.add(HOLDS);
  notices.add({ ...HOLDS });
  expect(notices.all).toEqual([HOLDS]);
  expect(changes()).toBe(1);
});

test("what was dismissed and still holds does not come back with every key", () => {
  const { notices, changes } = listen();
  notices.add(HOLDS);
  notices.dismiss(HOLDS);
  notices.add({ ...HOLDS });
  expect(notices.all).toEqual([]);
  expect(changes()).toBe(2);
});

test("what happens again after it was dismissed is told again", () => {
  const { notices } = listen();
  notices.add(HAPPENED);
  notices.dismiss(HAPPENED);
  notices.add({ ...HAPPENED });
  expect(notices.all).toEqual([HAPPENED]);
});

test("a new connection says again what holds, and what happened stays until it is read", () => {
  const { notices } = listen();
  notices.add(HOLDS);
  notices.dismiss(HOLDS);
  notices.add(HAPPENED);
  notices.connected();
  expect(notices.all).toEqual([HAPPENED]);
  notices.add(HOLDS);
  expect(notices.all).toEqual([HAPPENED, HOLDS]);
  notices.connected();
  expect(notices.all).toEqual([HAPPENED]);
});

test("the end of the access says what a notice of the same code said", () => {
  const { notices } = listen();
  const foreign = { text: "this address may not connect", code: 4403, holds: true };
  notices.add(foreign);
  notices.add(HAPPENED);
  notices.ended(4403);
  expect(notices.all).toEqual([HAPPENED]);
});

test("a server that has much to say is shown with its latest three", () => {
  const { notices } = listen();
  for (let number = 0; number < 100; number++) notices.add({ text: `notice ${number}`, code: null, holds: false });
  expect(notices.all.map(({ text }) => text)).toEqual(["notice 97", "notice 98", "notice 99"]);
});

function listen(): { notices: Notices; changes: () => number } {
  let count = 0;
  return { notices: new Notices(() => (count += 1)), changes: () => count };
}
