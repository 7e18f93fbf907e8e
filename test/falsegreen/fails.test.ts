// One passes, one fails, one prints what it skipped.

import { test } from 'uvu'
import * as assert from 'uvu/assert'

test('passes', () => undefined)

test('skips', () => {
  console.log('skip: the thing: not here')
})

test('fails', () => {
  assert.is(1, 2)
})

test.run()
