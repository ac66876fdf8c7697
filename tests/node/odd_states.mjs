/**
 * What an application can have a stock client say of its presence that is no use to anybody.
 *
 * Each is a function of the client's Awareness, which y-protocols then writes as it writes everything.
 */

import { applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness'

const DEPTH = 1_000
const CROWD = 5_000
const CLOCK_LIMIT = 2 ** 31

const nested = depth => depth === 0 ? {} : { inner: nested(depth - 1) }

/** An awareness update of `clients` as another provider on the same Awareness may bring it. */
const updateOf = (clients, clock) => encodeAwarenessUpdate(
  { meta: new Map(clients.map(client => [client, { clock }])) },
  clients,
  new Map(clients.map(client => [client, { user: 'a bot' }]))
)

/** Those that come instead of the client's own state. */
export const ODD_STATES = {
  text: awareness => awareness.setLocalState('text'),
  'half a surrogate pair': awareness => awareness.setLocalState('\ud800'),
  'byte order mark': awareness => awareness.setLocalState('\ufeff{}'),
  number: awareness => awareness.setLocalState(5),
  true: awareness => awareness.setLocalState(true),
  list: awareness => awareness.setLocalState([{ user: 'list' }]),
  date: awareness => awareness.setLocalState(new Date(0)),
  'own idea of JSON': awareness => awareness.setLocalState({ toJSON: () => 'text' }),
  '20 KB': awareness => awareness.setLocalState({ large: 'x'.repeat(20_000) }),
  '3 MB': awareness => awareness.setLocalState({ large: 'x'.repeat(3_000_000) }),
  '3 MB of surrogates': awareness => awareness.setLocalState({ large: '\udc00'.repeat(500_000) }),
  nested: awareness => awareness.setLocalState(nested(DEPTH))
}

/** Those that come beside it. */
export const ODD_COMPANY = {
  crowd: awareness => {
    const bots = Array.from({ length: CROWD }, (_, number) => 1_000 + number)
    applyAwarenessUpdate(awareness, updateOf(bots, 1), 'another provider')
  },
  'the same one twice': awareness => applyAwarenessUpdate(awareness, twice(7), 'another provider'),
  'clock out of range': awareness => {
    applyAwarenessUpdate(awareness, updateOf([8], CLOCK_LIMIT), 'another provider')
  }
}

const twice = client => {
  const [, ...first] = updateOf([client], 1)
  const [, ...second] = updateOf([client], 2)
  return Uint8Array.from([2, ...first, ...second])
}
