/**
 * Two people write one document at the same time, each with a stock client that keeps losing its connection.
 *
 *   node friends.mjs <url>[,<url>] <document> <trace.json.gz> <seed>
 *
 * With two URLs each author connects to a server of its own.
 *
 * Replays a concurrent recording (../traces/README.md). Prints lines of JSON: how far an author has got, as
 * {author, typed}, from 0 to 1, and at the end {texts, losses}.
 *
 * A recorded position only holds in the state that its author saw, which is often less than what has
 * arrived since. So each author types in a view, a document that holds just what that author saw, and
 * what was typed goes into the stock client's document as one update per transaction, once everything
 * seen before it has come in over the network. Nothing of the other author is ever put there by hand.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import * as Y from 'yjs'
import { StockClient } from './stock.mjs'

const EDITS_PER_TURN = 20
const EDITS_PER_REPORT = 100
/** Only ends a hang. */
const PATIENCE_MS = 120_000
const LOSS_CHANCE = 0.003
const LONGEST_ABSENCE_MS = 300

/** mulberry32: the same numbers for the same seed, on every machine. */
const randomFrom = seed => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const print = (value, printed) => process.stdout.write(JSON.stringify(value) + '\n', printed)

/** Splits the recording by author: each transaction with how many of the other's were seen before it. */
const scriptsOf = ({ txns, numAgents }) => {
  const scripts = Array.from({ length: numAgents }, () => [])
  const made = []
  for (const { parents, agent, patches } of txns) {
    const other = 1 - agent
    const seen = Math.max(0, ...parents.map(parent => made[parent][other]))
    scripts[agent].push({ patches, seen })
    made.push(agent === 0 ? [scripts[0].length, seen] : [seen, scripts[1].length])
  }
  return scripts
}

class Author {
  constructor (agent, script, client) {
    this.agent = agent
    this.script = script
    this.client = client
    this.updates = []
    this.clocks = []
    this.seen = 0
    this.losses = 0
    this.view = new Y.Doc()
    // Where both typed at one place, the recording puts author 0 first; Yjs puts the lower client id first.
    this.view.clientID = agent + 1
    this.view.on('update', (update, origin) => {
      if (origin !== 'other') this.updates.push(update)
    })
  }

  /** Types the whole script; `other` is the author whose edits have to arrive in between. */
  async write (other, random) {
    for (const [index, { patches, seen }] of this.script.entries()) {
      if (seen > this.seen) await this.#see(other, seen)
      this.#type(patches)
      if (random() < LOSS_CHANCE) this.#loseConnection(random)
      if (index % EDITS_PER_REPORT === 0) print({ author: this.agent, typed: index / this.script.length })
      if (index % EDITS_PER_TURN === 0) await sleep(0)
    }
    await this.#returns
    this.client.provider.connect()
  }

  #returns = Promise.resolve()

  async #see (other, count) {
    const { doc } = this.client
    const known = () => other.updates.length >= count &&
      Y.getState(doc.store, other.view.clientID) >= other.clocks[count - 1]
    if (!await this.client.until(known, PATIENCE_MS)) throw new Error(`edit ${count} of the other author never arrived`)
    this.view.transact(() => {
      for (const update of other.updates.slice(this.seen, count)) Y.applyUpdate(this.view, update)
    }, 'other')
    this.seen = count
  }

  #type (patches) {
    const text = this.view.getText('text')
    this.view.transact(() => {
      for (const [position, deleted, inserted] of patches) {
        if (deleted > 0) text.delete(position, deleted)
        if (inserted !== '') text.insert(position, inserted)
      }
    })
    this.clocks.push(Y.getState(this.view.store, this.view.clientID))
    Y.applyUpdate(this.client.doc, this.updates.at(-1), 'author')
  }

  /** Half of the losses are clean; a pulled plug comes back by the provider's own means. */
  #loseConnection (random) {
    this.losses++
    if (random() < 0.5) return this.client.cut()
    this.client.provider.disconnect()
    this.#returns = sleep(random() * LONGEST_ABSENCE_MS).then(() => this.client.provider.connect())
  }
}

const [urls, document, trace, seed] = process.argv.slice(2)
const recording = JSON.parse(gunzipSync(await readFile(trace)))
// Positions count code points, Y.Text counts UTF-16 units: the same as long as there are no surrogates.
assert(recording.txns.every(({ patches }) => patches.every(([, , inserted]) => !/[\ud800-\udfff]/.test(inserted))))
const authors = scriptsOf(recording).map((script, agent) => {
  const url = urls.split(',').at(agent) ?? urls
  return new Author(agent, script, new StockClient({ version: '3.1.0', url, document }))
})
const [first, second] = authors
await Promise.all([first.write(second, randomFrom(Number(seed))), second.write(first, randomFrom(Number(seed) + 1))])
await Promise.all(authors.map(({ client }) =>
  client.until(() => client.text.toString() === recording.endContent, PATIENCE_MS)))
const result = {
  texts: authors.map(({ client }) => client.text.toString()),
  losses: authors.map(({ losses }) => losses)
}
print(result, () => process.exit(0))
