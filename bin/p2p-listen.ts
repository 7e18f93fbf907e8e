// p2p-listen(1): be reachable. Wires the listener to standard output; everything it tells was done before.

import { printable } from '../lib/base/text.ts'
import { isoTime } from '../lib/base/utc.ts'
import { loadSuite } from '../lib/crypto/suite.ts'
import { fingerprintWords } from '../lib/crypto/words.ts'
import { Listener } from '../lib/delivery/listener.ts'
import type { Deferral } from '../lib/delivery/listening.ts'
import { tellOutcome, words } from '../lib/delivery/telling.ts'
import { loadConfig } from '../lib/disk/config.ts'
import type { Contact } from '../lib/disk/contact.ts'
import { manyThreads } from '../lib/disk/files.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import type { Delivered } from '../lib/disk/inbox.ts'
import { loadKeyring } from '../lib/disk/keyring.ts'
import { contactRecord, requestRecord, showRequest } from '../lib/disk/person.ts'
import { ProgressMeter } from '../lib/edge/progress.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pListen } from '../lib/edge/commands.ts'
import { isTerminal } from '../lib/edge/descriptor.ts'
import { stdinIsTerminal } from '../lib/edge/input.ts'
import { watchReaders } from '../lib/edge/readers.ts'
import { formatAddress } from '../lib/wire/address.ts'
import { deferredRecord } from '../lib/wire/outrecord.ts'
import { infoOfMail, messageRecord } from '../lib/wire/record.ts'

/** Columns of a message's text on a terminal line. */
const PREVIEW = 72

async function listen(call: Call): Promise<void> {
  const { out } = call
  manyThreads()
  const home = await openHome({ flag: call.value('home'), env: process.env })
  const keyring = await loadKeyring(home)
  const config = await loadConfig(home, process.env)
  for (const { failure } of keyring.problems) call.warn(failure.message)
  for (const text of config.strangers(keyring)) call.warn(text)
  const { self } = keyring
  const hangup = new AbortController()
  const stop = AbortSignal.any([call.signal, hangup.signal, out.closed]) // nobody reads any more: end cleanly
  const told = new Teller((error) => call.report(error))
  const meter = new ProgressMeter({ clock: home.clock, out, records: call.flag('progress'), line: !call.quiet })
  const listener = new Listener({
    home,
    keyring,
    config,
    reread: () => loadConfig(home, process.env),
    once: call.flag('once'),
    exec: call.value('exec'),
    stun: call.flag('stun') ? (call.value('stun') === 'any' ? 'any' : 'contacts') : undefined,
    signal: stop,
    onReady(addresses, udp) {
      const places = addresses.map(({ ip, port }) => formatAddress({ host: ip, port }))
      const record = { v: 1, type: 'listening', name: self.name, key: self.key, port: home.port, addresses: places }
      told.tell(() => out.record({ ...record, udp, home: home.path, pid: process.pid }, () => `listening on port ${home.port}`))
      call.tell(`others call TCP ${udp ? 'and UDP ' : ''}port ${home.port}: let it through the firewall and forward it in the router; end with Ctrl-C`)
    },
    onMessage(message, contact) {
      told.tell(() => out.record(...describe(message, contact, !call.flag('no-text'))))
    },
    onProgress: (transfer, contact) => meter.note({ ...transfer, name: contact.name }),
    onDelivered(queued, contact, elapsedMs) {
      told.tell(() => tellOutcome(out, { type: 'delivered', queued, contact, elapsedMs }))
    },
    onDeferred(contact, news) {
      told.tell(() => out.record(...deferred(contact, news)))
    },
    onFailed(queued, contact, reason, text) {
      told.tell(() => tellOutcome(out, { type: 'refused', queued, contact, reason, text, elapsedMs: 0 }))
    },
    onPeer(contact, state, link) {
      const way = link && { address: formatAddress({ host: link.remote.ip, port: link.remote.port }), over: link.carrier }
      const record = { v: 1, type: 'peer', name: contact.name, key: contact.key, state, ...way }
      told.tell(() => out.record(record, () => printable(`${contact.name}  ${state}${link === undefined ? '' : `  ${link.carrier}`}`)))
    },
    onContact(contact) {
      told.tell(async () => {
        const spoken = await fingerprintWords(contact.identity, await loadSuite(process.env))
        await out.record(contactRecord(contact, spoken), () => printable(`${contact.name}  has a new address`))
      })
    },
    onRequest(request) {
      told.tell(async () => {
        const spoken = await fingerprintWords(request.token.identity, await loadSuite(process.env))
        await out.record(requestRecord(request, spoken), () => `${showRequest(request, spoken)}\n  p2p-id requests`)
      })
    },
    onNotice(text, contact) {
      call.warn(text)
      const about = contact === undefined ? {} : { name: contact.name, key: contact.key }
      told.tell(() => out.record({ v: 1, type: 'notice', text, ...about }, () => ''))
    },
  })
  const terminal = await hasTerminal(call, home)
  process.on('SIGHUP', () => {
    if (terminal) hangup.abort()
    else listener.reload().catch((error: unknown) => call.report(error))
  })
  const unwatch = call.quiet ? undefined : watchReaders(home.clock, () => hangup.abort())
  await listener.run()
  unwatch?.()
  await told.rest()
  await meter.end()
}

/** Whether this process hangs on a terminal: it has one, and its user has not turned all its streams away from it. */
async function hasTerminal(call: Call, home: Home): Promise<boolean> {
  if (!stdinIsTerminal() && !call.out.terminal && !isTerminal(2)) return false
  try {
    await (await home.files.open('/dev/tty', 'read')).close()
    return true
  } catch {
    return false // ENXIO: there is none that could hang up
  }
}

/** Records in the order in which things happened, however slow the reader is. */
class Teller {
  #last: Promise<void> = Promise.resolve()
  readonly #report: (error: unknown) => void

  constructor(report: (error: unknown) => void) {
    this.#report = report
  }

  tell(say: () => Promise<void>): void {
    this.#last = this.#last.then(say).catch(this.#report)
  }

  rest(): Promise<void> {
    return this.#last
  }
}

function describe(message: Delivered, contact: Contact, text: boolean): [object, () => string] {
  const { mail, path, cursor } = message
  const info = infoOfMail(mail, { path, cursor, text })
  return [
    messageRecord(info),
    () => {
      const line = info.subject ?? `${info.parts.length} file(s)`
      return words(contact.name, 'message', message.id, printable(line).slice(0, PREVIEW))
    },
  ]
}

function deferred(contact: Contact, news: Deferral): [object, () => string] {
  const { queued, ...why } = news
  const { name, key } = contact
  if (queued !== undefined) {
    return [deferredRecord({ id: queued.id, to: name, key, ...why }), () => words(name, 'deferred', queued.id, why.text)]
  }
  const { next, ...rest } = why
  return [
    { v: 1, type: 'deferred', to: name, key, ...rest, next: isoTime(next) },
    () => printable(`${name}  deferred  ${why.text}`),
  ]
}

main(p2pListen, { '': listen })
