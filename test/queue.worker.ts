// A process of queue.test.ts: sends N messages to bob in the home given, one by one, and prints their file names.

import { utf8 } from '../lib/base/bytes.ts'
import { base58 } from '../lib/base/key.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { accept } from '../lib/disk/accept.ts'
import { openHome } from '../lib/disk/home.ts'
import { stageBody } from '../lib/disk/staging.ts'

const party = (name: string, fill: number): { name: string; key: string; identity: Uint8Array } => {
  const identity = new Uint8Array(32).fill(fill)
  return { name, identity, key: base58(identity) }
}

async function work(): Promise<void> {
  const home = await openHome({ flag: process.argv[2], env: {} })
  for (let i = 0; i < Number(process.argv[3]); i++) {
    const staged = await stageBody(home, nodeSuite, [{ type: 'text/plain', content: utf8(`${process.pid} ${i}`) }])
    const { file } = await accept(home, nodeSuite, party('alice', 1), { to: party('bob', 2), staged, header: {} })
    console.log(file)
  }
}

void work()
