/**
 * One stock Yjs client: a document and the y-websocket provider as it comes from npm.
 *
 * Watches what the provider does and changes nothing in it; message 102 is added through the
 * provider's own table of handlers. Positions count UTF-16 units, as Y.Text does.
 */

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { WebsocketProvider as Provider15 } from 'y-websocket-1.5'
import { WebsocketProvider as Provider21 } from 'y-websocket-2.1'
import { WebsocketProvider as Provider30 } from 'y-websocket-3.0'
import { WebsocketProvider as Provider31 } from 'y-websocket-3.1'
import * as Y from 'yjs'

const PROVIDERS = { '1.5.4': Provider15, '2.1.0': Provider21, '3.0.0': Provider30, '3.1.0': Provider31 }
const MESSAGE_SYNC = 0
const MESSAGE_SYNC_STEP_1 = 0
const MESSAGE_ACKNOWLEDGE = 102
const SILENCE_MS = 30_000
const EDITS_PER_TURN = 100
const UNSENT_LIMIT_BYTES = 1_000_000

/** What the providers have printed as warnings. */
const warnings = []
console.warn = (...words) => { warnings.push(words.join(' ')) }

/** The WebSocket of a page from `origin`: in Node the provider cannot name it. */
const socketOf = origin => class extends WebSocket {
  constructor (url, protocols) {
    super(url, protocols, { origin })
  }
}

export class StockClient {
  /**
   * Opens `document` under `url`, e.g. ws://127.0.0.1:8000/ws; connects at once unless told not to. With
   * `origin`, as a page from there.
   */
  constructor ({ version, url, document, clientId, origin, connect = true }) {
    this.doc = new Y.Doc()
    if (clientId !== undefined) this.doc.clientID = clientId
    this.text = this.doc.getText('text')
    /** What happened to the provider, in order, as [kind, value, milliseconds]. */
    this.history = []
    /** Clock of this client up to which the server has confirmed its edits. */
    this.acknowledged = 0
    /** The client's clock at each request for an acknowledgement, by its number. */
    this.requests = []
    /** How many of the requests are answered: all below this number. */
    this.answered = 0
    this.waiters = new Set()
    this.provider = new PROVIDERS[version](url, document, this.doc, {
      connect: false, disableBc: true, WebSocketPolyfill: origin === undefined ? WebSocket : socketOf(origin)
    })
    this.#watch()
    if (connect) this.provider.connect()
  }

  /** The client's own next clock: how many units of content it has made. */
  get clock () {
    return Y.getState(this.doc.store, this.doc.clientID)
  }

  /** Ends the connection without a close frame, as a pulled plug does; the provider comes back by itself. */
  cut () {
    this.provider.ws?.terminate()
  }

  /** Has the provider connect to another server from its next connection on, as a load balancer does. */
  move (url) {
    this.provider.serverUrl = url
  }

  /** What the provider has printed as warnings. */
  get warnings () {
    return warnings.filter(warning => warning.includes(this.provider.url))
  }

  destroy () {
    this.provider.awareness.destroy()
    this.provider.destroy()
    this.doc.destroy()
  }

  /**
   * Types `patches` [position, deleted, inserted], each in a transaction of its own, and asks for an
   * acknowledgement every `acknowledgeEvery` edits. Waits while the socket holds too much.
   */
  async type (patches, acknowledgeEvery = Infinity) {
    for (const [index, [position, deleted, inserted]] of patches.entries()) {
      this.doc.transact(() => {
        if (deleted > 0) this.text.delete(position, deleted)
        if (inserted !== '') this.text.insert(position, inserted)
      })
      if ((index + 1) % acknowledgeEvery === 0) this.askForAcknowledgement()
      if ((index + 1) % EDITS_PER_TURN === 0) await this.#drained()
    }
  }

  /** Inserts `<...>` between two tokens; `place`, from 0 to 1, says where. */
  insertToken (token, place) {
    const text = this.text.toString()
    const end = text.indexOf('>', Math.floor(place * text.length))
    this.text.insert(end + 1, token)
  }

  /** Deletes a token that the client has inserted. */
  eraseToken (token) {
    this.text.delete(this.text.toString().indexOf(token), token.length)
  }

  /** Sends message 102, unless the client's offline edits are not on their way yet. */
  askForAcknowledgement () {
    if (!this.provider.synced) return
    const payload = encoding.encode(encoder => encoding.writeVarUint(encoder, this.requests.length))
    this.requests.push(this.clock)
    this.provider.ws.send(encoding.encode(encoder => {
      encoding.writeVarUint(encoder, MESSAGE_ACKNOWLEDGE)
      encoding.writeVarUint8Array(encoder, payload)
    }))
  }

  /** Resolves to true once the server has confirmed every edit made before the call. */
  async acknowledge (timeoutMs) {
    if (!await this.until(() => this.provider.synced, timeoutMs)) return false
    this.askForAcknowledgement()
    const count = this.requests.length
    return this.until(() => this.answered >= count, timeoutMs)
  }

  /** Resolves to true once `condition()` holds, to false after `timeoutMs`. */
  until (condition, timeoutMs) {
    return new Promise(resolve => {
      const check = () => { if (condition()) finish(true) }
      const finish = value => {
        clearTimeout(timer)
        this.waiters.delete(check)
        resolve(value)
      }
      const timer = setTimeout(finish, timeoutMs, false)
      this.waiters.add(check)
      check()
    })
  }

  /** Puts something into the history and looks again at what is waited for. */
  #record (kind, value) {
    this.history.push([kind, value, performance.now()])
    this.#changed()
  }

  #changed () {
    for (const check of [...this.waiters]) check()
  }

  #watch () {
    const { provider } = this
    this.doc.on('update', () => this.#changed())
    provider.on('status', ({ status }) => {
      this.#record('status', status)
      const silence = Date.now() - provider.wsLastMessageReceived
      if (status === 'disconnected' && silence > SILENCE_MS) this.#record('helped itself', 'reconnects')
    })
    provider.on('sync', isSynced => this.#record('sync', isSynced))
    provider.on('closed', ({ code }) => this.#record('closed', code))
    provider.on('connection-close', event => this.#record('close', event === null ? null : event.code))
    provider.awareness.on('change', ({ removed }, origin) => {
      this.#record('present', [...provider.awareness.getStates().keys()])
      if (origin === 'timeout') this.#record('helped itself', `forgets ${removed}`)
    })
    const takeSync = provider.messageHandlers[MESSAGE_SYNC]
    provider.messageHandlers[MESSAGE_SYNC] = (encoder, decoder, ...rest) => {
      if (decoder.arr[decoder.pos] === MESSAGE_SYNC_STEP_1) this.#record('sync step 1', null)
      takeSync(encoder, decoder, ...rest)
    }
    provider.messageHandlers[MESSAGE_ACKNOWLEDGE] = (_encoder, decoder) => {
      const payload = decoding.createDecoder(decoding.readVarUint8Array(decoder))
      const number = decoding.readVarUint(payload)
      this.acknowledged = this.requests[number]
      this.answered = number + 1
      this.#changed()
    }
  }

  async #drained () {
    await sleep(0)
    while ((this.provider.ws?.bufferedAmount ?? 0) > UNSENT_LIMIT_BYTES) await sleep(5)
  }
}
