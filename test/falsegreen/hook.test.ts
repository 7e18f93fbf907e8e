// A false green of uvu 0.5.6: a before hook that throws ends with "0 / 1" and exit 0.

import { test } from 'uvu'

test.before(() => {
  throw new Error('the hook threw')
})

test('never runs', () => undefined)

test.run()
