// p2p-inbox export: a conversation, both sides in the order of time, for other programs and for people: NDJSON, an mbox
// (RFC 4155, the variant mboxrd, in which every line can be had back), or readable text. One message is in memory at a
// time.

import { EX, Failure } from '../base/fail.ts'
import { writeOut } from '../disk/outfile.ts'
import { Conversation, type Node } from '../disk/conversation.ts'
import { withMail } from '../disk/maildir.ts'
import { fits } from '../disk/inboxfilter.ts'
import { ndjson } from '../edge/output.ts'
import { TEXT_MAX } from '../wire/envelope.ts'
import { messageRecord } from '../wire/record.ts'
import { transcript } from './inboxlines.ts'
import type { Context } from './inboxlist.ts'

const FORMATS = ['ndjson', 'mbox', 'text'] as const
type Format = (typeof FORMATS)[number]

/** Bytes of a mail read at once. */
const BLOCK = 256 * 1024

/** Writes all that went to and fro with NAME, without NAME all there is. */
export async function exportMail(context: Context): Promise<void> {
  const { call, home, keyring } = context
  const format = formatOf(call.value('format') ?? (call.out.json ? 'ndjson' : 'text'))
  const [name] = call.args
  const key = name === undefined ? undefined : keyring.resolveAny(name).key
  const all = await Conversation.read(context.view)
  // Oneself wrote to everybody: with oneself are only the notes, which are in the inbox.
  const rows: number[] = []
  for (let row = 0; row < all.count; row++) {
    if (all.table.isKnown(row) && fits(all.table.facts(row), { key }) && (key !== keyring.self.key || all.entry(row).box === 'inbox')) rows.push(row)
  }
  const pieces = written(context, all, rows, format)
  const output = call.value('output')
  if (output !== undefined) await writeOut(home.files, home.random, output, pieces)
  else for await (const piece of pieces) await call.out.raw(piece)
}

function formatOf(text: string): Format {
  const format = FORMATS.find((each) => each === text)
  if (format === undefined) throw new Failure(EX.USAGE, `bad format '${text}': ndjson, mbox or text`)
  return format
}

async function* written(context: Context, all: Conversation, rows: number[], format: Format): AsyncGenerator<Uint8Array> {
  const { call, view } = context
  const said = new Set<string>()
  const encoder = new TextEncoder()
  for (const row of rows) {
    const node = all.node(row)
    if (call.over) return
    const { id } = node.digest
    if (id !== undefined && said.has(id)) continue // a note to oneself is in both boxes
    if (id !== undefined) said.add(id)
    if (format === 'mbox') {
      yield* mboxEntry(view.home, node)
      continue
    }
    if (format === 'text' && all.isAbout(row)) continue // told with the message that it is about
    const message = await all.message(row, 'all')
    if (message === undefined) continue // deleted meanwhile
    await all.fold(message.info)
    yield encoder.encode(format === 'ndjson' ? `${ndjson(messageRecord(message.info, TEXT_MAX))}\n` : `${transcript(message.info)}\n`)
  }
}

/** The mail byte for byte behind a `From ` line; lines of it that begin so get one more `>`. */
async function* mboxEntry(home: Context['home'], { entry, digest }: Node): AsyncGenerator<Uint8Array> {
  const address = digest.key === undefined ? 'MAILER-DAEMON' : `${digest.key}@p2p.invalid`
  const date = new Date(Number(entry.time / 1000n)).toUTCString() // Mon, 23 Nov 2026 06:10:00 GMT
  const [, weekday = '', day = '', month = '', year = '', time = ''] = /^(\w+), (\d+) (\w+) (\d+) (\S+)/.exec(date) ?? []
  const blocks: Uint8Array[] = [Buffer.from(`From ${address} ${weekday} ${month} ${day} ${time} ${year}\n`)]
  const read = await withMail(home, entry, async (handle) => {
    let held = '' // the beginning of a line that goes on in the next block
    for (let at = 0; ; at += BLOCK) {
      const bytes = await handle.read(at, BLOCK)
      const text = held + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
      const last = bytes.length < BLOCK
      const end = last ? text.length : text.lastIndexOf('\n') + 1
      held = text.slice(end)
      blocks.push(Buffer.from(text.slice(0, end).replace(/^>*From /gm, '>$&'), 'latin1'))
      if (last) return text.endsWith('\n') || text === ''
    }
  })
  if (read === undefined) return
  yield* blocks
  yield Buffer.from(read ? '\n' : '\n\n')
}
