// Stands in for require-addon in the bundle of udx-native (Makefile): the machine code lies beside the bundle, one file a
// platform, so that nothing has to be looked for.

'use strict'

module.exports = () => require(require('node:path').join(__dirname, `${process.platform}-${process.arch}.node`))
