// p2p-queue export and import as a person sees them: what is refused before anything is done, and what is told at the end.

import { resolve } from 'node:path'

import { EX, Failure, unreadable } from '../base/fail.ts'
import { printable } from '../base/text.ts'
import { isoTime } from '../base/utc.ts'
import { loadConfig } from '../disk/config.ts'
import { checkSendable } from '../disk/contact.ts'
import { openHome, type Home } from '../disk/home.ts'
import { type Keyring, loadKeyring } from '../disk/keyring.ts'
import { refuseExisting, writeOut } from '../disk/outfile.ts'
import { note } from '../disk/queuelog.ts'
import type { Call } from '../edge/cli.ts'
import { stdinChunks, stdinIsTerminal } from '../edge/input.ts'
import { deliveredRecord } from '../wire/outrecord.ts'
import { infoOfMail, messageRecord } from '../wire/record.ts'
import { importBundle, type BundleResult } from './bundlein.ts'
import { exportBundle, type BundleTally } from './bundleout.ts'
import { tellListener } from './control.ts'
import { withHooks } from './hookpass.ts'
import { Station } from './station.ts'
import { words } from './telling.ts'

/** Bytes of a file read at once. */
const BLOCK = 1 << 20

/** p2p-queue export. */
export async function exportCommand(call: Call): Promise<void> {
  const output = call.value('output')
  const path = output === undefined || output === '-' ? undefined : resolve(output)
  const usage = (why: string): Failure => new Failure(EX.USAGE, why, 'p2p-queue export bob -o for-bob.p2p')
  if (path === undefined && call.quiet) throw usage("with '-q' nothing is written to standard output")
  if (path === undefined && call.out.terminal) throw usage('a bundle is not written to a terminal')
  const { home, keyring } = await open(call)
  const contact = keyring.resolve(call.args[0] as string)
  checkSendable(contact)
  if (path !== undefined) await refuseExisting(home.files, path)
  const station = await Station.open(home, keyring)
  const tally: BundleTally = { messages: [], receipts: 0, damaged: [] }
  const stop = call.waiting('writing the bundle')
  const pieces = abortable(exportBundle(station, contact, tally), call.signal)
  let size = 0
  if (path === undefined) {
    for await (const piece of pieces) {
      if (call.out.closed.aborted) return
      await call.out.raw(piece)
    }
    await call.out.flush()
  } else {
    size = await writeOut(home.files, home.random, path, pieces)
  }
  stop()
  const { messages, receipts, damaged } = tally
  if (messages.length > 0) await note(home, contact.key, messages.map(({ id }) => ({ event: 'exported', id })))
  const told = printable(`${count(messages.length, 'message')} and ${count(receipts, 'receipt')} for ${contact.name}`)
  for (const { id } of damaged) call.report(new Failure(EX.IO, `message ${id.slice(0, 8)} is damaged on disk: left out`))
  if (path === undefined) return call.info(`${told}; they wait here until it is known that they have arrived`)
  const counts = { size, messages: messages.length, receipts }
  await call.out.record({ v: 1, type: 'bundle', to: contact.name, key: contact.key, path, ...counts }, () => `${path}  ${told}`)
}

/** p2p-queue import. */
export async function importCommand(call: Call): Promise<void> {
  const [from = '-'] = call.args
  const usage = new Failure(EX.USAGE, 'a bundle is not read from a terminal', 'p2p-queue import from-bob.p2p')
  if (from === '-' && stdinIsTerminal()) throw usage
  const { home, keyring } = await open(call)
  const config = await loadConfig(home, process.env)
  const source = from === '-' ? stdinChunks() : fileChunks(home, resolve(from))
  let told = Promise.resolve()
  let changed = false
  const station = await Station.open(home, keyring, { config, events: { changed: () => (changed = true) } })
  let result: BundleResult | undefined
  const stop = call.waiting('reading the bundle')
  try {
    const options = { config, signal: call.signal, onNotice: (text: string) => call.warn(text) }
    await withHooks(home, keyring, options, async (add) => {
      result = await importBundle(station, abortable(source, call.signal), {
        received(message, contact) {
          add(message)
          const { mail, path, cursor, id } = message
          const record = messageRecord(infoOfMail(mail, { path, cursor, text: true }))
          told = told.then(() => call.out.record(record, () => words(contact.name, 'message', id, mail.subject ?? '')))
        },
        delivered(queued, contact) {
          const { id, key } = queued
          const record = deliveredRecord({ id, to: contact.name, key }, home.clock.now() - Number(queued.created / 1000n))
          told = told.then(() => call.out.record(record, () => words(contact.name, 'delivered', id, 'by a bundle')))
        },
      })
    })
  } finally {
    stop()
    await told
    await station.close()
    if (changed) await tellListener(home, 'reload')
  }
  if (result !== undefined) await tellResult(call, result)
}

async function tellResult(call: Call, result: BundleResult): Promise<void> {
  const { contact, created, messages, known, refused, receipts, damage } = result
  for (const { id, text, passes } of refused) {
    call.report(new Failure(passes ? EX.TEMPORARY : EX.DATA, `message ${id.slice(0, 8)} was not taken: ${text}`))
  }
  const record = { v: 1, type: 'bundle', from: contact.name, key: contact.key, created: isoTime(created) }
  const parts = [
    count(messages, 'new message'),
    known > 0 ? `${known} that ${known === 1 ? 'was' : 'were'} here already` : '',
    receipts > 0 ? `${count(receipts, 'message')} of yours arrived there` : '',
  ]
  const human = (): string => printable(`${contact.name}  bundle  ${parts.filter((part) => part !== '').join(', ')}`)
  await call.out.record({ ...record, messages, known, refused: refused.length, receipts }, human)
  if (damage !== undefined) call.report(damage)
}

async function open(call: Call): Promise<{ home: Home; keyring: Keyring }> {
  const home = await openHome({ flag: call.value('home'), env: process.env })
  return { home, keyring: await loadKeyring(home) }
}

async function* fileChunks(home: Home, path: string): AsyncGenerator<Uint8Array> {
  const handle = await home.files.open(path, 'read').catch((error: unknown) => Promise.reject(unreadable(error, path)))
  try {
    for (let at = 0; ; ) {
      const piece = await handle.read(at, BLOCK).catch((error: unknown) => Promise.reject(unreadable(error, path)))
      if (piece.length === 0) return
      yield piece
      at += piece.length
    }
  } finally {
    await handle.close()
  }
}

/** Ends with the signal's reason. */
async function* abortable(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    signal.throwIfAborted()
    yield piece
  }
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}
