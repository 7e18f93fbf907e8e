// What README shows of the matrix of NATs is what was measured: test/natlab/measured.ndjson, lines of `make natmatrix`.

import { readFileSync } from 'node:fs'

import { test } from 'uvu'
import * as assert from 'uvu/assert'

import { ABOUT } from './natlab/conditions.ts'
import { cellOf, conditionTable, KINDS, median, pairs, pairTable, readCells, type Round } from './natlab/table.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('README shows the tables that were measured', () => {
  const cells = readCells(read('natlab/measured.ndjson'))
  const readme = read('../README.md')
  assert.ok(readme.includes(pairTable(cells)), 'the pairs: KEEP=test/natlab/measured.ndjson node --import tsx test/natlab/matrix.ts table')
  assert.ok(readme.includes(conditionTable(cells, ABOUT)), 'the conditions')
  for (const { cell, wrong, strays } of cells) {
    assert.equal([cell, wrong], [cell, []])
    // With losses, or long rounds, marks of a session come, too, which are as long.
    if (cell.includes(':')) assert.equal([cell, strays], [cell, 0])
  }
})

test('every pair of kinds has a cell, those not run are said to be so', () => {
  assert.is(pairs().length, (KINDS.length * (KINDS.length + 1)) / 2)
  assert.is(pairTable([]).split('not run').length - 1, pairs().length)
  assert.is(conditionTable([], ABOUT).split('not run').length - 1, Object.keys(ABOUT).length)
})

test('a cell is the sum of its rounds', () => {
  const common = { packets: 8, strays: 0 }
  const rounds: Round[] = [
    { ...common, from: 'a', outcome: 'delivered', seconds: 3, over: 'udp' },
    { ...common, from: 'b', outcome: 'delivered', seconds: 1.234, packets: 4, over: 'udp' },
    { ...common, from: 'a', outcome: 'refused', seconds: 5, reason: 'timeout' },
    { ...common, from: 'b', outcome: 'wrong', reason: 'receipt, 0 in the inbox', strays: 1 },
  ]
  const cell = cellOf('cone:cone', '2026-01-01T00:00:00.000Z', rounds)
  assert.equal(
    [cell.rounds, cell.delivered, cell.seconds, cell.packets, cell.strays, cell.refused, cell.told, cell.wrong, cell.over],
    [4, 2, [1.23, 3], 3, 1, { timeout: 1 }, 5, ['receipt, 0 in the inbox'], { udp: 2 }],
  )
  assert.match(pairTable([cell]), '| 2/4 2.1 s 3 timeout, WRONG: receipt, 0 in the inbox |')
  assert.equal([median([]), median([2]), median([1, 2]), median([9, 1, 2])], [undefined, 2, 1.5, 2])
})

test.run()
