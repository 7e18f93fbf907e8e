// What p2p-punch NAME --slot does without a listener, with another clock: run by test/natlab/punch.test.ts.
//
//   slotter.ts HOME KEY OFFSET_MS     prints what the owner of the port says, a line each

import { loadConfig } from '../../lib/disk/config.ts'
import { openHome, realDoors } from '../../lib/disk/home.ts'
import { loadKeyring } from '../../lib/disk/keyring.ts'
import { systemClock } from '../../lib/base/clock.ts'
import { Listener } from '../../lib/delivery/listener.ts'

const [flag = '', key = '', offset = '0'] = process.argv.slice(2)
const ms = Number(offset)
const clock = { ...systemClock, now: () => systemClock.now() + ms, micros: () => systemClock.micros() + BigInt(ms) * 1000n }
const home = await openHome({ flag, env: {} }, { ...realDoors, clock })
const config = await loadConfig(home, {})
const nothing = (): void => undefined
const over = new AbortController()
process.on('SIGTERM', () => over.abort())
let ready = nothing
const up = new Promise<void>((resolve) => (ready = resolve))
const listener = new Listener({
  home,
  keyring: await loadKeyring(home),
  config,
  reread: async () => config,
  once: false,
  exec: undefined,
  call: false,
  only: key,
  signal: over.signal,
  onReady: () => ready(),
  onMessage: nothing,
  onDelivered: nothing,
  onDeferred: nothing,
  onFailed: nothing,
  onPeer: nothing,
  onContact: nothing,
  onRequest: nothing,
  onNotice: (text) => console.error(text),
})
const running = listener.run()
await Promise.race([up, running])
const write = (record: object): void => console.log(JSON.stringify({ at: clock.now(), ...record }))
await listener.punch({ op: 'punch', key, wait: -1, slot: true }, write, over.signal)
listener.finish()
await running
