// The end of a soak: everybody is left in peace until nothing waits, then both disks are held against what was sent.
// Each message that p2p-send said is queued is in the other's inbox exactly once to the byte, or the mail reader has
// read it so; one whose p2p-send was killed before it could say so, once or not at all; and there is nothing else.

import { execFileSync } from 'node:child_process'

import { listMaildir } from '../../lib/disk/maildir.ts'
import { missing } from '../bench/measure.ts'
import { pause, type Peer } from '../peer.ts'
import { type Ledger, other, type Side, SIDES } from './ledger.ts'
import { contentOf, digestOf } from './message.ts'
import { readMessage } from './reader.ts'

/** Passes until nothing waits, at most: each takes all there is. */
const PASSES = 20

/** A receiver that was killed before it could leave a note of itself counts as dead only then. */
const UNNOTED_MS = 2500

export interface Verdict {
  /** Distinct messages that arrived. */
  messages: number
  bytes: number
  /** Of these, read and deleted by the mail reader. */
  deleted: number
  /** Of these, never told as queued: their sender was killed. */
  untold: number
  lost: number
  doubled: number
  changed: number
  /** Read by Python's mailbox, too. */
  python: number
  /** What is wrong, in words. */
  wrong: string[]
}

/** Nobody is killed any more: both listen until both queues are empty. */
async function settle(people: Record<Side, Peer>, wrong: string[]): Promise<void> {
  await pause(UNNOTED_MS)
  for (const peer of Object.values(people)) peer.age() // while nothing runs: what is at work must not look old
  const listeners = await Promise.all(SIDES.map((side) => people[side].listen(['--no-text'])))
  for (let pass = 0; ; pass++) {
    for (const side of SIDES) await people[side].good('p2p-queue', ['flush', '-w', '120s'])
    const waiting = (await Promise.all(SIDES.map((side) => people[side].waiting()))).flat()
    if (waiting.length === 0) break
    if (pass === PASSES) {
      wrong.push(`still waiting: ${waiting.join(' ')}`)
      break
    }
  }
  for (const listener of listeners) {
    const { code } = await listener.stop()
    if (code !== 0) wrong.push(`a listener ends with ${code}: ${listener.err}`)
  }
  for (const side of SIDES) await people[side].good('p2p-queue', ['flush', '-w', '1s']) // sweeps, by itself
}

/** id and digest of everything in a Maildir, as Python's mailbox and email read it. */
function readByPython(peer: Peer): Map<string, string> {
  const script = `
import mailbox, email, email.policy, hashlib, json, os, sys
home = sys.argv[1]
def leaves(part):
    if part.get_content_type() == 'message/external-body':
        inner = part.get_payload()[0]
        yield inner.get_filename(), open(os.path.join(home, part.get_param('name')), 'rb').read()
    elif part.is_multipart():
        for each in part.get_payload(): yield from leaves(each)
    else:
        yield part.get_filename() if part.get_content_disposition() == 'attachment' else True, part.get_payload(decode=True)
for key, m in mailbox.Maildir(os.path.join(home, 'inbox'), factory=None, create=False).iteritems():
    p = email.message_from_bytes(m.as_bytes(), policy=email.policy.default)
    text, files = '-', []
    for name, content in leaves(p):
        sum = hashlib.sha256(content).hexdigest()
        if name is True: text = sum
        else: files.append(name + '=' + sum)
    print(json.dumps([p['message-id'].strip(' <>').split('@')[0], ' '.join([text] + files)]))
`
  const out = execFileSync('python3', ['-c', script, peer.path], { maxBuffer: 1 << 30 }).toString()
  return new Map(out.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as [string, string]))
}

export async function judge(people: Record<Side, Peer>, ledger: Ledger, seed: number): Promise<Verdict> {
  const verdict: Verdict = { messages: 0, bytes: 0, deleted: 0, untold: 0, lost: 0, doubled: 0, changed: 0, python: 0, wrong: [] }
  await settle(people, verdict.wrong)
  for (const side of SIDES) await judgeSide(people, side, ledger, seed, verdict)
  for (const side of SIDES) {
    for (const name of people[side].strays()) verdict.wrong.push(`${side} has a stray ${name}`)
  }
  return verdict
}

/** What came from `from` to the other side. */
async function judgeSide(people: Record<Side, Peer>, from: Side, ledger: Ledger, seed: number, verdict: Verdict): Promise<void> {
  const to = other(from)
  const receiver = people[to]
  const { wrong } = verdict
  const ids = new Map<string, number>()
  const numbers = new Map<number, number>()
  const count = <K>(map: Map<K, number>, key: K): void => void map.set(key, (map.get(key) ?? 0) + 1)
  const check = (id: string, n: number | undefined, digest: string): void => {
    count(ids, id)
    const sent = n === undefined ? undefined : ledger.tried.get(n)
    if (n === undefined || sent?.from !== from) return void wrong.push(`${to} has ${id}, which ${from} never sent: ${n}`)
    count(numbers, n)
    const told = ledger.queued.get(id)
    const right = digestOf(contentOf(seed, n, sent.shape)) === digest && (told === undefined || told.n === n)
    if (!right) verdict.changed++
    if (!right) wrong.push(`message ${n}, ${id}, is not as ${from} sent it`)
    if (told === undefined) verdict.untold++
  }

  const held = new Map<string, string>()
  for (const entry of await listMaildir(receiver.home, 'inbox')) {
    const { id, n, digest, bytes } = await readMessage(receiver, entry)
    check(id, n, digest)
    held.set(id, digest)
    verdict.bytes += bytes
  }
  const deleted = ledger.deleted.filter(({ by }) => by === to)
  for (const { id, n, digest } of deleted) check(id, n, digest)
  verdict.messages += ids.size
  verdict.deleted += deleted.length

  for (const [id, told] of ledger.queued) {
    if (told.from !== from || ids.has(id)) continue
    verdict.lost++
    wrong.push(`message ${told.n}, ${id}, of ${from} is lost`)
  }
  for (const [what, times] of [...ids, ...numbers]) {
    if (times === 1) continue
    if (typeof what === 'string') verdict.doubled++
    wrong.push(`message ${what} of ${from} came ${times} times`)
  }

  // The sender's own copies are the same messages, all of them delivered.
  const copies = await listMaildir(people[from].home, 'sent')
  const short = new Set([...ids.keys()].map((id) => id.slice(0, 32)))
  for (const { id32 = '', flags } of copies) {
    if (!short.delete(id32)) wrong.push(`${from} has a copy of ${id32}, which ${to} never got`)
    if (flags.includes('F')) wrong.push(`${from}'s copy of ${id32} says that it waits`)
  }
  for (const id32 of short) {
    // Its p2p-send died between the rename into new/ and the one in sent/: then nobody was told, either.
    const told = [...ledger.queued.keys()].some((id) => id.startsWith(id32))
    if (told) wrong.push(`${from} has no copy of ${id32}`)
  }

  // And so does p2p-inbox tell it, from the log on.
  const listed = await receiver.good('p2p-inbox', ['list', '--after', 'start', '--json'])
  const tell = (each: Iterable<string>): string => [...each].sort().join()
  if (tell(listed.map(({ id }) => String(id))) !== tell(ids.keys())) wrong.push(`p2p-inbox of ${to} lists something else`)
  const gone = listed.filter(({ gone: is }) => is === true).map(({ id }) => String(id))
  if (tell(gone) !== tell(deleted.map(({ id }) => id))) wrong.push(`p2p-inbox of ${to} misses other messages than were deleted`)

  if (missing('python3') !== undefined) return
  const python = readByPython(receiver)
  verdict.python += python.size
  if (python.size !== held.size) wrong.push(`Python finds ${python.size} messages in ${to}'s inbox, not ${held.size}`)
  for (const [id, digest] of held) if (python.get(id) !== digest) wrong.push(`Python reads another ${id} than ${from} sent`)
}
