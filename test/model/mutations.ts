// The proof must bite: the shipped code with one thing done wrong, as by somebody who mends it later. `shows` is what
// the model then has to find; 'nothing' where the order allows it, which the model has to confirm.

import type { Kind } from './judge.ts'
import type { Cut } from './seams.ts'

export interface Mutation {
  name: string
  cuts: Cut[]
  shows: Kind | 'nothing'
  /** In which world: see scenarios.ts. */
  scenario: string
  crashes: number
  /** Crashes that one side lives to see, so often. */
  blows?: number
}

const cut = (file: string, from: string, to: string, times = 1): Cut => ({ file, from, to, times })

const COMMIT = "won = await this.#receiver.commit(records)"
const NEW_SYNCED = "await this.#home.files.syncDir(this.#home.at('inbox', 'new'))\n    for (const item of delivered)"

/** The receiver's orders of p2p-spool(5), RECEIVER; the letters are those of the design. */
const receiver: Mutation[] = [
  {
    name: 'A: the mail is renamed into the inbox before its record is in the log',
    cuts: [
      cut('lib/disk/inbox.ts', COMMIT, 'won = records.map(() => true)'),
      cut('lib/disk/inbox.ts', NEW_SYNCED, `await this.#receiver.commit(records)\n    ${NEW_SYNCED}`),
    ],
    shows: 'doubled',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'B2: inbox/new is never synced',
    cuts: [
      cut('lib/disk/inbox.ts', "syncDir(this.#home.at('inbox', 'new'))\n    for", "stat(this.#home.at('inbox', 'new'))\n    for"),
      cut('lib/disk/takeover.ts', "await files.syncDir(home.at('inbox', 'new'))", ''),
      cut('lib/disk/takeover.ts', "!== undefined) await home.files.syncDir(home.at('inbox', 'new'))", '!== undefined) return'),
      cut('lib/disk/place.ts', "await files.syncDir(home.at('inbox', 'new')) // before", '// before'),
    ],
    shows: 'nothing',
    scenario: 'small',
    crashes: 3,
  },
  {
    name: 'C: part/KEY is not synced before the record',
    cuts: [cut('lib/disk/receiver.ts', "await this.home.files.syncDir(this.home.at('part', key))", '')],
    shows: 'lost',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'D: the mail is not fsynced',
    cuts: [
      cut('lib/disk/durable.ts', '(handle) => handle.sync())', "async (handle, at) => group[at].path.includes('/part/') || handle.sync())"),
    ],
    shows: 'changed',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'E: the answer is given before the record is durable',
    cuts: [
      cut(
        'lib/delivery/receive.ts',
        'committed = await this.#onDisk(',
        "await this.#list('ack', batch.map(({ arrival }) => arrival.id))\n      committed = await this.#onDisk(",
      ),
    ],
    shows: 'lost',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'F: the log is not fsynced',
    cuts: [cut('lib/disk/seen.ts', 'await this.#handle.sync()', '')],
    shows: 'doubled',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'G: no log, as in a classic Maildir',
    cuts: [
      cut('lib/disk/seen.ts', "await this.#handle.write(utf8(`\\n${records.map(formatRecord).join('\\n')}\\n`))", ''),
      cut('lib/disk/seen.ts', 'tags = await this.#readBack(records)\n      } catch', 'tags = records.map(({ tag }) => tag)\n      } catch'),
    ],
    shows: 'doubled',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'a record that ends without a line feed',
    cuts: [cut('lib/disk/seen.ts', "join('\\n')}\\n`", "join('\\n')}`")],
    shows: 'doubled',
    scenario: 'two',
    crashes: 1,
  },
  {
    name: 'the directory of a new log is not synced',
    cuts: [cut('lib/disk/seen.ts', 'if (size === 0) await home.files.syncDir(home.path)', '')],
    shows: 'doubled',
    scenario: 'first',
    crashes: 1,
  },
  {
    name: 'the directory of a new part/KEY is not synced',
    cuts: [cut('lib/disk/receiver.ts', "await this.home.files.syncDir(this.home.at('part'))", 'await undefined')],
    shows: 'lost',
    scenario: 'first',
    crashes: 1,
  },
  {
    name: 'nor that which a killed process has made',
    cuts: [cut('lib/disk/takeover.ts', "await files.syncDir(home.at('part'))", '')],
    shows: 'lost',
    scenario: 'first',
    crashes: 2,
  },
  {
    name: 'R2: the parts are not fsynced',
    cuts: [cut('lib/disk/largearrival.ts', 'await this.#orBroken((await this.#file(index)).sync())', 'await this.#file(index)')],
    shows: 'changed',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R2: the mail beside the parts is not fsynced',
    cuts: [cut('lib/disk/maildir.ts', 'await handle.sync()', '')],
    shows: 'changed',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R2: the directory of the parts is not synced',
    cuts: [cut('lib/disk/largearrival.ts', 'await this.#close()\n    await files.syncDir(this.path)', 'await this.#close()')],
    shows: 'lost',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R1: the hashes of chunks are durable before the chunks',
    cuts: [
      cut('lib/disk/largearrival.ts', 'for (const handle of this.#files.values()) await handle.sync()', ''),
    ],
    shows: 'changed',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R4a: the mail is renamed before the parts',
    cuts: [
      cut('lib/disk/place.ts', 'if (large) await placeFiles(home, record.id, part)', ''),
      cut('lib/disk/place.ts', '    await files.rename(mail, path)', '    await files.rename(mail, path)\n    if (large) await placeFiles(home, record.id, part)'),
    ],
    shows: 'changed',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R4a: a new files/ID is not durable before parts move into it',
    cuts: [cut('lib/disk/place.ts', "await files.syncDir(home.at('files'))", '')],
    shows: 'changed',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'R4a: files/ID is not durable before the mail that names it',
    cuts: [cut('lib/disk/place.ts', 'if (moved || (await files.stat(target)) !== undefined) await files.syncDir(target)', 'await files.stat(target)')],
    shows: 'torn',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'somebody else’s record is answered with HAVE before it is durable',
    cuts: [cut('lib/disk/seen.ts', 'if (entry !== undefined && entry.offset >= this.#durable) await', 'if (entry === null) await')],
    shows: 'doubled',
    scenario: 'small',
    crashes: 2,
    blows: 1,
  },
]

/** The sender's orders: p2p-spool(5), SENDER. */
const sender: Mutation[] = [
  {
    name: 'S2: the message is not fsynced before the rename',
    cuts: [
      cut('lib/disk/durable.ts', '(handle) => handle.sync())', "async (handle, at) => group[at].path.includes('/queue/') || handle.sync())"),
    ],
    shows: 'lost',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'S3: new/ is not synced before p2p-send exits',
    cuts: [cut('lib/disk/accept.ts', "(key) => home.files.syncDir(queuePath(home, key, 'new'))", 'async () => undefined')],
    shows: 'lost',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'the directories of a new queue are not synced',
    cuts: [cut('lib/disk/accept.ts', "await files.syncDir(home.at('queue'))", '')],
    shows: 'lost',
    scenario: 'first',
    crashes: 1,
  },
  {
    name: 'those in a new queue are not synced',
    cuts: [cut('lib/disk/accept.ts', 'await files.syncDir(queuePath(home, key))', '')],
    shows: 'lost',
    scenario: 'first',
    crashes: 1,
  },
  {
    name: 'S0: a part is not fsynced while it is staged',
    cuts: [cut('lib/disk/staging.ts', 'await handle.sync()', '')],
    shows: 'lost',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'S0: body/ID is not synced',
    cuts: [cut('lib/disk/accept.ts', 'await files.syncDir(body)', '')],
    shows: 'lost',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'S1: body/ is not synced before the rename',
    cuts: [cut('lib/disk/accept.ts', '(path) => home.files.syncDir(path)', 'async () => undefined')],
    shows: 'lost',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'S1: the head appears before its body',
    cuts: [
      cut('lib/disk/accept.ts', 'await syncParents(home, pending)', ''),
      cut('lib/disk/accept.ts', "(key) => home.files.syncDir(queuePath(home, key, 'new')))", "(key) => home.files.syncDir(queuePath(home, key, 'new')))\n    await syncParents(home, pending)"),
    ],
    shows: 'lost',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'S1: files/ID is not durable before the copy in sent/ that names it',
    cuts: [cut('lib/disk/sent.ts', "  await home.files.syncDir(directory)\n  await home.files.syncDir(home.at('files'))", '')],
    shows: 'torn',
    scenario: 'file',
    crashes: 1,
  },
  {
    name: 'S4: a message is done with when it was sent',
    cuts: [
      cut(
        'lib/delivery/upload.ts',
        'for (const pad of padFrames(outgoing.size)) await this.#link.send(pad)',
        'this.#options.sent(queued.id)',
      ),
      cut('lib/delivery/upload.ts', 'for (const pad of padFrames(queued.size)) await this.#link.send(pad)', 'this.#options.sent(queued.id)'),
      cut('lib/delivery/offer.ts', 'unsendable: (queued, why)', 'sent: (id) => this.acknowledge([id]),\n      unsendable: (queued, why)'),
    ],
    shows: 'lost',
    scenario: 'small',
    crashes: 1,
    blows: 1,
  },
  {
    name: 'S5: unlinked before the line in the log',
    cuts: [
      cut('lib/disk/queue.ts', 'await logByKey(home, settled,', 'await remove(home, settled)\n  await logByKey(home, settled,'),
    ],
    shows: 'unnoted',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'S5: unlinked before flag F is off',
    cuts: [
      cut(
        'lib/disk/queue.ts',
        'await around(() => markDelivered(home, settled), () => remove(home, settled, away))',
        'await remove(home, settled)\n  await markDelivered(home, settled)',
      ),
    ],
    shows: 'unnoted',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'S5: flag F is off, but not durably',
    cuts: [cut('lib/disk/sent.ts', "if (changed) await home.files.syncDir(home.at('sent', 'cur'))", '')],
    shows: 'unnoted',
    scenario: 'small',
    crashes: 1,
  },
  {
    name: 'S5: what a killed process has done of it is taken for durable',
    cuts: [
      cut('lib/disk/sent.ts', "    if (entry.flags.includes('F')) await setFlags", "    if (!entry.flags.includes('F')) continue\n    await setFlags"),
    ],
    shows: 'unnoted',
    scenario: 'small',
    crashes: 2,
    blows: 1,
  },
  {
    name: 'S6: the body goes before its head is gone durably',
    cuts: [cut('lib/disk/queue.ts', 'await forAll([...directories], PARALLEL, (path) => home.files.syncDir(path))', '')],
    shows: 'nothing',
    scenario: 'file',
    crashes: 1,
  },
]

export const mutations = [...receiver, ...sender]
