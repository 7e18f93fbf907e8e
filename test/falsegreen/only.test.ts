// test.only left in: the others do not run.

import { test } from 'uvu'

test('does not run', () => {
  throw new Error('not reached')
})

test.only('runs', () => undefined)

test.run()
