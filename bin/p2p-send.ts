// p2p-send(1): accept a message, deliver it if the peer is up. Every recipient is known before anything is read, and a
// message is durable before anything is printed.

import { EX, Failure } from '../lib/base/fail.ts'
import { compileLate } from '../lib/base/garbage.ts'
import { parseDuration, printable } from '../lib/base/text.ts'
import { hashByNode } from '../lib/crypto/sha256.ts'
import { loadHash } from '../lib/crypto/suite.ts'
import { aboutWhat, checkWish, type Recipient, type Wish } from '../lib/delivery/about.ts'
import { compose, insideHook, limitFor, type Attachment, type Letter } from '../lib/delivery/compose.ts'
import { batches, checkTag, expiry, type Known, LINE_MAX, parseLine, parseOrder, understand } from '../lib/delivery/letters.ts'
import { Outbox, type Post, type Teller } from '../lib/delivery/outbox.ts'
import { mayListen } from '../lib/delivery/socketpath.ts'
import { isRefusal, tellOutcome, words } from '../lib/delivery/telling.ts'
import type { Transfer } from '../lib/delivery/transfer.ts'
import { loadConfig, type Config } from '../lib/disk/config.ts'
import { checkSendable } from '../lib/disk/contact.ts'
import { manyThreads } from '../lib/disk/files.ts'
import { openHome, type Home } from '../lib/disk/home.ts'
import { loadKeyring, type Keyring } from '../lib/disk/keyring.ts'
import type { Queued } from '../lib/disk/queued.ts'
import { discard } from '../lib/disk/staging.ts'
import { calledWith, main, type Call } from '../lib/edge/cli.ts'
import { p2pSend, p2pSendmail } from '../lib/edge/commands.ts'
import { ProgressMeter } from '../lib/edge/progress.ts'
import { lines, stdinChunks, stdinIsTerminal, stopInput, type Line } from '../lib/edge/input.ts'
import type { Hash, Header } from '../lib/wire/envelope.ts'
import { deliveredRecord, dryRunRecord, errorRecord, queuedRecord } from '../lib/wire/outrecord.ts'

interface Desk {
  call: Call
  home: Home
  keyring: Keyring
  config: Config
  hash: Hash
}

type Accept = (posts: Post[]) => Promise<void>

async function send(call: Call): Promise<void> {
  checkUsage(call)
  if (call.flag('ndjson') || call.flag('lines')) {
    manyThreads()
    compileLate()
  }
  const home = await openHome({ flag: call.value('home'), env: process.env })
  if (!call.flag('queue-only') && !call.flag('dry-run') && !(await mayListen(home).catch(() => true))) hashByNode() // a call takes the rest
  const keyring = await loadKeyring(home)
  const config = await loadConfig(home, process.env)
  for (const text of config.strangers(keyring)) call.warn(text)
  const desk = { call, home, keyring, config, hash: await loadHash(process.env) }
  const told = new Told(desk)
  const outbox = new Outbox({
    ...desk,
    teller: told,
    waitMs: waitOf(call, config),
    get signal() {
      return call.signal // made when something is offered
    },
  })
  const accept = call.flag('dry-run') ? (posts: Post[]) => rehearse(desk, posts) : (posts: Post[]) => outbox.accept(posts)
  const to = call.args.map((name) => recipient(keyring, name))
  const about = await aboutWhat({ ...desk, info: (text) => call.info(text) }, wishOf(call), to)
  const base: Partial<Letter> = {
    subject: call.value('subject'),
    ...about?.header,
    auto: insideHook(),
    tell: (text) => call.warn(text),
    expires: call.value('expires') === undefined ? undefined : expiry(call.value('expires') as string, home.clock.now()),
    tag: call.value('replace') === undefined ? undefined : checkTag(call.value('replace') as string),
  }
  const recipients = unique(about?.to ?? to)
  if (call.flag('ndjson')) await sendLines(desk, accept, (line, known) => orderPost(desk, line, recipients, base, known))
  else if (call.flag('lines')) await sendLines(desk, accept, (line) => linePost(desk, line, recipients, base))
  else await sendOne(desk, accept, recipients, base)
  await outbox.finish(() => call.waiting('trying to deliver'))
  await told.meter.end()
  await told.rest()
}

function checkUsage(call: Call): void {
  const stream = call.flag('ndjson') ? '--ndjson' : call.flag('lines') ? '--lines' : undefined
  if (call.flag('ndjson') && call.flag('lines')) throw new Failure(EX.USAGE, 'only one of --lines and --ndjson')
  for (const other of ['message', 'attach', 'name', 'react', 'edit', 'recall']) {
    if (stream === undefined || call.value(other) === undefined) continue
    throw new Failure(EX.USAGE, `${stream} takes its messages from standard input: not with --${other}`)
  }
  if (call.values('attach').filter((path) => path === '-').length > 1) {
    throw new Failure(EX.USAGE, 'standard input can be attached only once')
  }
  const wish = wishOf(call)
  checkWish(wish, { reply: '--reply', reaction: '--react', edit: '--edit', recall: '--recall' })
  const whole = wish.reaction !== undefined ? 'react' : wish.recall !== undefined ? 'recall' : undefined
  const excluded = whole === undefined ? (wish.edit === undefined ? [] : ['attach']) : ['message', 'attach', 'subject', 'name']
  for (const other of excluded) {
    if (call.value(other) === undefined) continue
    throw new Failure(EX.USAGE, whole === undefined ? 'an edit changes text and subject: not with --attach' : `--${whole} is the whole message: not with --${other}`)
  }
  const named = call.args.length > 0 || [wish.reply, wish.edit, wish.recall].some((text) => text !== undefined)
  if (!named && !call.flag('ndjson')) throw call.missing('NAME')
}

function wishOf(call: Call): Wish {
  const [reply, reaction, edit, recall] = ['reply', 'react', 'edit', 'recall'].map((name) => call.value(name))
  return { reply, reaction, edit, recall }
}

/** Milliseconds; undefined with --queue-only. */
function waitOf(call: Call, config: Config): number | undefined {
  const wait = call.value('wait')
  const seconds = wait === undefined ? config.wait : parseDuration(wait)
  return call.flag('queue-only') ? undefined : seconds * 1000
}

function recipient(keyring: Keyring, name: string): Recipient {
  const found = keyring.resolveAny(name)
  if (!('me' in found)) checkSendable(found)
  return found
}

function unique(list: Recipient[]): Recipient[] {
  return [...new Map(list.map((one) => [one.key, one])).values()]
}

async function sendOne(desk: Desk, accept: Accept, to: Recipient[], base: Partial<Letter>): Promise<void> {
  const { call, home, hash } = desk
  const message = call.value('message')
  if (message?.includes('\ufffd') === true) {
    // Node has put it where an argument was not UTF-8: the bytes are lost already.
    throw new Failure(EX.DATA, 'the text of -m is not valid UTF-8: give it on standard input')
  }
  const name = call.value('name')
  const attachments = call.values('attach').map((path): Attachment =>
    path === '-' ? { name: name ?? 'stdin', content: typed(call) } : { path },
  )
  let { text } = base // of a reaction or a recall
  if (text !== undefined) return accept([{ to, composed: await compose(home, hash, { ...base, attachments: [] }, limitFor(desk.config, to)) }])
  if (message !== undefined) text = new TextEncoder().encode(message)
  else if (attachments.length === 0) text = typed(call)
  const stop = attachments.length > 0 ? call.waiting('reading what is to be sent') : (): void => undefined
  const composed = await compose(home, hash, { ...base, text, textName: name, attachments }, limitFor(desk.config, to)).finally(stop)
  if (call.flag('skip-empty') && composed.staged.size === 0) return
  await accept([{ to, composed }])
}

/** Everything was read and checked: tells what would be queued, and forgets it. */
async function rehearse({ call, home }: Desk, posts: Post[]): Promise<void> {
  for (const { to, composed, ref } of posts) {
    const { staged, header } = composed
    for (const one of to) {
      const name = 'me' in one ? 'me' : one.name
      const { key } = one
      const { size, parts } = staged
      const record = dryRunRecord({ to: name, key, size, subject: header.subject, parts, ref })
      await call.out.record(record, () => printable(`${name}  would be sent  ${size} bytes`))
    }
    await discard(home, staged)
  }
}

/** Standard input; a person at a terminal is told what is expected. */
function typed(call: Call): AsyncIterable<Uint8Array> {
  if (stdinIsTerminal()) call.info('type the message, end with Ctrl-D')
  return stdinChunks()
}

async function sendLines(
  desk: Desk,
  accept: Accept,
  post: (line: Line, known: Known) => Promise<Post | undefined>,
): Promise<void> {
  const { call } = desk
  // One batch is composed while another one comes to rest on the disk.
  let accepting = Promise.resolve()
  const begin = (posts: Post[]): void => {
    accepting = accept(posts)
    accepting.catch((error: unknown) => stopInput(error instanceof Error ? error : new Error(String(error))))
  }
  try {
    for await (const batch of batches(lines(typed(call), LINE_MAX))) {
      const { posts, broken, fatal } = await understand(batch, post)
      await accepting.catch(async (error: unknown) => {
        for (const { composed } of posts) await discard(desk.home, composed.staged)
        throw error
      })
      for (const { line, failure, known } of broken) {
        const { exit, message, hint } = failure
        call.report(new Failure(exit, `line ${line.number}: ${message}`, hint))
        await call.out.record(errorRecord({ line: line.number, exit, text: message, ...known }), () => '')
      }
      begin(posts)
      if (fatal !== undefined) {
        await accepting
        throw fatal
      }
      if (call.signal.aborted) break
    }
  } catch (error) {
    stopInput(new Error('no more input wanted'))
    throw error
  } finally {
    await accepting // if it failed, that is why there is no more input
  }
}

async function linePost(desk: Desk, line: Line, to: Recipient[], base: Partial<Letter>): Promise<Post | undefined> {
  if (line.bytes.length === 0) return undefined
  const letter = { ...base, text: line.bytes, attachments: [] }
  return { to, composed: await compose(desk.home, desk.hash, letter, limitFor(desk.config, to)) }
}

async function orderPost(
  desk: Desk,
  line: Line,
  to: Recipient[],
  base: Partial<Letter>,
  known: Known,
): Promise<Post | undefined> {
  if (line.bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)) return undefined
  const object = parseLine(line.bytes)
  known.ref = object['ref'] ?? undefined // null is as good as absent: no record has it
  const order = parseOrder(object, desk.home.clock.now())
  let named = await resolveAll(desk, order.to)
  const about = await aboutWhat({ ...desk, info: (text) => desk.call.info(text) }, order.wish, named)
  named = about?.to ?? named
  const recipients = named.length > 0 ? unique(named) : to
  if (recipients.length === 0) throw new Failure(EX.DATA, "no 'to'")
  const { letter } = order
  const own = Object.fromEntries(Object.entries(letter).filter(([, value]) => value !== undefined)) as unknown as Letter
  const composed = await compose(desk.home, desk.hash, { ...base, ...own, ...about?.header }, limitFor(desk.config, recipients))
  if (desk.call.flag('skip-empty') && composed.staged.size === 0 && composed.header.reaction === undefined) return undefined
  return { to: recipients, composed, ...known }
}

/** A coprocess may run for days: a contact that is not known is looked for on disk once more. */
async function resolveAll(desk: Desk, names: string[]): Promise<Recipient[]> {
  try {
    return names.map((name) => recipient(desk.keyring, name))
  } catch (error) {
    if (!(error instanceof Failure) || error.exit !== EX.NO_CONTACT) throw error
    desk.keyring = await loadKeyring(desk.home)
    return names.map((name) => recipient(desk.keyring, name))
  }
}

/** Records on standard output, the exit code, and on a terminal the one line a message that nothing else was said of. */
class Told implements Teller {
  readonly #call: Call
  /** Recipients by id of what no outcome was told of: on a terminal `queued` is said only of these. */
  readonly #silent = new Map<string, string>()
  /** Who was called in vain, by KEY. */
  readonly #away = new Map<string, string>()
  readonly #home: Home
  readonly meter: ProgressMeter
  readonly #keyring: Keyring

  constructor({ call, home, keyring }: Desk) {
    this.#call = call
    this.#home = home
    this.#keyring = keyring
    this.meter = new ProgressMeter({ clock: home.clock, out: call.out, records: call.flag('progress'), line: !call.quiet })
  }

  progress(transfer: Transfer): void {
    this.meter.note({ ...transfer, name: this.#keyring.byKey(transfer.key)?.name ?? transfer.key })
  }

  async queued(...[queued, contact, header, ref]: Parameters<Teller['queued']>): Promise<void> {
    this.#silent.set(queued.id, contact.name)
    await this.#accepted(contact.name, queued, header, ref)
  }

  async #accepted(to: string, queued: Queued, { subject }: Omit<Header, 'parts'>, ref: unknown): Promise<void> {
    const { id, key, state, created, size, opts } = queued
    const record = { id, to, key, state, created, size, subject, attempts: 0, expires: opts.expires, ref }
    await this.#call.out.record(queuedRecord(record), () => '')
  }

  async outcome(...[outcome, ref]: Parameters<Teller['outcome']>): Promise<void> {
    this.#silent.delete(outcome.queued.id)
    if (isRefusal(outcome)) this.#call.exit(EX.REFUSED)
    if (outcome.type === 'deferred' && this.#waited()) this.#call.exit(EX.TEMPORARY)
    if (outcome.type === 'deferred') this.#away.set(outcome.contact.key, outcome.contact.name)
    await tellOutcome(this.#call.out, outcome, ref)
  }

  async noted(...[note, header, ref]: Parameters<Teller['noted']>): Promise<void> {
    const { id, key } = note
    await this.#accepted('me', note, header, ref)
    await this.#call.out.record(deliveredRecord({ id, to: 'me', key, ref }, 0), () => words('me', 'delivered', id))
  }

  /** What was only queued, said at the end. */
  async rest(): Promise<void> {
    if (this.#silent.size > 0 && this.#waited()) this.#call.exit(EX.TEMPORARY)
    if (!this.#call.out.json) {
      for (const [id, name] of this.#silent) await this.#call.out.record({}, () => words(name, 'queued', id))
    }
    this.#silent.clear()
    if (this.#away.size === 0) return
    const { adviceFor } = await import('../lib/delivery/meeting.ts')
    for (const [key, name] of this.#away) this.#call.tell(await adviceFor(this.#home, key, name))
  }

  /** True if the user asked to wait: then it matters whether the message arrived. */
  #waited(): boolean {
    const wait = this.#call.value('wait')
    return wait !== undefined && parseDuration(wait) > 0 && !this.#call.flag('queue-only')
  }
}

// As mail programs call a sendmail.
if (calledWith('-t')) {
  main(p2pSendmail, { '': async (call) => (await import('../lib/delivery/sendmail.ts')).sendmail(call) })
} else main(p2pSend, { '': send })
