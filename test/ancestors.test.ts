// References of an answer: what mail programs draw threads by, made from the own copies in both folders.

import { writeFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { ancestry } from '../lib/disk/ancestors.ts'
import { mailName, writeMail } from '../lib/disk/maildir.ts'
import { freshId, mailOf, withHome } from './mailbox.ts'

test('an answer names what the answered one names, wherever that lies, and of a long thread the ends', async () => {
  await withHome(async (home) => {
    const ids: string[] = []
    const places = [['inbox', 'new', ''], ['sent', 'cur', ':2,FS'], ['inbox', 'cur', ':2,RS']] as const
    for (let at = 0; at < 40; at++) {
      const references = await ancestry(home)(ids.at(-1))
      if (at === 0) assert.is(references, undefined)
      else assert.equal(references?.filter((id) => !id.startsWith('chat.')).slice(-3), ids.slice(-3), 'the latest stand last')
      if (at > 0) assert.match(references?.[0] ?? '', /^chat\.\d{8}\./)
      assert.is(references?.length, at === 0 ? undefined : Math.min(at + 1, 24))
      const id = freshId()
      const { mail } = mailOf({ id, text: 'x', ...(at > 0 && { reply: ids[at - 1] as string }) })
      const [box, folder, flags] = places[at % 3] ?? places[0]
      await writeMail(home.files, home.at(box, folder, `${mailName(BigInt(at + 1), id)}${flags}`), { ...mail, references })
      ids.push(id)
    }
  })
})

test('what is not here, or is damaged, hinders nothing', async () => {
  await withHome(async (home) => {
    const [gone, damaged] = [freshId(), freshId()]
    writeFileSync(home.at('inbox', 'new', mailName(1n, damaged)), Buffer.alloc(2 << 20, 'x'))
    const find = ancestry(home)
    assert.equal([await find(gone), await find(damaged)], [[gone], [damaged]])
  })
})

test.run()
