// The test bed itself: every kind of NAT that natlab.sh makes does what its name says. What the other tests of NATs
// find out rests on this table.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { Lab, line, missing } from './natlab/lab.ts'

interface Kind {
  mapping: string
  filtering: string
  keeps: boolean
  /** An early datagram from outside moves the own mapping to another port. */
  spoilt: boolean
}

const kind = (mapping: string, filtering: string, keeps: boolean, spoilt = false): Kind => ({
  mapping,
  filtering,
  keeps,
  spoilt,
})

const KINDS: Record<string, Kind> = {
  open: kind('independent', 'independent', true),
  fw: kind('independent', 'address+port', true),
  full: kind('independent', 'independent', true),
  addr: kind('independent', 'address', true),
  cone: kind('independent', 'address+port', true),
  upnp: kind('independent', 'address+port', true),
  coneopen: kind('independent', 'address+port', true, true),
  eim: kind('independent', 'address+port', false),
  cgn: kind('independent', 'address+port', true),
  sym: kind('address+port', 'address+port', false),
  fw6: kind('address+port', 'address+port', false),
  cgnsym: kind('address+port', 'address+port', false),
}

const PORT = 40_001 // eim translates 40000 to 40511

async function explore(a: string, b: string): Promise<void> {
  const lab = Lab.up(a, b)
  try {
    const { C1 = '', C2 = '' } = lab.env
    await line(lab.start('c', lab.script('mirror.ts', 'serve', C1, C2)), /ready/)
    const found = await Promise.all(
      (['a', 'b'] as const).map((node) => line(lab.start(node, lab.script('mirror.ts', 'ask', PORT, C1, C2)), /^\{/)),
    )
    for (const [i, type] of [a, b].entries()) {
      const { outside, farWithFewHops, ...kind } = JSON.parse(found[i] ?? '') as Kind & Record<string, unknown>
      assert.equal(kind, KINDS[type], type)
      assert.is(outside, lab.env[i === 0 ? 'A_EXT' : 'B_EXT'], type)
      assert.is(farWithFewHops, false, `${type}: five hops end on the way`)
    }
  } finally {
    lab.down()
  }
}

const why = missing('miniupnpd')
if (why !== undefined) {
  test(`skip: natlab: ${why}`, () => console.log(`skip: natlab: ${why}`))
} else {
  const types = Object.keys(KINDS)
  for (let i = 0; i < types.length; i += 2) {
    const [a = '', b = 'cone'] = types.slice(i)
    test(`${a} and ${b} do what their names say`, () => explore(a, b))
  }

  test('a laboratory leaves nothing behind', () => {
    const lab = Lab.up('cone', 'sym')
    assert.match(lab.run('a', ['ip', '-br', 'addr']), /192\.168\.1\.2/)
    lab.down()
    assert.throws(() => lab.run('a', ['true']))
  })
}

test.run()
