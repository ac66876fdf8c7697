/**
 * Any number of stock clients in one process, driven over stdin and stdout.
 *
 * A command is one line {id, client, do, ...arguments}, its answer one line {id, value} or
 * {id, error}. Commands to different clients run side by side; answers come as they are ready.
 */

import { Buffer } from 'node:buffer'
import { createInterface } from 'node:readline'
import * as Y from 'yjs'
import { read, wanted, write } from './contents.mjs'
import { readObjects, writeObjects } from './objects.mjs'
import { ODD_COMPANY, ODD_STATES } from './odd_states.mjs'
import { StockClient } from './stock.mjs'

const clients = new Map()

const COMMANDS = {
  connect: client => client.provider.connect(),
  disconnect: client => client.provider.disconnect(),
  cut: client => client.cut(),
  move: (client, { url }) => client.move(url),
  // It can still be asked for its history.
  destroy: client => client.destroy(),

  insert: (client, { index, text }) => client.text.insert(index, text),
  delete: (client, { index, length }) => client.text.delete(index, length),
  type: (client, { patches, acknowledgeEvery }) => client.type(patches, acknowledgeEvery),
  insertToken: (client, { token, place }) => client.insertToken(token, place),
  eraseToken: (client, { token }) => client.eraseToken(token),
  apply: (client, { update }) => Y.applyUpdate(client.doc, Buffer.from(update, 'base64')),
  writeObjects: (client, { number }) => writeObjects(client.doc, number),
  readObjects: client => readObjects(client.doc),
  text: client => client.text.toString(),
  paste: (client, { index, length }) => client.text.insert(index, 'x'.repeat(length)),
  pasteImage: (client, { key, size }) => { client.doc.getMap('images').set(key, new Uint8Array(size).fill(7)) },
  sizes: client => [client.text.length, ...[...client.doc.getMap('images').values()].map(image => image.length)],
  clientId: client => client.doc.clientID,
  clocks: client => Object.fromEntries(Y.decodeStateVector(Y.encodeStateVector(client.doc))),

  write: client => write(client.doc),
  read: client => read(client.doc),
  wanted: client => wanted(client.doc),

  setAwareness: (client, { state }) => client.provider.awareness.setLocalState(state),
  setOddAwareness: (client, { kind }) => ODD_STATES[kind](client.provider.awareness),
  bringOddCompany: (client, { kind }) => ODD_COMPANY[kind](client.provider.awareness),
  stopRenewing: client => clearInterval(client.provider.awareness._checkInterval),
  awarenessClock: (client, { of }) => client.provider.awareness.meta.get(of)?.clock,
  awareness: client => Object.fromEntries(client.provider.awareness.getStates()),
  history: client => client.history,
  warnings: client => client.warnings,

  acknowledged: client => client.acknowledged,
  acknowledge: (client, { timeoutMs }) => client.acknowledge(timeoutMs),
  waitText: (client, { text, timeoutMs }) => client.until(() => client.text.toString() === text, timeoutMs),
  waitSynced: (client, { timeoutMs }) => client.until(() => client.provider.synced, timeoutMs)
}

const run = async ({ client: name, do: command, ...rest }) => {
  if (command === 'open') {
    clients.set(name, new StockClient(rest))
    return
  }
  const client = clients.get(name)
  if (client === undefined) throw new Error(`no client ${name}`)
  return COMMANDS[command](client, rest)
}

const answer = async line => {
  const { id, ...command } = JSON.parse(line)
  try {
    const value = await run(command)
    process.stdout.write(JSON.stringify({ id, value: value ?? null }) + '\n')
  } catch (error) {
    process.stdout.write(JSON.stringify({ id, error: error.stack }) + '\n')
  }
}

createInterface({ input: process.stdin }).on('line', answer).on('close', () => process.exit(0))
